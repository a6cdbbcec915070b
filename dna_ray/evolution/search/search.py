"""The turns of a search: who was asked, who was told, who is tried again. What to ask is for those that inherit it.

Deterministic mode: batch k is made from the results of exactly the batches 0 to k - lag, learned from in the order in
which they were asked, whatever has been told besides; and from a random generator seeded by (seed, k). So a run goes
one way, however many workers there are and whenever they answer. Free-running: every result is learned from as it
comes, and no batch waits.
"""

import hashlib
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, final

import numpy as np

from dna_ray.errors import ArtifactError, InputError, RecipeError
from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.search.archive import Archive
from dna_ray.evolution.search.searcher import Batch
from dna_ray.evolution.space import Space

TRIES = 3  # failures after which a genome is never asked again
ATTEMPTS = 20  # to make an agent that is new, for each place in a batch, before the batch stays short
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Counts:
    """What came of a search so far.

    Attributes:
        evaluated: Evaluations learned from, failed ones among them.
        failed: Evaluations that failed.
        quarantined: Genomes that failed too often.
        duplicates: Agents that were made, and not asked because their genome had been.
        rejected: Programs that the adoption gate refused.
        adopted: Programs that it let in.
    """

    evaluated: int = 0
    failed: int = 0
    quarantined: int = 0
    duplicates: int = 0
    rejected: int = 0
    adopted: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What is the same for all searches that are compared.

    Attributes:
        seed: Of whatever is drawn.
        evaluations: That a search may ask for in all; failed ones and second tries count.
        batch: Agents that are evaluated together.
        lag: Batches under way at most, which is how many workers can be kept busy. It decides which results a batch
            is made from, so runs with the same lag go the same way.
        free_running: Results are used as they come; then a run cannot be repeated.

    Raises:
        RecipeError: A number is too small.
    """

    seed: int = 0
    evaluations: int = 200
    batch: int = 9
    lag: int = 2
    free_running: bool = False

    def __post_init__(self) -> None:
        for name, least in {"seed": 0, "evaluations": 1, "batch": 1, "lag": 1}.items():
            if (number := getattr(self, name)) < least:
                raise RecipeError(f"{name} is {number}; give at least {least}")


class Search(ABC):
    """A `Searcher` but for what it proposes, and what it learns."""

    def __init__(self, space: Space, terms: Terms) -> None:
        self.space, self.terms = space, terms
        self.archive = Archive(space)
        self._batches: list[Batch] = []
        self._told: dict[int, Sequence[Evaluation]] = {}
        self._log: list[dict[str, Any]] = []
        self._learned: set[int] = set()
        self._asked = 0
        self._exhausted = False
        self._seen: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._again: deque[Agent] = deque()
        self._events: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()

    @abstractmethod
    def propose(self, room: int, rng: np.random.Generator) -> Sequence[Agent]:
        """At most `room` agents, each of which `takes` has taken; fewer, or none, if no more are to be had now."""

    @abstractmethod
    def learn(self, agents: Sequence[Agent], evaluations: Sequence[Evaluation]) -> None:
        """What to make of a batch. Those that did not fail are in the archive already."""

    @final
    def ask(self) -> Batch | None:
        while self._asked < self.terms.evaluations and not self._exhausted:
            number = len(self._batches)
            if not self._learned_before(number):
                return None
            room = min(self.terms.batch, self.terms.evaluations - self._asked)
            agents = [self._again.popleft() for _ in range(min(room, len(self._again)))]
            rng = np.random.default_rng((self.terms.seed, number))
            agents += self.propose(room - len(agents), rng) if len(agents) < room else []
            if agents:
                self._asked += len(agents)
                self._batches.append(Batch(number, tuple(agents)))
                return self._batches[-1]
            self._exhausted = not any(batch.agents for batch in self._batches if batch.number not in self._learned)
            if self.terms.free_running or self._exhausted:
                return None
            self._batches.append(Batch(number, ()))  # none without the results that are still to come
            self._told[number] = ()
        return None

    @final
    def tell(self, number: int, evaluations: Sequence[Evaluation]) -> None:
        """How the agents of a batch did.

        Raises:
            InputError: There is no such batch, it was told already, or these are evaluations of other agents.
        """
        if not 0 <= number < len(self._batches):
            raise InputError(f"batch {number} was never asked; {len(self._batches)} were")
        if number in self._told:
            raise InputError(f"batch {number} was told already; what is known stays as it is")
        expected = [agent.id for agent in self._batches[number].agents]
        if [each.agent for each in evaluations] != expected:
            raise InputError(f"batch {number} is told of other agents than the {len(expected)} that it asks for")
        self._told[number] = tuple(evaluations)
        self._log.append(
            {"asked": len(self._batches), "number": number, "evaluations": [each.to_json() for each in evaluations]}
        )
        if self.terms.free_running:
            self._learn(number)
        elif self._asked >= self.terms.evaluations and not self.pending:
            self._learned_before(len(self._batches) - 1 + self.terms.lag)

    @final
    def takes(self, agent: Agent) -> bool:
        """Whether its genome was never asked; then it counts as asked from now on."""
        if agent.genome in self._seen:
            self._counts["duplicates"] += 1
            return False
        self._seen.add(agent.genome)
        return True

    @final
    def fresh(self, room: int, draw: Callable[[], Agent | None]) -> list[Agent]:
        """Up to `room` agents of `draw` that are new, in a limited number of attempts; None is an attempt, too."""
        found: list[Agent] = []
        for _ in range(ATTEMPTS * room):
            if len(found) == room:
                break
            agent = draw()
            if agent and self.takes(agent):
                found.append(agent)
        return found

    @final
    def record(self, event: str, /, **values: Any) -> None:
        """Keeps an event for `events`, and counts it."""
        self._counts[event] += 1
        self._events.append({"event": event, "batch": len(self._batches), **values})

    @final
    def events(self) -> list[dict[str, Any]]:
        """What has happened since it was asked last, as JSON: verdicts with their figures, comparisons, failures."""
        events, self._events = self._events, []
        return events

    @property
    def done(self) -> bool:
        return (self._asked >= self.terms.evaluations or self._exhausted) and not self.pending

    @property
    def asked(self) -> int:
        """How many batches were asked."""
        return len(self._batches)

    @property
    def evaluations(self) -> int:
        return sum(map(len, self._told.values()))

    @property
    def pending(self) -> tuple[Batch, ...]:
        return tuple(batch for batch in self._batches if batch.number not in self._told)

    @property
    def counts(self) -> Counts:
        return Counts(**{name: self._counts[name] for name in (each.name for each in fields(Counts))})

    @final
    def best(self) -> tuple[Agent, Evaluation] | None:
        entry = self.archive.best()
        return (entry.agent, entry.evaluation) if entry else None

    @final
    def front(self) -> list[tuple[Agent, Evaluation]]:
        """Agents that none beats in loss and multiply-adds, lowest loss first."""
        return [(entry.agent, entry.evaluation) for entry in self.archive.front()]

    @property
    def lineage_hash(self) -> str:
        """Of the archive: the same for runs that went the same way."""
        return self.archive.lineage_hash()

    @final
    def state(self) -> dict[str, Any]:
        """JSON: all that was told, and how many batches had been asked by then. The rest follows from it."""
        return {
            "format": FORMAT,
            "searcher": type(self).__name__,
            "asked": len(self._batches),
            "agents": self._digest(),
            "told": list(self._log),
        }

    def _learned_before(self, number: int) -> bool:
        """Learns from batches up to `number` - lag, in their order; false if one was not told yet."""
        if self.terms.free_running:
            return True
        for each in range(len(self._learned), number - self.terms.lag + 1):
            if each not in self._told:
                return False
            self._learn(each)
        return True

    def _learn(self, number: int) -> None:
        agents, evaluations = self._batches[number].agents, self._told[number]
        self._learned.add(number)
        for agent, evaluation in zip(agents, evaluations, strict=True):
            self._counts["evaluated"] += 1
            if evaluation.failed:
                self._fail(agent, evaluation.reason)
            else:
                self.archive.add(agent, evaluation)
        self.learn(agents, evaluations)

    def _fail(self, agent: Agent, reason: str) -> None:
        self._failures[agent.genome] += 1
        self.record("failed", agent=agent.id, reason=reason, tries=self._failures[agent.genome])
        if self._failures[agent.genome] >= TRIES:
            self.record("quarantined", agent=agent.id, genome=agent.genome, reason=reason)
        else:
            self._again.append(agent)

    def _digest(self) -> str:
        asked = (agent.id for batch in self._batches for agent in batch.agents)
        return hashlib.sha256("\n".join(asked).encode()).hexdigest()


def replay(search: Search, told: Iterable[Mapping[str, Any]]) -> None:
    """Brings a fresh search to where another one was when it had been told all this.

    Args:
        search: Made with the same arguments.
        told: In the order told: `number` and `evaluations` as JSON, and `asked`, how many batches had been asked by
            then; the deterministic mode can do without `asked`.

    Raises:
        ArtifactError: This search would have asked something else.
    """
    for each in told:
        _ask_up_to(search, max(each.get("asked", 0), each["number"] + 1))
        search.tell(each["number"], [Evaluation.from_json(evaluation) for evaluation in each["evaluations"]])
    search.events()  # they were heard the first time


def restore(search: Search, state: Mapping[str, Any]) -> None:
    """Brings a fresh search, made with the same arguments, to the state of the one that `Search.state` describes.

    Raises:
        ArtifactError: The state is of another search, or of a later version.
    """
    if state["format"] > FORMAT:
        raise ArtifactError(f"a search of format {state['format']} was made by a later version; upgrade dna_ray")
    if state["searcher"] != type(search).__name__:
        raise ArtifactError(f"this is the state of a {state['searcher']}, not of a {type(search).__name__}")
    try:
        replay(search, state["told"])
        _ask_up_to(search, state["asked"])
    except InputError as error:
        raise _other(str(error)) from error
    if search.state()["agents"] != state["agents"]:
        raise _other("its agents differ")
    search.events()


def _ask_up_to(search: Search, batches: int) -> None:
    while (before := search.asked) < batches:
        if search.ask() is None and search.asked == before:
            raise _other(f"batch {before} cannot be asked yet")


def _other(what: str) -> ArtifactError:
    return ArtifactError(f"the search does not go the same way again ({what}); resume with the arguments it began with")
