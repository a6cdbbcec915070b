"""Runs a search with evaluators on Ray: the driver asks and tells, they evaluate, and any of them may be lost."""

import contextlib
import pickle
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from torch import Tensor

from dna_ray.distributed.docket import Docket
from dna_ray.distributed.evaluators import Tuning, tuning
from dna_ray.distributed.placement import here
from dna_ray.distributed.room import check_room
from dna_ray.distributed.sharing import shareable
from dna_ray.distributed.suspects import Case
from dna_ray.errors import ResourceError
from dna_ray.evolution.search.searcher import Batch, Searcher
from dna_ray.evolution.serial import Told, tell
from dna_ray.evolution.space import Space

MAX_IDLE_LOSSES = 8  # evaluators lost, one after the other, before they were given a batch
_WAIT_SECONDS = 0.2  # for news, until someone is asked whether to stop


def evaluate_on_ray(
    search: Searcher,
    pack: Mapping[str, Tensor],
    space: Space,
    *,
    workers: int,
    threads: int,
    gpu_fraction: float = 0.0,
    folder: Path,
    stopping: Callable[[], bool],
) -> Iterator[Told]:
    """Evaluates on the connected cluster what the search asks for, and yields each batch when the search was told.

    First come batches that were asked for and never told, as after a restart. What is told does not depend on the
    number of workers, as long as the search has the same lag, and losing workers changes nothing but the time. Only an
    agent that its evaluator dies of, alone and again, is told as failed.

    Args:
        pack: The subject, as `packing.pack` has it; one copy a node, in the object store.
        workers: Evaluators, with a processor each.
        threads: Of torch, in each of them.
        gpu_fraction: Share of a GPU that each of them holds.
        folder: Where Tune may keep files while this lasts.
        stopping: Asked several times a second; batches under way are dropped then, and come first after a restart.

    Raises:
        DnaRayError: What an evaluator raised on purpose.
        ResourceError: There is no room for any evaluator, or evaluators are lost whatever they do.
    """
    resources = {"CPU": 1.0} | ({"GPU": gpu_fraction} if gpu_fraction else {})
    check_room(resources)
    errand = [ray.put((shareable(pack), space, threads))]
    with (
        _docket(errand) as (docket, name),
        tuning(docket, name, seats=workers, resources=resources, folder=folder) as tune,
    ):
        yield from _Driver(search, docket, tune).run(stopping)


class _Driver:
    """Keeps as many batches on the docket as the search will have under way."""

    def __init__(self, search: Searcher, docket: Any, tune: Tuning) -> None:
        self._search, self._docket, self._tune = search, docket, tune
        self._cases: dict[int, Case] = {}
        self._convicts: set[str] = set()
        self._idle_losses = 0

    def run(self, stopping: Callable[[], bool]) -> Iterator[Told]:
        for batch in self._search.pending:
            self._open(batch)
        while not stopping():
            while asked := self._search.ask():
                self._open(asked)
            if not self._cases:
                return
            for number, letter in self._news():
                case = self._heard(number, letter)
                if case is None:
                    continue
                if case.evaluations is None:
                    self._send(case)
                    continue
                del self._cases[case.batch.number]
                yield tell(self._search, case.batch, case.evaluations)

    def _open(self, batch: Batch) -> None:
        self._cases[batch.number] = Case(batch, self._convicts)
        self._send(self._cases[batch.number])

    def _send(self, case: Case) -> None:
        self._docket.put.remote(case.batch.number, pickle.dumps(case.due))

    def _news(self) -> list[tuple[int | None, bytes | None]]:
        alive = self._tune.is_alive()
        try:
            news: list[tuple[int | None, bytes | None]] = ray.get(self._docket.back.remote(_WAIT_SECONDS))
        except RayError as error:
            raise ResourceError(f"Ray is gone ({_first_line(error)}); what was told is kept: run again") from error
        if not alive and not news:
            failure = self._tune.failure
            reason = _first_line(failure) if failure else "all evaluators ended"
            raise ResourceError(f"Ray Tune ended early ({reason}); what was told is kept: run again") from failure
        return news

    def _heard(self, number: int | None, letter: bytes | None) -> Case | None:
        """The case that there was news of, or None if an evaluator was lost that had none."""
        if number is None:
            self._idle_losses += 1
            if self._idle_losses >= MAX_IDLE_LOSSES:
                raise ResourceError(
                    f"{self._idle_losses} evaluators were lost one after the other before they had anything to do; "
                    "give them more memory, or use fewer --workers"
                )
            return None
        self._idle_losses, case = 0, self._cases[number]
        if letter is None:
            case.lost()
            return case
        found = pickle.loads(letter)  # written by our own evaluators, a moment ago
        if isinstance(found, Exception):
            raise found
        case.found(found)
        return case


@contextlib.contextmanager
def _docket(errand: list[Any]) -> Iterator[tuple[Any, str]]:
    """An actor where this process runs: it is lost only with the driver. What lies in the object store goes with it."""
    name = f"docket-{secrets.token_hex(8)}"
    docket = ray.remote(num_cpus=0)(Docket).options(name=name, scheduling_strategy=here()).remote(errand)
    try:
        yield docket, name
    finally:
        ray.kill(docket)


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
