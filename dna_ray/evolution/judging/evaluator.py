"""How well agents do: a race over the same minibatches for all of them, on one network that stays as it is.

Of the agents asked for together, all see the first minibatches, the best third sees more, and the best third of these
sees them all (successive halving [1]). What an agent scores on a minibatch depends on nothing but the agent and the
subject, so agents are compared in pairs wherever they were evaluated.

References:
    [1] Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization".
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import torch
from torch import Tensor

from dna_ray.errors import DnaRayError, TaskError
from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.pruner import MEMORY, Pruner
from dna_ray.evolution.sparsity.sparse import tensors_of
from dna_ray.evolution.subject.answers import Answers
from dna_ray.evolution.subject.examples import Examples
from dna_ray.evolution.subject.own_task import OwnTask, Task
from dna_ray.evolution.subject.signals import SIGNALS
from dna_ray.evolution.subject.subject import Subject

KEPT_OF = 3  # one of so many goes on to the next rung


@dataclass(slots=True)
class _Run:
    """An agent in a race."""

    agent: Agent
    losses: list[float] = field(default_factory=list)
    kept: int = 0
    multiply_adds: int = 0
    reason: str = ""
    seconds: float = 0.0

    @property
    def rank(self) -> tuple[float, str]:
        return sum(self.losses) / len(self.losses), self.agent.genome

    def evaluation(self, agent: Agent) -> Evaluation:
        """As that of `agent`, which may be another one of the same genome."""
        if self.reason:
            return Evaluation(agent.id, (), self.kept, self.multiply_adds, "failed", self.reason, self.seconds)
        status, seconds = ("ok", self.seconds) if agent is self.agent else ("duplicate", 0.0)
        return Evaluation(agent.id, tuple(self.losses), self.kept, self.multiply_adds, status, "", seconds)


class Evaluator:
    """Keeps one subject ready, and evaluates agents on it. Not for several threads: there is one model.

    Losses repeat to the bit with the same number of threads of torch; one is meant.

    Args:
        task: The user's own task, where it is no `module:function` in the settings of the subject.
        memory: Bytes of rankings that are kept.

    Raises:
        TaskError: The settings name a task that there is not.
    """

    def __init__(self, subject: Subject, space: Space, *, task: Task | None = None, memory: int = MEMORY) -> None:
        self.subject = subject
        self.space = space
        self.pruner = Pruner(subject.layers, subject.matrices, subject.statistics, memory=memory)
        own = task or (subject.settings.signal if subject.settings.own else None)
        self._own = OwnTask(own, subject.network, timeout=subject.settings.timeout) if own else None

    def evaluate(self, agents: Sequence[Agent]) -> list[Evaluation]:
        """Races the agents, and says how each did, in their order.

        Agents of one genome run once. One that fails says why, and the others go on.
        """
        return self._evaluate(agents, KEPT_OF)

    def evaluate_fully(self, agents: Sequence[Agent]) -> list[Evaluation]:
        """The same on all minibatches for each of them; on those of a race, the same losses to the bit."""
        return self._evaluate(agents, 1)

    def evaluate_on_finals(self, agents: Sequence[Agent]) -> list[Evaluation]:
        """How each does on the examples that no race has seen: one loss, of all of them.

        Raises:
            TaskError: The signal is a task of the user's own, which has data of its own.
        """
        if self._own:
            raise TaskError(f"task {self._own.name!r} has data of its own; there are no others to rank finalists on")
        runs = [_Run(agent) for agent in agents]
        for run in runs:
            self._measure(run, lambda: [fmean(self._losses_on_finals())])
        return [run.evaluation(run.agent) for run in runs]

    @property
    def owned(self) -> bool:
        """Whether a task of the user's own says how agents do."""
        return self._own is not None

    @property
    def rungs(self) -> tuple[int, ...]:
        """Minibatches seen after each round; a task of the user's own is called once."""
        return (1,) if self._own else self.subject.settings.rungs

    def _evaluate(self, agents: Sequence[Agent], kept_of: int) -> list[Evaluation]:
        first = {agent.genome: agent for agent in reversed(agents)}
        runs = {genome: _Run(agent) for genome, agent in first.items()}
        racing = list(runs.values())
        for seen, rung in zip((0, *self.rungs), self.rungs, strict=False):
            for run in racing:
                self._advance(run, seen, rung)
            alive = sorted((run for run in racing if not run.reason), key=lambda run: run.rank)
            racing = alive[: max(1, len(alive) // kept_of)]
        return [runs[agent.genome].evaluation(agent) for agent in agents]

    def _advance(self, run: _Run, seen: int, rung: int) -> None:
        self._measure(run, lambda: [self._own_loss(self._own)] if self._own else self._losses(seen, rung))

    def _measure(self, run: _Run, losses: Callable[[], list[float]]) -> None:
        """Adds what `losses` says while the model is as the agent wants it, or why it could not."""
        start = time.perf_counter()
        try:
            pruned = self.pruner.prune(run.agent, self.space.kept(run.agent))
            run.kept, run.multiply_adds = pruned.kept, pruned.multiply_adds
            with self.subject.replaced(pruned.matrices, repair=run.agent.repair):
                run.losses += losses()
        except DnaRayError as error:
            run.reason = " ".join(str(error).split())
        run.seconds += time.perf_counter() - start

    def _losses(self, seen: int, rung: int) -> list[float]:
        """Of the model as it is now, on the minibatches from `seen` to `rung`, one of each."""
        size = self.subject.minibatch
        which = torch.arange(seen * size, rung * size)
        return self._signal(self.subject.search, self.subject.dense, which).reshape(-1, size).mean(1).tolist()

    def _losses_on_finals(self) -> list[float]:
        """Of the model as it is now, one of each example."""
        finals = self.subject.finals
        return self._signal(finals, self.subject.dense_finals, torch.arange(len(finals))).tolist()

    def _signal(self, examples: Examples, dense: Answers, which: Tensor) -> Tensor:
        """(n,) losses of the model as it is now on the examples of the indices `which`."""
        subject = self.subject
        answers = subject.answer(examples, which)
        labels = None if examples.labels is None else examples.labels[which]
        losses = SIGNALS[subject.settings.signal](dense.at(which), answers, labels)
        if bad := int((~losses.isfinite()).sum()):
            raise TaskError(f"the sparse network answers {bad} of {len(which)} examples with NaN or infinity")
        return losses

    def _own_loss(self, own: OwnTask) -> float:
        return own.loss(tensors_of(self.subject))
