"""Runs the cells of a comparison on Ray: an actor runs one cell after the other, and any of them may be lost.

A cell is a search that lasts minutes and depends on no other, so cells in parallel need nothing of what evaluators of
one search need: no batches in letters, no lag.
"""

import pickle
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError, RayError, RayTaskError
from torch import Tensor

from dna_ray.distributed.room import check_room
from dna_ray.distributed.sharing import Bytes, shareable, shared
from dna_ray.errors import DnaRayError, ResourceError
from dna_ray.evolution.comparison.bench import Bench
from dna_ray.evolution.comparison.config import Cell, ComparisonConfig
from dna_ray.evolution.comparison.outcome import Outcome
from dna_ray.evolution.subject.packing import unpack

MAX_RETRIES = 3  # losses of its actor that a cell survives
_WAIT_SECONDS = 0.2  # for news, until someone is asked whether to stop


def run_cells(
    cells: Sequence[Cell],
    config: ComparisonConfig,
    pack: Callable[[int], Mapping[str, Tensor]],
    *,
    workers: int,
    threads: int,
    gpu_fraction: float = 0.0,
    stopping: Callable[[], bool],
) -> Iterator[Outcome]:
    """Runs the cells on the connected cluster, and yields what came of each as it is finished, in any order.

    Args:
        cells: Those of a seed together: its subject is in the object store, one copy a node, while any of them runs.
        pack: Seed -> its subject, as `packing.pack` has it.
        workers: Actors, with a processor each.
        threads: Of torch, in each of them.
        gpu_fraction: Share of a GPU that each of them holds.
        stopping: Asked several times a second; cells under way are dropped then.

    Raises:
        DnaRayError: What a cell raised on purpose.
        ResourceError: There is no room for an actor, or one is lost again and again.
    """
    check_room({"CPU": 1.0} | ({"GPU": gpu_fraction} if gpu_fraction else {}))
    seat = ray.remote(num_cpus=1, num_gpus=gpu_fraction, max_restarts=-1, max_task_retries=MAX_RETRIES)(CellSeat)
    seats = [seat.remote(config, threads) for _ in range(min(workers, len(cells)))]
    try:
        yield from _Shift(seats, cells, pack).run(stopping)
    finally:
        for each in seats:
            ray.kill(each)


class CellSeat:
    """Keeps one subject ready, and runs cells on it. Holds no mathematics."""

    def __init__(self, config: ComparisonConfig, threads: int) -> None:
        torch.set_num_threads(threads)
        self._config = config
        self._bench: tuple[int, Bench] | None = None

    def run(self, cell: Cell, tensors: Mapping[str, Bytes]) -> bytes:
        """What came of the cell, or the error that it raised on purpose."""
        try:
            if self._bench is None or self._bench[0] != cell.seed:
                self._bench = None  # one subject at a time is enough to hold
                self._bench = cell.seed, Bench(unpack(shared(tensors)), self._config)
            return pickle.dumps(self._bench[1].run(cell))
        except DnaRayError as error:
            return pickle.dumps(error)


class _Shift:
    """Gives every seat its next cell."""

    def __init__(
        self, seats: Sequence[Any], cells: Sequence[Cell], pack: Callable[[int], Mapping[str, Tensor]]
    ) -> None:
        self._idle, self._waiting, self._pack = list(seats), deque(cells), pack
        self._left = Counter(cell.seed for cell in cells)
        self._subjects: dict[int, Any] = {}
        self._running: dict[Any, tuple[Any, Cell]] = {}

    def run(self, stopping: Callable[[], bool]) -> Iterator[Outcome]:
        while (self._waiting or self._running) and not stopping():
            while self._idle and self._waiting:
                self._start(self._idle.pop(), self._waiting.popleft())
            ready, _ = ray.wait(list(self._running), num_returns=1, timeout=_WAIT_SECONDS)
            for reference in ready:
                yield self._finished(reference)

    def _start(self, seat: Any, cell: Cell) -> None:
        if cell.seed not in self._subjects:
            self._subjects[cell.seed] = ray.put(shareable(self._pack(cell.seed)))
        self._running[seat.run.remote(cell, self._subjects[cell.seed])] = seat, cell

    def _finished(self, reference: Any) -> Outcome:
        seat, cell = self._running.pop(reference)
        try:
            found = pickle.loads(ray.get(reference))  # written by our own actors, a moment ago
        except RayTaskError:
            raise
        except RayActorError as error:
            raise ResourceError(
                f"{cell}: its worker was lost {MAX_RETRIES + 1} times, killed for memory or crashed; finished cells "
                "are kept: run again with fewer --workers"
            ) from error
        except RayError as error:
            reason = _first_line(error)
            raise ResourceError(f"{cell}: Ray failed ({reason}); finished cells are kept: run again") from error
        if isinstance(found, Exception):
            raise found
        self._idle.append(seat)
        self._left[cell.seed] -= 1
        if not self._left[cell.seed]:
            del self._subjects[cell.seed]
        assert isinstance(found, Outcome)
        return found


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
