"""Which agent it is that evaluators die of.

An evaluator may die for reasons of its own: a node is switched off, the system is short of memory. So a batch that is
lost with its evaluator is evaluated again, as if nothing had been. Where that happens twice, its agents are evaluated
one at a time: one that is lost alone has failed, and the others race as ever.
"""

from collections.abc import Sequence

from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.search.searcher import Batch

PATIENCE = 2  # losses of a batch, before its agents are evaluated one at a time
LOST = "its evaluator died of it: killed for memory, or crashed; it was evaluated alone to be sure"
LOST_TOGETHER = "its evaluator died whenever the batch was evaluated, though not of one agent alone: not enough memory"


class Case:
    """A batch on its way through evaluators that may die.

    Args:
        convicts: Genomes that evaluators died of in this run, to which it adds; they are suspects from the start.

    Attributes:
        batch: What the search asked for.
        evaluations: Of all its agents, once there is nothing left to evaluate.
    """

    def __init__(self, batch: Batch, convicts: set[str]) -> None:
        self.batch = batch
        self.evaluations: tuple[Evaluation, ...] | None = None
        self._convicts = convicts
        self._failed: dict[str, Evaluation] = {}
        self._suspects = [agent for agent in batch.agents if agent.genome in convicts]
        self._tried_alone = False
        self._losses = 0

    @property
    def due(self) -> tuple[Agent, ...]:
        """The agents to evaluate next, together."""
        return (self._suspects[0],) if self._suspects else self._racing

    def found(self, evaluations: Sequence[Evaluation]) -> None:
        """How those that were due did. What a suspect did alone says only that it is none."""
        if self._suspects:
            self._suspects.pop(0)
        else:
            self._end(evaluations)

    def lost(self) -> None:
        """The evaluator died while it evaluated those that were due."""
        if self._suspects:
            convict = self._suspects.pop(0)
            self._convicts.add(convict.genome)
            self._fail([convict], LOST)
            return
        self._losses += 1
        if self._losses < PATIENCE:
            return
        if self._tried_alone:
            self._fail(self._racing, LOST_TOGETHER)
        else:
            self._suspects, self._tried_alone, self._losses = list(self._racing), True, 0

    @property
    def _racing(self) -> tuple[Agent, ...]:
        return tuple(agent for agent in self.batch.agents if agent.id not in self._failed)

    def _fail(self, agents: Sequence[Agent], reason: str) -> None:
        self._failed |= {agent.id: Evaluation(agent.id, status="failed", reason=reason) for agent in agents}
        if not self._racing:
            self._end(())

    def _end(self, evaluations: Sequence[Evaluation]) -> None:
        known = self._failed | {each.agent: each for each in evaluations}
        self.evaluations = tuple(known[agent.id] for agent in self.batch.agents)
