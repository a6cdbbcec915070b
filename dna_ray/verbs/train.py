"""Trains the functions of a sine kind, here or on Ray, and tells the journal."""

import contextlib
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from dna_ray.errors import RecipeError, ResourceError
from dna_ray.mining import KINDS, checkpoints, sines, start, tiles, training
from dna_ray.mining.budget import draft_to_file
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field
from dna_ray.mining.fit import Step
from dna_ray.mining.kind import Payload
from dna_ray.mining.plan import SinePlan
from dna_ray.mining.training import Job
from dna_ray.networks import Network
from dna_ray.recipe import MineHow
from dna_ray.tracking.journal import now
from dna_ray.verbs.points import Points, Tell
from dna_ray.verbs.progress import Progress, Stage

STORE, CHECKPOINTS, HEALING = "tiles.parquet", "checkpoints", "healing"
_WEIGHT_BYTES = 4  # of a tile, in a worker's memory
_POINT_SECONDS = 0.1  # of the curve: faster steps are averaged


def train(
    network: Network, field: Field, config: MineConfig, how: MineHow, folder: Path, *, progress: Progress, tell: Tell
) -> tuple[Payload, list[dict[str, float]]]:
    """Plans, trains and encodes; goes on from the newest checkpoint in `folder`.

    Args:
        folder: Receives the tile store and the checkpoints; on storage that all workers see.
        tell: Takes events for the journal.

    Returns:
        The payload, and the points of the training curve that this process saw.

    Raises:
        KeyboardInterrupt: Someone asked to stop; the state is saved.
        BudgetError, DivergedError, ResourceError, UnreachableError: As they say.
    """
    with progress.stage("plan"):
        job = plan_job(network, field, config, how, folder)
    with progress.stage("lay out"):
        training.lay_out(job, field)
    curve = Curve(tell, job.checkpoints)
    if training.result(job) is None:
        _run(job, how, curve, progress)
    state = training.result(job)
    if state is None:
        raise KeyboardInterrupt
    return sines.encode(job.shape, field, job.statistics, state), curve.points


def clear(folder: Path) -> None:
    """Removes what only training and healing needed: tiles, checkpoints, and what Ray Train left."""
    (folder / STORE).unlink(missing_ok=True)
    for name in (CHECKPOINTS, HEALING, "ray"):
        shutil.rmtree(folder / name, ignore_errors=True)


def plan_job(network: Network, field: Field, config: MineConfig, how: MineHow, folder: Path) -> Job:
    """What the workers are told. Writes nothing.

    Raises:
        BudgetError: No file of this kind is that small.
    """
    draft, _ = draft_to_file(network, field, config, KINDS[config.kind])
    found = start.statistics(field)
    folder = folder.resolve()  # workers have other working directories
    return Job(
        store=folder / STORE,
        checkpoints=folder / CHECKPOINTS,
        anatomy=network.anatomy,
        fingerprint=network.fingerprint,
        shape=SinePlan.from_json(dict(draft.params)),
        config=config,
        normal=tuple(zip(found.mean.tolist(), found.deviation.tolist(), strict=True)),
        checkpoint_every=how.checkpoint_every,
        compile=how.compile,
    )


