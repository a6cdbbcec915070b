"""Evolves a population of sparsity agents on a network, and records every one of them."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import RenderableType

from dna_ray.evolution.config import EvolveConfig
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.metric.words import words
from dna_ray.evolution.search.baselines import BASELINES
from dna_ray.evolution.search.founders import founders
from dna_ray.evolution.search.machine import DarwinGodelMachine
from dna_ray.evolution.search.search import Search, Terms, replay
from dna_ray.evolution.serial import Told, evaluate_here
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.budget import in_weights
from dna_ray.evolution.sparsity.known_profiles import profiles_of
from dna_ray.evolution.sparsity.layers import layers_of
from dna_ray.evolution.subject.packing import pack
from dna_ray.evolution.subject.subject import Subject
from dna_ray.networks import Network, load
from dna_ray.networks.published import load_or_shapes
from dna_ray.recipe import EvolveHow, EvolveRecipe
from dna_ray.tasks.threads import threads_of_torch
from dna_ray.verbs.agents import subject_of
from dna_ray.verbs.evolved import EvolveResult, crowned, read_result
from dna_ray.verbs.plan_unseen import folder_unseen
from dna_ray.verbs.progress import Progress, Silent
from dna_ray.verbs.recorded import Recorded, at_work, opened
from dna_ray.verbs.result import count, plain
from dna_ray.verbs.runs import RunFolder, open_run, planned_folder

_SHOWN = ("best", "median", "rejected", "quarantined")  # beside the bar


def evolve(recipe: EvolveRecipe, *, progress: Progress | None = None, fresh: bool = False) -> EvolveResult:
    """Evolves agents as `recipe` says; the same recipe goes on where it was stopped, and shows what it found once done.

    Args:
        fresh: Sets aside what an earlier run of the same recipe left.

    Raises:
        DnaRayError: Its class says what is wrong.
        KeyboardInterrupt: `progress` asked to stop; the run can go on, and loses no evaluation that was told.
    """
    progress = progress or Silent()
    progress.expect(_stages(recipe))
    with progress.stage("load"):
        network = load(recipe.what.network)
        run = open_run(recipe, fingerprint=network.fingerprint, fresh=fresh)
    progress.opened(run.path)
    with opened(run) as record:
        if record.was_finished and run.result.exists():
            progress.note("this run is finished: its result is shown again; --fresh starts over")
            return read_result(run)
        with at_work(record, run, recipe, progress):
            return _evolve(recipe, network, run, record, progress)


@dataclass(frozen=True, slots=True)
class Evolution:
    """What a run of `evolve` works with.

    Attributes:
        subject: The dense network and its data.
        space: Where its agents live.
        search: What asks for agents, brought to where an earlier process left it.
    """

    subject: Subject
    space: Space
    search: Search


@dataclass(frozen=True, kw_only=True, slots=True)
class EvolvePlan:
    """What `evolve` would do.

    Attributes:
        layers: Of the network that may become sparse.
        weights: In them.
        kept: Of these, by every agent.
        evaluations: Agents in all.
        workers: That evaluate them.
        run: The folder it would use.
        assumed: What that rests on.
    """

    network: str
    layers: int
    weights: int
    kept: int
    evaluations: int
    workers: int
    run: str
    assumed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __rich__(self) -> RenderableType:
        by = count(self.workers, "worker") if self.workers else "this process"
        return plain(
            f"{self.network}: {count(self.layers, 'layer')}, {count(self.weights, 'weight')}, "
            f"of which every agent keeps {self.kept:,}\n"
            f"{count(self.evaluations, 'evaluation')} by {by}\n"
            f"run {self.run}" + "".join(f"\nassumed: {each}" for each in self.assumed)
        )


def plan(recipe: EvolveRecipe, *, progress: Progress | None = None) -> EvolvePlan:
    """What `evolve` would do. Writes nothing, and runs nothing.

    Raises:
        NetworkError: No layer is left to become sparse.
        RecipeError: The sparsity leaves too few weights.
    """
    progress, config = progress or Silent(), recipe.what.config
    with progress.stage("load"):
        network, unseen = load_or_shapes(recipe.what.network)
        layers = layers_of(network, exclude=config.exclude)
        budget = in_weights(layers, config.sparsity)
    return EvolvePlan(
        network=network.name,
        layers=len(layers),
        weights=sum(layer.weights for layer in layers),
        kept=budget.total,
        evaluations=config.evaluations,
        workers=recipe.how.workers,
        run=folder_unseen(recipe) if unseen else str(planned_folder(recipe, network.fingerprint)),
        assumed=(unseen,) if unseen else (),
    )


def _stages(recipe: EvolveRecipe) -> dict[str, float]:
    """Seconds that each stage takes, roughly, on a small network: shares of the bar for the whole."""
    ray = {"start Ray": 10} if recipe.how.workers else {}
    return {"load": 3, "prepare": 25, **ray, "evolve": 2 * recipe.what.config.evaluations, "judge": 60, "record": 10}


def _evolve(
    recipe: EvolveRecipe, network: Network, run: RunFolder, record: Recorded, progress: Progress
) -> EvolveResult:
    record.network(network)
    with progress.stage("prepare"):
        evolution = prepared(network, recipe, record)
    if not record.past("population"):
        record.tell(_population(evolution, recipe.what.config))
    _search(evolution, recipe, run, record, progress)
    if progress.stopping and not evolution.search.done:
        raise KeyboardInterrupt
    with progress.stage("judge"):
        return crowned(evolution.subject, evolution.space, evolution.search, network, recipe, run, record)


def prepared(network: Network, recipe: EvolveRecipe, record: Recorded) -> Evolution:
    """The subject, calibrated, and the search, as far as the journal has come.

    Raises:
        TaskError, NetworkError: The network cannot be calibrated or judged.
        RecipeError: The budget is smaller than the founders, or no gene may change.
        ArtifactError: The journal is of a search that went another way.
    """
    subject, space = subject_of(recipe, network)
    search = _searcher(subject, space, recipe.what.config)
    replay(search, record.past("told"))
    return Evolution(subject, space, search)


def _searcher(subject: Subject, space: Space, config: EvolveConfig) -> Search:
    known = founders(space, profiles_of(subject, space.budget, curves=space.curves))
    if config.method != "machine":
        terms = Terms(seed=config.seed, evaluations=config.evaluations, batch=config.batch, lag=config.lag)
        return BASELINES[config.method](space, known, terms)
    return DarwinGodelMachine(
        space,
        known,
        seed=config.seed,
        population_size=config.population_size,
        novelty_weight=config.novelty_weight,
        mutation_rate=config.mutation_rate,
        elite_size=config.elite_size,
        generations=config.generations,
        batch=config.batch,
        lag=config.lag,
    )


def _search(evolution: Evolution, recipe: EvolveRecipe, run: RunFolder, record: Recorded, progress: Progress) -> None:
    """Evaluates what the search asks for until it is done, or someone asks to stop; what is told is in the journal."""
    search, config = evolution.search, recipe.what.config
    if search.done:
        return
    generations = max((event["number"] for event in record.past("generation")), default=0)
    with (
        _evaluating(evolution, recipe.how, run, progress) as events,
        progress.stage("evolve", total=config.evaluations, unit="agent", done=search.evaluations) as stage,
    ):
        for told in events:
            record.tell(_told(told, search), *search.events())
            reached = search.evaluations // config.population_size
            if reached > generations:
                generations = reached
                record.tell({"event": "generation", "number": reached, **standing(search)})
            figures = {name: value for name, value in standing(search).items() if name in _SHOWN}
            stage.advance(len(told.evaluations), **figures)


@contextlib.contextmanager
def _evaluating(evolution: Evolution, how: EvolveHow, run: RunFolder, progress: Progress) -> Iterator[Iterator[Told]]:
    """What comes of the batches that the search asks for, evaluated here or on Ray."""
    search, space = evolution.search, evolution.space
    if not how.workers:
        with threads_of_torch(how.threads):  # losses repeat to the bit with the same number
            yield evaluate_here(search, Evaluator(evolution.subject, space), stopping=lambda: progress.stopping)
        return
    from dna_ray.distributed.cluster import ray_cluster

    shared = pack(evolution.subject)
    held = sum(tensor.nbytes for tensor in shared.values())
    with contextlib.ExitStack() as cluster:
        with progress.stage("connect to Ray" if how.address else "start Ray"):
            gpu = not how.device.startswith("cpu")
            cluster.enter_context(
                ray_cluster(how.address, workers=how.workers, use_gpu=gpu, held=held, insecure=how.insecure)
            )
            from dna_ray.distributed.evolve import evaluate_on_ray  # Ray reads its settings when it is imported
        yield evaluate_on_ray(
            search,
            shared,
            space,
            workers=how.workers,
            threads=how.threads,
            gpu_fraction=1.0 if gpu else 0.0,
            folder=run.path / "ray",
            stopping=lambda: progress.stopping,
        )


def _told(told: Told, search: Search) -> dict[str, Any]:
    agents = [{**agent.to_json(), "id": agent.id, "words": words(agent.metric("*"))} for agent in told.batch.agents]
    evaluations = [evaluation.to_json() for evaluation in told.evaluations]
    number = told.batch.number
    return {"event": "told", "asked": search.asked, "number": number, "agents": agents, "evaluations": evaluations}


def standing(search: Search) -> dict[str, float]:
    """Loss of the best agent and of the median of those that saw as much as it, and counts."""
    counts = {name: float(value) for name, value in asdict(search.counts).items()}
    best = search.best()
    if best is None:
        return counts
    losses = [search.archive[place].evaluation.loss for place in search.archive.finalists()]
    return {"best": best[1].loss, "median": median(losses), **counts}


def _population(evolution: Evolution, config: EvolveConfig) -> dict[str, Any]:
    layers = [
        {"name": each.name, "kind": each.kind, "rows": each.rows, "cols": each.cols, "positions": each.positions}
        for each in evolution.space.layers
    ]
    return {
        "event": "population",
        "layers": layers,
        "sparsity": config.sparsity,
        "budget": evolution.space.budget.total,
        "signal": config.signal,
        "terms": asdict(evolution.search.terms),
    }
