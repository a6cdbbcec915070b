"""`dna_ray.evolve`: a search in one call, in this process and in memory. `dna-ray evolve` also records it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dna_ray.errors import QualityError
from dna_ray.evolution.agent import EVERY_KIND, Agent
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.judging.finalists import finalists
from dna_ray.evolution.metric.source import to_python
from dna_ray.evolution.search.founders import founders
from dna_ray.evolution.search.machine import DarwinGodelMachine
from dna_ray.evolution.serial import evaluate_here
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.budget import in_weights
from dna_ray.evolution.sparsity.known_profiles import profiles_of
from dna_ray.evolution.sparsity.sparse import sparsified
from dna_ray.evolution.sparsity.work import work_limit
from dna_ray.evolution.subject.own_task import Task
from dna_ray.evolution.subject.subject import prepare
from dna_ray.evolution.subject.subject_settings import SubjectSettings
from dna_ray.networks import Network, load
from dna_ray.tasks.config import TaskSettings
from dna_ray.tasks.threads import threads_of_torch


@dataclass(frozen=True, slots=True, eq=False)
class Evolved:
    """What a search found.

    Attributes:
        champion: The agent that did best: on data that no race had seen, or by a task of the user's own.
        loss: Of the champion, on the search split or as the task says.
        program: Its importance program, in Python.
        masks: Name of a layer's weight -> (rows, cols) bool, true where a weight is kept.
        network: As sparse as the champion wants it; `networks.save` writes it.
        machine: The search, with its archive of all agents, its front and its counts.
    """

    champion: Agent
    loss: float
    program: str
    masks: Mapping[str, Tensor]
    network: Network
    machine: DarwinGodelMachine


def evolve(
    network: Network | str | Path,
    task: Task | str = "kl",
    population_size: int = 20,
    novelty_weight: float = 0.3,
    mutation_rate: float = 0.1,
    elite_size: int = 2,
    generations: int = 10,
    *,
    sparsity: float = 0.6,
    skip: float = 0.0,
    seed: int = 0,
    exclude: tuple[str, ...] = (),
    texts: str | Path | None = None,
    timeout: float | None = None,
) -> Evolved:
    """Evolves sparsity agents on a network: which weights may go, and by which rule.

    ```python
    def task(network):                       # reads the sparse network, and changes nothing
        return {"loss": 2.31, "accuracy": 0.87}

    found = dna_ray.evolve("sample:minilm", task, generations=5)
    ```

    Every agent keeps equally many weights. The same arguments give the same champion, unless a time-out strikes.

    Args:
        network: Or what names one: a hub name, a folder, a file, `sample:minilm`. It has to read texts or look at
            images, which the statistics of its inputs are taken from.
        task: What is minimised: `kl`, `loss` or `cosine` against the dense network; or a function, or
            `module:function`, that is called with a sparse network, and returns its loss, or metrics with a `loss`.
            One that raises, returns no finite loss, changes the network or takes longer than `timeout` has failed: it
            counts as an evaluation, and the agent is tried again at most twice.
        population_size: Agents that count as the population: the best ones of the archive.
        novelty_weight: How many deviations of fitness a deviation of novelty is worth to a parent.
        mutation_rate: Share of the layers that a mutation of the profile changes on average.
        elite_size: The best agents, of which half of the parents come.
        generations: The search makes `generations` x `population_size` evaluations.
        sparsity: Share of the weights of all layers that become zero; exact to one weight.
        skip: Share of the network's multiply-adds that zeros save at least.
        exclude: Names of tensors that stay dense; `*` stands for anything.
        texts: File with a text a line, for `cosine`; None: the sample's texts, which have labels.
        timeout: Seconds that a call of the task may take; None: as long as it likes.

    Raises:
        RecipeError: An argument does not fit, or there are fewer evaluations than founders.
        TaskError: There is no such task, or no data for the network.
        NetworkError: The network cannot be read or built, or no layer is left to become sparse.
        QualityError: Every agent failed.
    """
    named = isinstance(task, str)
    settings = SubjectSettings(
        # a function of the user's own needs no classes, and neither do cosines
        signal=str(task) if named else "cosine",
        exclude=exclude,
        timeout=timeout,
        task=TaskSettings(texts=None if texts is None else Path(texts)),
    )
    with threads_of_torch(1):  # so that losses repeat to the bit
        subject = prepare(network if isinstance(network, Network) else load(str(network)), settings)
        budget = in_weights(subject.layers, sparsity)
        space = Space(
            layers=subject.layers,
            budget=budget,
            work=work_limit(subject.layers, budget, dense=subject.multiply_adds, skip=skip),
            curves=subject.curves(),
            repairs=subject.repairs,
        )
        machine = DarwinGodelMachine(
            space,
            founders(space, profiles_of(subject, budget, curves=space.curves)),
            seed=seed,
            population_size=population_size,
            novelty_weight=novelty_weight,
            mutation_rate=mutation_rate,
            elite_size=elite_size,
            generations=generations,
            lag=1,
        )
        evaluator = Evaluator(subject, space, task=None if isinstance(task, str) else task)
        for _ in evaluate_here(machine, evaluator, stopping=lambda: False):
            pass
        ranked = finalists(machine, evaluator)
        if not ranked:
            reasons = [event["reason"] for event in machine.events() if event["event"] == "failed"]
            raise QualityError(f"{subject.network.name}: every agent failed, the last one because {reasons[-1]}")
        champion = ranked[0].agent
        pruned = evaluator.pruner.prune(champion, space.kept(champion))
        return Evolved(
            champion=champion,
            loss=ranked[0].evaluation.loss,
            program=to_python(champion.metric(EVERY_KIND)),
            masks=pruned.masks,
            network=sparsified(subject, champion, pruned),
            machine=machine,
        )
