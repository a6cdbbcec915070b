"""How to search: ask for a batch of agents, tell how they did. What runs them in between is no matter here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dna_ray.evolution.agent import Agent, Evaluation


@dataclass(frozen=True, slots=True)
class Batch:
    """Agents that are evaluated together, by one worker.

    Attributes:
        number: From 0, in the order asked.
    """

    number: int
    agents: tuple[Agent, ...]


class Searcher(Protocol):
    """What looks for the best agent. A batch that is lost on the way is evaluated again, and nothing is told of it."""

    @property
    def done(self) -> bool:
        """Whether all evaluations were told, or no new agent is left."""

    @property
    def evaluations(self) -> int:
        """How many were told, failed ones among them."""

    @property
    def pending(self) -> tuple[Batch, ...]:
        """What was asked and is not told yet, in order: after a restart, the batches to evaluate first."""

    def ask(self) -> Batch | None:
        """The next batch. None: wait for a tell, unless it is done."""

    def tell(self, number: int, evaluations: Sequence[Evaluation]) -> None:
        """How the agents of batch `number` did, in their order. Batches may be told in any order."""

    def state(self) -> dict[str, Any]:
        """JSON, from which `search.restore` makes it again."""

    def best(self) -> tuple[Agent, Evaluation] | None:
        """The best of those that saw most minibatches; None before there is one."""
