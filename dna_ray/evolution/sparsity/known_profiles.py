"""How many weights each layer keeps by every rule that needs no search, for the network at hand."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from dna_ray.evolution.metric.evaluate import evaluate
from dna_ray.evolution.metric.founders import MAGNITUDE, WANDA, WINA
from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.sparsity import profile
from dna_ray.evolution.sparsity.budget import Budget, Profile
from dna_ray.evolution.sparsity.curves import ErrorCurve
from dna_ray.evolution.subject.subject import Subject

SCHEDULES = {
    "linear": profile.linear(1.0, 0.5),
    "cosine": profile.cosine(1.0, 0.5),
}  # the last layer keeps half as much


def profiles_of(
    subject: Subject, budget: Budget, *, curves: Sequence[ErrorCurve] | None = None
) -> Mapping[str, Profile]:
    """Name of the rule -> profile. `global` rules share out weights, so a budget in multiply-adds is without them.

    Args:
        curves: Those of the subject, where they are known already: they take seconds.
    """
    layers = subject.layers
    found = {
        "uniform": profile.uniform(layers, budget),
        "erk": profile.erk(layers, budget),
        "owl": profile.owl(layers, budget, _importances(subject, WANDA)),
        "water_filling": profile.water_filling(layers, budget, curves or subject.curves()),
    }
    found |= {name: profile.scheduled(layers, budget, schedule) for name, schedule in SCHEDULES.items()}
    if set(budget.costs) == {1}:
        for name, program in {"global_magnitude": MAGNITUDE, "global_wina": WINA}.items():
            found[name] = profile.global_top(layers, budget, _importances(subject, program))
    return found


def _importances(subject: Subject, program: Program) -> list[Tensor]:
    return [
        evaluate(program, subject.matrices[layer.name].float(), subject.statistics[layer.name], layer)
        for layer in subject.layers
    ]
