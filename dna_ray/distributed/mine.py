"""Trains on Ray Train: workers are actors, each with its part; what they say comes back as plain values."""

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from dna_ray.distributed.mailbox import Mailbox
from dna_ray.distributed.meeting import meeting
from dna_ray.distributed.placement import SPREAD, here
from dna_ray.distributed.team import TorchTeam
from dna_ray.errors import DnaRayError, ResourceError

MAX_FAILURES = 8  # losses of workers that a run survives
MAX_STARTS = 10  # that fail, of a minute each at most: a node that replaces a lost one may take so long to come
_SEND_SECONDS = 0.5
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Started:
    """The workers of a (re)started group are at work, from `step` on.

    Attributes:
        step: The step they resumed from.
        workers: How many they are.
    """

    step: int
    workers: int


class Trainable(Protocol):
    """What workers are told: where its checkpoints lie, and what identifies it."""

    @property
    def checkpoints(self) -> Path: ...

    @property
    def plan_id(self) -> str: ...


Train = Callable[..., Iterator[Any]]  # (job, *, device, team, stopping) -> what each step did, with its `number`


def train_on_ray(
    train: Train,
    job: Trainable,
    *,
    workers: int,
    threads: int,
    use_gpu: bool,
    elastic: bool,
    stopping: Callable[[], bool],
) -> Iterator[Any]:
    """Runs `train` on each worker of the connected cluster, and yields what rank 0 reports, as it comes.

    Each time that the workers have started, a `Started` comes first.

    A lost worker restarts elsewhere, and all go on from the newest checkpoint: steps may then come again.

    Raises:
        DnaRayError: What a worker raised on purpose.
        ResourceError: Workers were lost too often, or could not be started.
    """
    lasting = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here()}
    mailbox = ray.remote(**lasting)(Mailbox).remote()
    loop = {"train": train, "job": job, "threads": threads, "mailbox": mailbox}
    outcome: list[BaseException] = []
    trainer = _trainer(loop, workers=workers, use_gpu=use_gpu, elastic=elastic)
    thread = threading.Thread(target=_fit, args=(trainer, outcome), name="ray-train", daemon=True)
    thread.start()
    asked = False
    while True:
        alive = thread.is_alive()
        if stopping() and not asked:
            asked = True
            ray.get(mailbox.stop.remote())
        for letter in ray.get(mailbox.take.remote()):
            yield from _opened(letter)
        if not alive:
            break
        thread.join(_POLL_SECONDS)
    if outcome:
        raise ResourceError(
            f"training on Ray ended early ({_cause(outcome[0])}); the last checkpoint is kept: run again to go on"
        ) from outcome[0]


def _opened(letter: bytes) -> Iterator[Any]:
    for item in pickle.loads(letter):  # written by our own workers, a moment ago
        if isinstance(item, DnaRayError):
            raise item
        yield item


def _trainer(loop: dict[str, Any], *, workers: int, use_gpu: bool, elastic: bool) -> TorchTrainer:
    job: Trainable = loop["job"]
    folder = job.checkpoints.parent / "ray"
    return TorchTrainer(
        _worker,
        train_loop_config=loop,
        torch_config=meeting("nccl" if use_gpu else "gloo", folder),
        scaling_config=ScalingConfig(
            num_workers=(1, workers) if elastic else workers,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": 1, **({"GPU": 1} if use_gpu else {})},
            placement_strategy="PACK" if workers == 1 else SPREAD,
        ),
        run_config=RunConfig(
            name=f"train-{job.plan_id[:12]}-{time.time_ns()}",
            storage_path=str(folder),
            failure_config=FailureConfig(max_failures=MAX_FAILURES, controller_failure_limit=MAX_STARTS),
        ),
    )


def _fit(trainer: TorchTrainer, outcome: list[BaseException]) -> None:
    try:
        trainer.fit()
    except Exception as error:  # handed to the driver's own thread
        outcome.append(error)


def _worker(loop: dict[str, Any]) -> None:
    """Runs on each worker. Holds no mathematics: it trains its part of the job, and tells the driver."""
    torch.set_num_threads(loop["threads"])
    device = ray.train.torch.get_device()
    team = TorchTeam(device)
    reports = _Reports(loop["mailbox"])
    try:
        for step in loop["train"](loop["job"], device=device, team=team, stopping=lambda: reports.stop):
            if team.rank == 0:
                reports.add(step, team.size)
    except DnaRayError as error:
        reports.fail(error)
    reports.close()


class _Reports:
    """What a worker tells the driver: sent a few times a second, without waiting for the answer.

    Attributes:
        stop: Whether an answer said that training should stop.
    """

    def __init__(self, mailbox: Any) -> None:
        self.stop = False
        self._mailbox = mailbox
        self._answers: list[Any] = []
        self._waiting: list[Any] = []
        self._sent: float | None = None

    def add(self, step: Any, workers: int) -> None:
        if self._sent is None:
            self._waiting.append(Started(step.number - 1, workers))
        self._waiting.append(step)
        if self._sent is None or time.monotonic() - self._sent >= _SEND_SECONDS:
            self._send()

    def fail(self, error: DnaRayError) -> None:
        """Trying again would only fail again, so for Ray Train this is no failure of the worker."""
        self._waiting.append(error)

    def close(self) -> None:
        """Returns when the driver has everything."""
        self._send()
        ray.get(self._answers)

    def _send(self) -> None:
        if self._answers:
            done, self._answers = ray.wait(self._answers, num_returns=len(self._answers), timeout=0)
            self.stop = self.stop or any(ray.get(done))
        self._answers.append(self._mailbox.put.remote(pickle.dumps(self._waiting)))
        self._waiting, self._sent = [], time.monotonic()


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
