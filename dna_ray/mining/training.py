"""One worker's part of training: read its tiles, resume, fit, leave checkpoints. The same with and without Ray."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dna_ray.mining import checkpoints, sines, tiles
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field
from dna_ray.mining.fit import ALONE, Step, Team, fit, prepare
from dna_ray.mining.functions import Functions, assemble, precision_for
from dna_ray.mining.holding import Holding, holding
from dna_ray.mining.plan import SinePlan
from dna_ray.mining.start import Statistics
from dna_ray.networks import Anatomy


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What every worker is told. Only paths, shapes and configs cross the cluster: no weights.

    Attributes:
        store: The tile store, on storage that all workers see.
        checkpoints: Folder of the checkpoints, on storage that all workers see.
        anatomy: Of the network.
        fingerprint: Of the network.
        shape: The plan.
        config: How to train.
        normal: Mean and standard deviation of each matrix.
        checkpoint_every: Seconds between checkpoints.
        compile: Whether to compile the pointwise kernels.
    """

    store: Path
    checkpoints: Path
    anatomy: Anatomy
    fingerprint: str
    shape: SinePlan
    config: MineConfig
    normal: tuple[tuple[float, float], ...]
    checkpoint_every: float = 30.0
    compile: bool = False

    @property
    def plan_id(self) -> str:
        """Identifies the training: network, plan and config."""
        config = {
            name: getattr(self.config, name)
            for name in ("epochs", "batch_size", "lr", "clip_norm", "patience", "dtype", "seed")
        }
        text = json.dumps([self.fingerprint, self.shape.to_json(), config], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def statistics(self) -> Statistics:
        mean, deviation = torch.tensor(self.normal, dtype=torch.float32).reshape(-1, 2).unbind(1)
        return Statistics(mean, deviation)


def lay_out(job: Job, field: Field) -> None:
    """Writes what workers read: the tile store, and checkpoint 0. What is there and fits is left as it is."""
    if not job.store.exists():
        tiles.write_store(job.store, field, tiles.tiles(job.shape.bands(job.anatomy)))
    tiles.read_index(job.store, fingerprint=job.fingerprint)
    if 0 not in checkpoints.saved_steps(job.checkpoints):
        functions = _functions(job, torch.device("cpu"))
        sines.start_functions(functions, job.shape, field, job.statistics)
        checkpoints.save_start(job.checkpoints, functions, plan=job.plan_id)


def train(
    job: Job,
    *,
    device: torch.device,
    team: Team = ALONE,
    stopping: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Step]:
    """Trains this worker's shard from the newest checkpoint on, and yields after every step.

    A worker holds the places of its own tiles only. Every `job.checkpoint_every` seconds, and in the end, they are put
    together for the checkpoint that the worker with rank 0 writes. When any worker is `stopping`, all finish the step;
    the state is saved, and training ends with a step that is not `last`.

    Raises:
        DivergedError: The loss is not finite.
        ArtifactError: Store or checkpoint are damaged, or of another run.
    """
    index = tiles.read_index(job.store, fingerprint=job.fingerprint)
    training = prepare(_functions(job, device, holding(index, job.anatomy, team.rank, of=team.size)))
    newest = team.agree(checkpoints.saved_steps(job.checkpoints)[-1])
    if checkpoints.resume(job.checkpoints, newest, training, plan=job.plan_id):
        return
    shard = tiles.load_shard(job.store, tiles.shard(index, team.rank, of=team.size))
    schedule = sines.schedule_for(job.shape, job.anatomy, job.config)
    sampler = sines.sampler_for(
        shard, job.shape, job.anatomy, job.statistics, schedule, device=device, workers=team.size
    )
    saved = clock()

    def saving() -> bool:
        return team.rank == 0 and clock() - saved >= job.checkpoint_every

    for step in fit(training, sampler, schedule, team=team, stopping=stopping, saving=saving):
        if step.due or step.last or step.stopped:
            checkpoints.save_training(job.checkpoints, training, plan=job.plan_id, finished=step.last, team=team)
            saved = clock()
        yield step


def result(job: Job) -> dict[str, Tensor] | None:
    """State dict of the trained functions; None while training has not ended."""
    newest = checkpoints.saved_steps(job.checkpoints)[-1]
    return (
        checkpoints.functions_state(job.checkpoints, newest)
        if checkpoints.is_finished(job.checkpoints, newest)
        else None
    )


def _functions(job: Job, device: torch.device, held: Holding | None = None) -> Functions:
    precision = precision_for(job.config.dtype, device, compile_kernels=job.compile)
    return assemble(job.shape, job.anatomy, precision, seed=job.config.seed, held=held).to(device)
