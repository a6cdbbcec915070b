"""Trains the functions of a sine kind, here or on Ray, and tells the journal."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dna_ray.errors import ArtifactError
from dna_ray.mining import KINDS, checkpoints, sines, start, training
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
from dna_ray.verbs.progress import Progress, Stage

Tell = Callable[..., None]
_FLUSH_SECONDS = 1.0  # between two batches of points in the journal
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


def plan_job(network: Network, field: Field, config: MineConfig, how: MineHow, folder: Path) -> Job:
    """What the workers are told. Writes nothing.

    Raises:
        BudgetError: No file of this kind is that small.
    """
    draft, _ = draft_to_file(network, field, config, KINDS[config.kind])
    found = start.statistics(field)
    return Job(
        store=folder / "tiles.parquet",
        checkpoints=folder / "checkpoints",
        anatomy=network.anatomy,
        fingerprint=network.fingerprint,
        shape=SinePlan.from_json(dict(draft.params)),
        config=config,
        normal=tuple(zip(found.mean.tolist(), found.deviation.tolist(), strict=True)),
        checkpoint_every=how.checkpoint_every,
        compile=how.compile,
    )


class Curve:
    """The training curve: gathers steps into points, and points into batches for the journal."""

    def __init__(self, tell: Tell, folder: Path) -> None:
        self.points: list[dict[str, float]] = []
        self._tell, self._folder = tell, folder
        self._waiting: list[dict[str, float]] = []
        self._steps: list[Step] = []
        self._since = self._flushed = time.monotonic()
        self._checkpoint = 0

    def add(self, step: Step) -> None:
        self._steps.append(step)
        elapsed = time.monotonic() - self._since
        if elapsed >= _POINT_SECONDS or step.last or step.stopped:
            self._waiting.append(_point(self._steps, elapsed))
            self._steps, self._since = [], time.monotonic()
        if time.monotonic() - self._flushed >= _FLUSH_SECONDS or step.last or step.stopped:
            self.flush()

    def flush(self) -> None:
        """Writes what waits, and names the newest checkpoint."""
        events: list[dict[str, Any]] = [{"event": "steps", "points": self._waiting}] if self._waiting else []
        newest = checkpoints.saved_steps(self._folder)[-1]
        if newest > self._checkpoint:
            name = f"{self._folder.name}/step-{newest:09d}.safetensors"
            events.append({"event": "checkpoint", "step": newest, "file": name})
            self._checkpoint = newest
        self._tell(*events)
        self.points += self._waiting
        self._waiting, self._flushed = [], time.monotonic()

    def resumed(self, step: int, workers: int) -> None:
        self._tell({"event": "resumed", "step": step, "workers": workers})
        self._since = time.monotonic()


def _run(job: Job, how: MineHow, curve: Curve, progress: Progress) -> None:
    total = sines.schedule_for(job.shape, job.anatomy, job.config).steps
    done = checkpoints.saved_steps(job.checkpoints)[-1]
    if how.workers == 0:
        with progress.stage("train", total=total, done=done) as stage:
            if done:
                curve.resumed(done, 0)
            _follow(training.train(job, device=_device(how.device), stopping=lambda: progress.stopping), curve, stage)
        return
    from dna_ray.distributed.cluster import ray_cluster

    with ray_cluster(how.address, workers=how.workers, use_gpu=how.device.startswith("cuda")):
        from dna_ray.distributed.mine import train_on_ray

        with progress.stage("train", total=total, done=done) as stage:
            events = train_on_ray(
                job,
                workers=how.workers,
                threads=how.threads,
                use_gpu=how.device.startswith("cuda"),
                elastic=how.elastic,
                stopping=lambda: progress.stopping,
            )
            _follow(events, curve, stage, done=done)


def _follow(events: Iterator[Any], curve: Curve, stage: Stage, *, done: int = 0) -> None:
    best = float("inf")
    try:
        for event in events:
            if not isinstance(event, Step):
                if event.step or curve.points:
                    curve.resumed(event.step, event.workers)
                continue
            curve.add(event)
            best = min(best, event.loss)
            stage.advance(max(0, event.number - done), loss=event.loss, r2=1 - event.loss, best_r2=1 - best)
            done = max(done, event.number)
    finally:
        curve.flush()


def _point(steps: list[Step], elapsed: float) -> dict[str, float]:
    loss = sum(step.loss for step in steps) / len(steps)
    points = sum(step.points for step in steps)
    return {
        "step": steps[-1].number,
        "time": now(),
        "loss": loss,
        "r2": 1 - loss,
        "lr": steps[-1].lr,
        "coordinates_per_s": round(points / max(elapsed, 1e-3)),
    }


def _device(name: str) -> Any:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ArtifactError(str(error)) from error
