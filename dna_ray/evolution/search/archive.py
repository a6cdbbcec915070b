"""All agents that were ever evaluated, and the views on them: the best, the Pareto front, a grid of what is different.

Losses of agents on the same minibatches are compared in pairs, so an agent that saw 1 minibatch is compared with one
that saw 16 on that one. For a single order of all, every loss is carried to the most minibatches that anybody saw:
agents that saw them all tell by how much the first few differ from all (the median of their paired differences), and
that is added. The best and the front are of the agents that saw most, and rest on no such correction.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from dna_ray.errors import InputError
from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.search.behaviour import Cell, cell_of
from dna_ray.evolution.space import Space


@dataclass(frozen=True, slots=True)
class Entry:
    """An agent with its evaluation."""

    agent: Agent
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Paired:
    """How much lower the loss of one agent is than that of another, on the minibatches that both saw.

    Attributes:
        gain: Mean of the differences.
        relative: `gain` over the loss of the other.
        standard_error: Of the mean; infinite from one minibatch.
        minibatches: That both saw.
    """

    gain: float
    relative: float
    standard_error: float
    minibatches: int


def paired(one: Evaluation, other: Evaluation) -> Paired:
    """Positive where `one` is better."""
    pairs = list(zip(one.losses, other.losses, strict=False))  # common prefix: rungs see the same minibatches first
    differences = [theirs - own for own, theirs in pairs]
    count = len(pairs)
    gain = sum(differences) / count
    size = abs(sum(theirs for _, theirs in pairs)) / count
    spread = sum((each - gain) ** 2 for each in differences)
    error = sqrt(spread / (count - 1) / count) if count > 1 else float("inf")
    return Paired(gain, gain / max(size, 1e-12), error, count)


class Archive:
    """Append-only. What has no finite loss has no place in it."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._entries: list[Entry] = []
        self._places: dict[str, int] = {}
        self._estimates: NDArray[np.float64] = np.empty(0)
        self._rungs: list[int] = []
        self._losses: list[float] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __getitem__(self, place: int) -> Entry:
        return self._entries[place]

    def __contains__(self, agent: object) -> bool:
        return agent in self._places

    def add(self, agent: Agent, evaluation: Evaluation) -> None:
        """Appends an agent with its evaluation.

        Raises:
            InputError: The evaluation failed, is another agent's, or the agent is there already.
        """
        if evaluation.failed or evaluation.agent != agent.id:
            raise InputError(f"agent {agent.id[:12]} cannot enter the archive: it has no evaluation that succeeded")
        if agent.id in self._places:
            raise InputError(f"agent {agent.id[:12]} is in the archive already; an archive is only added to")
        self._places[agent.id] = len(self._entries)
        self._entries.append(Entry(agent, evaluation))
        self._rungs.append(evaluation.rung)
        self._losses.append(evaluation.loss)

    def of(self, agent: str) -> Entry:
        """The entry of an agent, by its id."""
        return self._entries[self._places[agent]]

    def place(self, agent: str) -> int:
        """Its place in the order of entries, by its id."""
        return self._places[agent]

    def losses(self) -> NDArray[np.float64]:
        """Of all entries in their order, carried to the most minibatches that anybody saw."""
        if len(self._estimates) != len(self._entries):
            finalists = [self._entries[place].evaluation.losses for place in self.finalists()]
            self._estimates = _carried(np.array(self._losses), np.array(self._rungs), np.array(finalists))
        return self._estimates

    def order(self) -> list[int]:
        """Places of all entries, lowest loss first, ties to the first."""
        return np.argsort(self.losses(), kind="stable").tolist()

    def finalists(self) -> list[int]:
        """Places of the entries that saw most minibatches, lowest loss first."""
        most = max(self._rungs, default=0)
        places = [place for place, rung in enumerate(self._rungs) if rung == most]
        return sorted(places, key=lambda place: self._losses[place])

    def best(self) -> Entry | None:
        """The lowest loss of those that saw most minibatches."""
        return self._entries[self.finalists()[0]] if self._entries else None

    def front(self) -> list[Entry]:
        """Those that saw most minibatches and that none beats in loss and multiply-adds; lowest loss first."""
        found: list[Entry] = []
        finalists = [self._entries[place].evaluation for place in self.finalists()]
        for evaluation in sorted(finalists, key=lambda each: (each.loss, each.multiply_adds)):
            entry = self.of(evaluation.agent)
            if not found or entry.evaluation.multiply_adds < found[-1].evaluation.multiply_adds:
                found.append(entry)
        return found

    def grid(self) -> dict[Cell, Entry]:
        """The best of each cell (MAP-Elites [1]): sparsity x concentration of the profile x family of the metric.

        References:
            [1] Mouret and Clune 2015, "Illuminating search spaces by mapping elites".
        """
        cells: dict[Cell, Entry] = {}
        for place in self.order():
            entry = self._entries[place]
            cells.setdefault(cell_of(entry.agent, entry.evaluation.kept, self._space), entry)
        return cells

    def lineage_hash(self) -> str:
        """sha256 over ids, parents and losses in the order of entries: the same for runs that went the same way."""
        digest = hashlib.sha256()
        for entry in self._entries:
            line = [entry.agent.id, list(entry.agent.parents), list(entry.evaluation.losses)]
            digest.update(json.dumps(line).encode() + b"\n")
        return digest.hexdigest()


def _carried(
    losses: NDArray[np.float64], rungs: NDArray[np.int64], finalists: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`losses` with what is to be added for the minibatches that were not seen; `finalists` saw them all."""
    found = losses.copy()
    for rung in np.unique(rungs).tolist():
        if rung < finalists.shape[1]:
            found[rungs == rung] += np.median(finalists.mean(1) - finalists[:, :rung].mean(1))
    return found
