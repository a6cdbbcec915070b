"""Training in plain processes: the same worker as on Ray, meeting over `torch.distributed`, without Ray.

Processes are spawned, and write what they saw as JSON into a folder.
"""

import json
import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import Tensor

from dna_ray.distributed.team import TorchTeam
from dna_ray.mining import groups, sines
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import read_field
from dna_ray.mining.fit import Team
from dna_ray.mining.training import Job, lay_out, train
from dna_ray.networks import Network, from_state_dict
from dna_ray.recipe import MineHow
from dna_ray.verbs.train import plan_job

WARM_UP = 3  # steps that are not timed


@dataclass(frozen=True, slots=True)
class Seen:
    """What one worker saw, over the timed steps; the last step, which writes a checkpoint, is not one of them.

    Attributes:
        steps: Timed steps.
        points: Points of this worker in each.
        seconds: Of all timed steps.
        adding: Seconds of them in which gradients were added up.
        sent: Bytes of the tensors that a step adds up.
        processor: Seconds that the process's threads ran for.
        peak: Largest memory of the process, in bytes.
    """

    steps: int
    points: int
    seconds: float
    adding: float
    sent: int
    processor: float
    peak: int


def toy() -> Network:
    """A network of two small matrices."""
    generator = torch.Generator().manual_seed(0)
    weights = {f"layer.{i}.weight": torch.randn(96, 64, generator=generator) for i in range(2)}
    with warnings.catch_warnings(action="ignore"):  # that no family of networks has such names
        return from_state_dict(weights, name="toy")


def laid_out(network: Network, config: MineConfig, steps: int, folder: Path) -> Job:
    """A job of about `steps` steps, with its tile store and checkpoint 0 in `folder`."""
    field = read_field(network)
    job = plan_job(network, field, config, MineHow(checkpoint_every=1e9), folder)
    job = replace(job, config=replace(config, epochs=_epochs(job, steps)))
    lay_out(job, field)
    return job


def fresh(job: Job, folder: Path) -> Job:
    """The same job from checkpoint 0, with checkpoints of its own in `folder`."""
    return replace(job, checkpoints=Path(shutil.copytree(job.checkpoints, folder / "own")))


def together(job: Job, workers: int, folder: Path, *, threads: int = 1) -> list[Seen]:
    """Trains `job` in so many processes that add up their gradients over gloo."""
    own = fresh(job, folder)
    return _spawn([own] * workers, folder, team=True, threads=threads)


def apart(job: Job, workers: int, folder: Path, *, threads: int = 1) -> list[Seen]:
    """Trains `job` in so many processes that know nothing of each other, at the same time."""
    return _spawn([fresh(job, folder / str(rank)) for rank in range(workers)], folder, team=False, threads=threads)


def _epochs(job: Job, steps: int) -> float:
    schedule = sines.schedule_for(job.shape, job.anatomy, job.config)
    points = groups.count(job.shape.bands(job.anatomy)) * schedule.blocks * schedule.side**2
    return (steps - 0.5) * points / job.anatomy.weights


def _spawn(jobs: Sequence[Job], folder: Path, *, team: bool, threads: int) -> list[Seen]:
    context: Any = processes.get_context("spawn")
    arguments = [(rank, len(jobs) if team else 0, job, folder, threads) for rank, job in enumerate(jobs)]
    workers = [context.Process(target=_work, args=each) for each in arguments]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError(f"workers ended with {[worker.exitcode for worker in workers]}")
    return [Seen(**json.loads((folder / f"seen-{rank}.json").read_text())) for rank in range(len(jobs))]


def _work(rank: int, size: int, job: Job, folder: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    dist.init_process_group(
        "gloo",
        init_method=(folder / (f"meeting-{rank}" if not size else "meeting")).as_uri(),
        rank=rank if size else 0,
        world_size=size or 1,
    )
    team = _Measured(TorchTeam(torch.device("cpu")))
    marks, points = [], 0
    for step in train(job, device=torch.device("cpu"), team=team):
        marks.append((time.perf_counter(), team.seconds, team.sent, time.process_time()))
        points = step.points // team.size
    timed = marks[WARM_UP - 1 : -1]
    steps = len(timed) - 1
    seconds, adding, sent, processor = (end - begin for begin, end in zip(timed[0], timed[-1], strict=True))
    seen = Seen(steps, points, seconds, adding, round(sent / steps), processor, peak())
    (folder / f"seen-{rank}.json").write_text(json.dumps(asdict(seen)))
    dist.destroy_process_group()


class _Measured:
    """A team that notes what its sums cost."""

    def __init__(self, team: Team) -> None:
        self.rank, self.size = team.rank, team.size
        self.seconds, self.sent = 0.0, 0
        self._team = team

    def add(self, tensors: list[Tensor]) -> None:
        start = time.perf_counter()
        self._team.add(tensors)
        self.seconds += time.perf_counter() - start
        self.sent += sum(tensor.nbytes for tensor in tensors)

    def agree(self, number: int) -> int:
        return self._team.agree(number)


def peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
