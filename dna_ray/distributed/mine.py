"""Trains a job on Ray Train: workers are actors, each with its shard; what they say comes back as plain values."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from dna_ray.distributed.team import TorchTeam
from dna_ray.errors import DnaRayError, ResourceError
from dna_ray.mining.fit import Step
from dna_ray.mining.training import Job, train

MAX_FAILURES = 8  # losses of workers that a run survives
_SEND_SECONDS = 0.25
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Started:
    """The workers of a (re)started group are at work, from `step` on.

    Attributes:
        step: The step they resumed from.
        workers: How many they are.
    """

    step: int
    workers: int


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Mailbox:
    """What workers tell the driver between reports, and the driver's wish that they stop."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._stop = False

    def put(self, items: list[Any]) -> bool:
        self._items += items
        return self._stop

    def take(self) -> list[Any]:
        items, self._items = self._items, []
        return items

    def stop(self) -> None:
        self._stop = True


def train_on_ray(
    job: Job,
    *,
    workers: int,
    threads: int,
    use_gpu: bool,
    elastic: bool,
    stopping: Callable[[], bool],
) -> Iterator[Started | Step]:
    """Trains `job` on the connected cluster, and yields what rank 0 reports, as it comes.

    A lost worker restarts elsewhere, and all go on from the newest checkpoint: steps may then come again.

    Raises:
        DnaRayError: What a worker raised on purpose.
        ResourceError: Workers were lost too often, or could not be started.
    """
    mailbox = Mailbox.remote()
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"job": job, "threads": threads, "mailbox": mailbox},
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo", timeout_s=300),
        scaling_config=ScalingConfig(
            num_workers=(1, workers) if elastic else workers,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": 1, **({"GPU": 1} if use_gpu else {})},
            placement_strategy="PACK" if workers == 1 else "SPREAD",
        ),
        run_config=RunConfig(
            name=f"train-{job.plan_id[:12]}-{int(time.time())}",
            storage_path=str(job.checkpoints.parent / "ray"),
            failure_config=FailureConfig(max_failures=MAX_FAILURES, controller_failure_limit=1),
        ),
    )
    outcome: list[BaseException] = []
    thread = threading.Thread(target=_fit, args=(trainer, outcome), daemon=True)
    thread.start()
    asked = False
    while True:
        alive = thread.is_alive()
        if stopping() and not asked:
            asked = True
            ray.get(mailbox.stop.remote())
        for item in ray.get(mailbox.take.remote()):
            if isinstance(item, DnaRayError):
                raise item
            yield item
        if not alive:
            break
        thread.join(_POLL_SECONDS)
    if outcome:
        raise ResourceError(
            f"training on Ray ended early ({_cause(outcome[0])}); the last checkpoint is kept: run again to go on"
        ) from outcome[0]


def _fit(trainer: TorchTrainer, outcome: list[BaseException]) -> None:
    try:
        trainer.fit()
    except Exception as error:  # handed to the driver's own thread
        outcome.append(error)


def _worker(loop: dict[str, Any]) -> None:
    """Runs on each worker. Holds no mathematics: it trains its part of the job, and tells the driver."""
    job: Job = loop["job"]
    mailbox = loop["mailbox"]
    torch.set_num_threads(loop["threads"])
    device = ray.train.torch.get_device()
    team = TorchTeam(device)
    wishes = _Wishes(mailbox)
    first, sent, pending = True, time.monotonic(), []
    try:
        for step in train(job, device=device, team=team, stopping=lambda: wishes.stop):
            if team.rank:
                continue
            if first:
                pending.append(Started(step.number - 1, team.size))
                first = False
            pending.append(step)
            if time.monotonic() - sent >= _SEND_SECONDS:
                wishes.send(pending)
                sent, pending = time.monotonic(), []
    except DnaRayError as error:
        # Trying again would only fail again, so this is no failure of the worker.
        pending.append(error)
    if pending:
        ray.get(mailbox.put.remote(pending))


class _Wishes:
    """Sends what there is to tell without waiting, and learns from the answers whether to stop."""

    def __init__(self, mailbox: Any) -> None:
        self.stop = False
        self._mailbox = mailbox
        self._answers: list[Any] = []

    def send(self, items: list[Any]) -> None:
        done, self._answers = (
            ray.wait(self._answers, num_returns=len(self._answers), timeout=0) if (self._answers) else ([], [])
        )
        self.stop = self.stop or any(ray.get(done))
        self._answers.append(self._mailbox.put.remote(items))


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
