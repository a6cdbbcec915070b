"""The last round of a search: its best agents are ranked again, on data that no race has seen.

Of many agents that were judged on the same data, the best one was also lucky. Ten of them are few enough for a fresh
look at as many examples to be fair, and it is no part of the evaluations that a search may make.
"""

from dataclasses import dataclass

from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.search.search import Search

FINALISTS = 10


@dataclass(frozen=True, slots=True)
class Finalist:
    """One of the best agents of a search.

    Attributes:
        evaluation: On the search split.
        loss: On the data that no race has seen; None where it failed there, or where there are none: a task of the
            user's own has data of its own.
    """

    agent: Agent
    evaluation: Evaluation
    loss: float | None


def finalists(search: Search, evaluator: Evaluator) -> list[Finalist]:
    """At most `FINALISTS` of those that saw most minibatches, best first by the fresh data; none if all failed."""
    entries = [search.archive[place] for place in search.archive.finalists()[:FINALISTS]]
    if evaluator.owned:
        return [Finalist(entry.agent, entry.evaluation, None) for entry in entries]
    fresh = evaluator.evaluate_on_finals([entry.agent for entry in entries])
    found = [
        Finalist(entry.agent, entry.evaluation, None if each.failed else each.loss)
        for entry, each in zip(entries, fresh, strict=True)
    ]
    return sorted(found, key=lambda each: float("inf") if each.loss is None else each.loss)