class Curve:
    """The training curve: gathers steps into points, and names checkpoints.

    Args:
        clock: Seconds.
    """

    def __init__(self, tell: Tell, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._points, self._tell, self._folder, self._clock = Points(tell), tell, folder, clock
        self._steps: list[Step] = []
        self._checkpoint = 0
        self._since: float
        self._before: tuple[int, float]
        self._begin()

    @property
    def points(self) -> list[dict[str, float]]:
        return self._points.told

    def add(self, step: Step) -> None:
        self._steps.append(step)
        elapsed, ending = self._clock() - self._since, step.last or step.stopped
        if elapsed >= _POINT_SECONDS or ending:
            self._points.add(_point(self._steps, self._rate(elapsed)))
            self._steps, self._since = [], self._clock()
        if self._points.due or ending:
            self.flush()

    def flush(self) -> None:
        """Writes what waits, and names the newest checkpoint."""
        newest, events = checkpoints.saved_steps(self._folder)[-1], []
        if newest > self._checkpoint:
            name = f"{self._folder.name}/step-{newest:09d}.safetensors"
            events.append({"event": "checkpoint", "step": newest, "file": name})
            self._checkpoint = newest
        self._points.flush(*events)

    def started(self, job: Job, workers: int) -> None:
        """How much of the weights each worker holds."""
        index = tiles.read_index(job.store, fingerprint=job.fingerprint)
        shards = [tiles.shard(index, rank, of=workers) for rank in range(workers)]
        held = [_WEIGHT_BYTES * sum(index[tile].size for tile in shard) for shard in shards]
        self._tell({"event": "shards", "bytes": held})
        self._begin()

    def resumed(self, step: int, workers: int) -> None:
        self._tell({"event": "resumed", "step": step, "workers": workers})
        self._begin()

    def _begin(self) -> None:
        """From here on steps take their time."""
        self._since, self._before = self._clock(), (0, 0.0)

    def _rate(self, elapsed: float) -> float:
        """Coordinates a second, since the point before the last: workers tell of several steps at once, of which the
        last may make a point of its own, moments after the one before."""
        seen, seconds = self._before
        self._before = sum(step.points for step in self._steps), elapsed
        return (seen + self._before[0]) / max(seconds + elapsed, 1e-3)


def _run(job: Job, how: MineHow, curve: Curve, progress: Progress) -> None:
    total = sines.schedule_for(job.shape, job.anatomy, job.config).steps
    done = checkpoints.saved_steps(job.checkpoints)[-1]
    with contextlib.ExitStack() as cluster:
        events: Iterator[Any]
        if how.workers:
            events = _on_ray(job, how, cluster, progress)
        else:
            events = training.train(job, device=device_of(how.device), stopping=lambda: progress.stopping)
            if done:
                curve.resumed(done, 0)
        with progress.stage("train", total=total, done=done) as stage:
            _follow(events, job, curve, stage, done=done)


def _on_ray(job: Job, how: MineHow, cluster: contextlib.ExitStack, progress: Progress) -> Iterator[Any]:
    """What the workers say, from when they are at work; `cluster` closes what was started for them."""
    from dna_ray.distributed.cluster import ray_cluster

    use_gpu = how.device.startswith("cuda")
    with progress.stage("connect to Ray" if how.address else "start Ray"):
        cluster.enter_context(ray_cluster(how.address, workers=how.workers, use_gpu=use_gpu, insecure=how.insecure))
    return start_workers(training.train, job, how, progress)


def start_workers(train: Callable[..., Iterator[Any]], job: Any, how: MineHow, progress: Progress) -> Iterator[Any]:
    """What the workers of the connected cluster say, from when they are at work."""
    from dna_ray.distributed.mine import train_on_ray

    with progress.stage("start workers"):
        events = train_on_ray(
            train,
            job,
            workers=how.workers,
            threads=how.threads,
            use_gpu=how.device.startswith("cuda"),
            elastic=how.elastic,
            stopping=lambda: progress.stopping,
        )
        first = list(itertools.islice(events, 1))
    return itertools.chain(first, events)


def _follow(events: Iterator[Any], job: Job, curve: Curve, stage: Stage, *, done: int) -> None:
    try:
        for event in events:
            if not isinstance(event, Step):
                curve.started(job, event.workers)
                if event.step or curve.points:
                    curve.resumed(event.step, event.workers)
                continue
            curve.add(event)
            stage.advance(max(0, event.number - done), loss=event.loss, r2=1 - event.loss)
            done = max(done, event.number)
    finally:
        curve.flush()


def _point(steps: list[Step], rate: float) -> dict[str, float]:
    loss = sum(step.loss for step in steps) / len(steps)
    return {
        "step": steps[-1].number,
        "time": now(),
        "loss": loss,
        "r2": 1 - loss,
        "lr": steps[-1].lr,
        "coordinates_per_s": round(rate),
    }


def device_of(name: str) -> torch.device:
    """The device of this process.

    Raises:
        RecipeError: torch knows no such device.
        ResourceError: This machine has none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RecipeError(f"device {name!r} is not known; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ResourceError(f"device {name!r}: torch finds no GPU here; use --device cpu")
    return device
