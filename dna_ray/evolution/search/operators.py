"""How agents are made from agents: one table of pure functions of the parents, the space and a random generator.

What they give spends the budget of the space exactly. Where nothing changes, it is the first parent itself. To add an
operator: add its function, and its line here. `tests/evolution/search/test_operators.py` holds it to what all keep.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dna_ray.evolution.agent import Agent
from dna_ray.evolution.metric.operators import MUTATIONS
from dna_ray.evolution.search import level_operators as levels
from dna_ray.evolution.search import metric_operators as metrics
from dna_ray.evolution.space import Space

Make = Callable[[Sequence[Agent], Space, np.random.Generator], Agent]


@dataclass(frozen=True, slots=True)
class Operator:
    """A way to make an agent.

    Attributes:
        make: Of two parents; the child is compared with the first.
        fits: Whether a space lets it change anything.
    """

    make: Make
    fits: Callable[[Space], bool]


def gene_flip(parents: Sequence[Agent], space: Space, rng: np.random.Generator) -> Agent:
    """Another scope, pattern, basis or repair, of those that the space allows."""
    first = parents[0]
    flips = [
        (gene, value)
        for gene, values in _choices(space).items()
        for value in values
        if len(values) > 1 and value != getattr(first, gene) and (first.scope, value) != ("global", "layer")
    ]
    gene, value = flips[int(rng.integers(len(flips)))]
    changed: dict[str, Any] = {gene: value}
    # a pattern other than unstructured says itself where weights are kept, and does not go with scope row
    if gene == "pattern" and value != "unstructured" and first.scope == "row":
        changed["scope"] = "layer"
    if gene == "scope" and value == "row":
        changed["pattern"] = "unstructured"
    return replace(first, **changed, parents=(first.id,), operator="gene-flip")


def _choices(space: Space) -> Mapping[str, tuple[str, ...]]:
    return {"scope": space.scopes, "pattern": space.patterns, "basis": space.bases, "repair": space.repairs}


def _levels_move(space: Space) -> bool:
    return space.profile_gene and len(space.layers) > 1


def _levels_move_by_curves(space: Space) -> bool:
    return _levels_move(space) and bool(space.curves)


def _groups_move(space: Space) -> bool:
    depths = {layer.depth for layer in space.layers}
    return _levels_move(space) and (len(space.kinds) > 1 or len(depths) > 1)


def _programs_change(space: Space) -> bool:
    return space.metric_gene


def _genes_flip(space: Space) -> bool:
    return any(len(values) > 1 for values in _choices(space).values())


OPERATORS: Mapping[str, Operator] = {
    "level-switch": Operator(levels.level_switch, _levels_move),
    "guided-switch": Operator(levels.guided_switch, _levels_move_by_curves),
    "group-scale": Operator(levels.group_scale, _groups_move),
    "profile-crossover": Operator(levels.profile_crossover, _levels_move),
    "profile-mix": Operator(levels.profile_mix, _levels_move),
    "metric-exchange": Operator(metrics.metric_exchange, _programs_change),
    "metric-crossover": Operator(metrics.metric_crossover, _programs_change),
    "metric-growth": Operator(metrics.metric_growth, _programs_change),
    "metric-extension": Operator(metrics.metric_extension, _programs_change),
    **{f"metric-{name}": Operator(metrics.mutation(name), _programs_change) for name in MUTATIONS},
    "gene-flip": Operator(gene_flip, _genes_flip),
}


def operators_of(space: Space) -> tuple[str, ...]:
    """Names of the operators that can change an agent of this space."""
    return tuple(name for name, operator in OPERATORS.items() if operator.fits(space))
