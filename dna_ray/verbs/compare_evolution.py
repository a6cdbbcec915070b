"""Compares methods with and without search: every one at every sparsity with every seed, a cell at a time.

The journal has an event for each finished cell, with all that the table is made from. What was not finished when the
run stopped is run again, and depends on nothing that ran before it.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import RenderableType
from torch import Tensor

from dna_ray.evolution.comparison.bench import Bench
from dna_ray.evolution.comparison.config import Cell, ComparisonConfig, cells
from dna_ray.evolution.comparison.outcome import Outcome
from dna_ray.evolution.subject.packing import pack
from dna_ray.evolution.subject.subject import Subject, prepare
from dna_ray.evolution.subject.subject_settings import SubjectSettings
from dna_ray.networks import Network, load
from dna_ray.recipe import CompareEvolutionRecipe
from dna_ray.tasks.config import TaskSettings
from dna_ray.tasks.threads import threads_of_torch
from dna_ray.tracking import journal
from dna_ray.verbs.compared_evolution import CompareEvolutionResult, outcomes, published, read_result
from dna_ray.verbs.progress import Progress, Silent
from dna_ray.verbs.recorded import Recorded, at_work, opened
from dna_ray.verbs.result import count, duration, plain
from dna_ray.verbs.runs import RunFolder, open_run, planned_folder

_RAY_SECONDS = 15.0  # for a local cluster and its workers to start
_HELD = 2  # subjects in the object store while workers go on to the next seed


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareEvolutionPlan:
    """What `compare_evolution` would do.

    Attributes:
        cells: In all.
        done: Of these.
        evaluations: That are left to make.
        evaluation_seconds: Of one of them in a race, measured on this machine by a short trial, as the next two are.
        finals_seconds: Of the last round of a search.
        test_seconds: Of the test split, for one method.
        seconds: That all of it is estimated to take, with the workers that there are.
        run: The folder it would use.
    """

    network: str
    cells: int
    done: int
    evaluations: int
    evaluation_seconds: float
    finals_seconds: float
    test_seconds: float
    seconds: float
    workers: int
    run: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __rich__(self) -> RenderableType:
        by = count(self.workers, "worker") if self.workers else "this process"
        return plain(
            f"{self.network}: {count(self.cells, 'cell')}, {self.done:,} of them finished; "
            f"{count(self.evaluations, 'evaluation')} left\n"
            f"an evaluation takes {1e3 * self.evaluation_seconds:,.0f} ms here, the finals of a search "
            f"{self.finals_seconds:.1f} s, the test split {self.test_seconds:.1f} s; {by}: about "
            f"{duration(self.seconds)}\n"
            f"run {self.run}"
        )


def compare_evolution(
    recipe: CompareEvolutionRecipe, *, progress: Progress | None = None, fresh: bool = False
) -> CompareEvolutionResult:
    """Runs every cell that `recipe` names; what an earlier process finished is not run again.

    Args:
        fresh: Sets aside what an earlier run of the same recipe left.

    Raises:
        DnaRayError: Its class says what is wrong.
        KeyboardInterrupt: `progress` asked to stop; the run can go on, and loses no cell that was finished.
    """
    progress = progress or Silent()
    with progress.stage("load"):
        network = load(recipe.what.network)
        run = open_run(recipe, fingerprint=network.fingerprint, fresh=fresh)
    progress.opened(run.path)
    with opened(run) as record:
        if record.was_finished:
            progress.note("this run is finished: its result is shown again; --fresh starts over")
            return read_result(recipe, run, network=network.name)
        with at_work(record, run, recipe, progress):
            record.network(network)
            whole = _run(_Work(recipe, network, run, record, progress))
            result = published(recipe, run, record, network=network)
            if not whole:
                raise KeyboardInterrupt
            return result


def plan(recipe: CompareEvolutionRecipe, *, progress: Progress | None = None) -> CompareEvolutionPlan:
    """What `compare_evolution` would do, by a trial of a few evaluations. Writes nothing."""
    progress = progress or Silent()
    config, how = recipe.what.config, recipe.how
    with progress.stage("load"):
        network = load(recipe.what.network)
        folder = planned_folder(recipe, network.fingerprint)
        past = journal.read(folder) if (folder / journal.FILE).exists() else []
    with progress.stage("try"), threads_of_torch(how.threads):
        pace = Bench(prepare(network, _settings(recipe, seed=0)), config).pace()
    finished = {outcome.cell for outcome in outcomes(past)}
    left = [cell for cell in cells(config) if cell not in finished]
    evaluations = sum(config.budget(cell.method) for cell in left)
    hands = max(1, min(how.workers, psutil.cpu_count() or 1))
    return CompareEvolutionPlan(
        network=network.name,
        cells=len(cells(config)),
        done=len(finished),
        evaluations=evaluations,
        evaluation_seconds=pace.evaluation,
        finals_seconds=pace.finals,
        test_seconds=pace.test,
        seconds=pace.seconds(left, config) / hands + (_RAY_SECONDS if how.workers else 0),
        workers=how.workers,
        run=str(folder),
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """What all parts of a run share."""

    recipe: CompareEvolutionRecipe
    network: Network
    run: RunFolder
    record: Recorded
    progress: Progress

    def subject(self, seed: int) -> Subject:
        """The network with the data that a seed draws."""
        with threads_of_torch(self.recipe.how.threads):
            return prepare(self.network, _settings(self.recipe, seed=seed))


def _settings(recipe: CompareEvolutionRecipe, *, seed: int) -> SubjectSettings:
    what, config = recipe.what, recipe.what.config
    return SubjectSettings(
        signal=config.signal,
        calibration=config.calibration,
        minibatch=config.minibatch,
        rungs=config.rungs,
        exclude=config.exclude,
        precision=config.precision,
        draw=seed,
        timeout=recipe.how.task_timeout,
        task=TaskSettings(
            texts=None if what.texts is None else Path(what.texts),
            images=None if what.images is None else Path(what.images),
            limit=what.limit,
            device=recipe.how.device,
        ),
    )


def _run(work: _Work) -> bool:
    """Runs what is left, and tells the journal of each cell as it is finished; false if someone asked to stop."""
    config, progress = work.recipe.what.config, work.progress
    finished = {outcome.cell for outcome in outcomes(work.record.past("cell"))}
    left = [cell for cell in cells(config) if cell not in finished]
    whole = sum(config.budget(cell.method) for cell in cells(config))
    before = whole - sum(config.budget(cell.method) for cell in left)
    if not work.record.past("dense"):
        _tell_dense(work)
    if not left:
        return True
    done = len(finished)
    with (
        _running(work, left) as running,
        progress.stage("compare", total=whole, unit="evaluation", done=before) as stage,
    ):
        for outcome in running:
            work.record.tell({"event": "cell", **outcome.to_json()})
            done += 1
            stage.advance(config.budget(outcome.cell.method), cells=done)
            progress.note(f"{done} of {len(cells(config))}  {_said(outcome)}")
    return done == len(cells(config))


@contextlib.contextmanager
def _running(work: _Work, left: Sequence[Cell]) -> Iterator[Iterator[Outcome]]:
    """What comes of the cells, one after the other here, or spread over workers on Ray."""
    how, progress = work.recipe.how, work.progress
    if not how.workers:
        with threads_of_torch(how.threads):  # losses repeat to the bit with the same number
            yield _run_here(left, work.recipe.what.config, work.subject, stopping=lambda: progress.stopping)
        return
    from dna_ray.distributed.cluster import ray_cluster

    with progress.stage("prepare"):
        first = {left[0].seed: pack(work.subject(left[0].seed))}
        held = _HELD * sum(tensor.nbytes for tensor in first[left[0].seed].values())

    def packed(seed: int) -> Mapping[str, Tensor]:
        return first.pop(seed, None) or pack(work.subject(seed))

    with contextlib.ExitStack() as cluster:
        with progress.stage("connect to Ray" if how.address else "start Ray"):
            gpu = not how.device.startswith("cpu")
            cluster.enter_context(
                ray_cluster(how.address, workers=how.workers, use_gpu=gpu, held=held, insecure=how.insecure)
            )
            from dna_ray.distributed.cells import run_cells  # Ray reads its settings when it is imported
        yield run_cells(
            left,
            work.recipe.what.config,
            packed,
            workers=how.workers,
            threads=how.threads,
            gpu_fraction=1.0 if gpu else 0.0,
            stopping=lambda: progress.stopping,
        )


def _run_here(
    left: Sequence[Cell],
    config: ComparisonConfig,
    subject: Callable[[int], Subject],
    *,
    stopping: Callable[[], bool],
) -> Iterator[Outcome]:
    bench: tuple[int, Bench] | None = None
    for cell in left:
        if stopping():
            return
        if bench is None or bench[0] != cell.seed:
            bench = cell.seed, Bench(subject(cell.seed), config)
        outcome = bench[1].run(cell, stopping=stopping)
        if outcome is None:
            return
        yield outcome


def _tell_dense(work: _Work) -> None:
    """How the dense network does on the test split, which is the same for all seeds."""
    with work.progress.stage("dense"):
        subject = work.subject(0)
        with threads_of_torch(work.recipe.how.threads):
            work.record.tell({"event": "dense", **Bench(subject, work.recipe.what.config).dense()})


def _said(outcome: Outcome) -> str:
    if not outcome.items:
        return f"{outcome.cell}: {outcome.reason}"
    score = sum(outcome.items) / len(outcome.items)
    loss = "" if outcome.loss is None else f", loss {outcome.loss:.4g}"
    return f"{outcome.cell}: {outcome.score} {score:.4f}{loss}, {duration(outcome.seconds)}"
