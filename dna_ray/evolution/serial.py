"""Runs a search in this process, one batch after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.search.searcher import Batch, Searcher


@dataclass(frozen=True, slots=True)
class Told:
    """What a search was told: a batch that it had asked for, and how its agents did, in their order."""

    batch: Batch
    evaluations: tuple[Evaluation, ...]


class Evaluates(Protocol):
    """What can say how agents did; `Evaluator` is one."""

    def evaluate(self, agents: Sequence[Agent]) -> Sequence[Evaluation]: ...


def evaluate_here(search: Searcher, evaluator: Evaluates, *, stopping: Callable[[], bool]) -> Iterator[Told]:
    """Evaluates what the search asks for until it is done, and yields each batch when the search has been told.

    First come batches that were asked for and never told, as after a restart.

    Args:
        stopping: Asked before each batch; when it says so, no further one is asked for.
    """
    while not stopping():
        batch = next(iter(search.pending), None) or search.ask()
        if batch is None:
            return
        yield tell(search, batch, evaluator.evaluate(batch.agents))


def tell(search: Searcher, batch: Batch, evaluations: Sequence[Evaluation]) -> Told:
    """Tells the search, and says what."""
    search.tell(batch.number, evaluations)
    return Told(batch, tuple(evaluations))
