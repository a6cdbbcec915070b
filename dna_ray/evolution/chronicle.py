"""A search as the events of its journal tell it: what MLflow, the lineage and the report show.

Plain values of events, without torch or numpy: whoever only shows a search need not load what runs it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median
from typing import Any

Event = Mapping[str, Any]

COUNTS = ("evaluated", "failed", "rejected", "quarantined", "duplicates")
_LINEAGE = frozenset({"id", "words", "parents", "operator"})


@dataclass(frozen=True, kw_only=True)
class AgentRecord:
    """An agent with its last evaluation.

    Attributes:
        parents: Ids; the first is the one that it is compared with.
        operator: What made it.
        words: Its general program in English.
        genes: What decides what it computes, as `Agent.to_json` has it: levels, metrics, scope, pattern, basis, repair.
        generation: The generation that was going on when it was told first.
        told: Which of the tellings was its last one, from 0.
        time: Of that, in milliseconds since the epoch.
        losses: One a minibatch; none where its evaluation failed.
        kept: Weights.
        multiply_adds: Of one sample.
        status: ok, failed or duplicate.
        reason: Why it failed.
        seconds: That its evaluation took.
    """

    id: str
    parents: tuple[str, ...]
    operator: str
    words: str
    genes: Mapping[str, Any]
    generation: int
    told: int
    time: int
    losses: tuple[float, ...]
    kept: int
    multiply_adds: int
    status: str
    reason: str
    seconds: float

    @property
    def failed(self) -> bool:
        return self.status == "failed" or not self.losses

    @property
    def loss(self) -> float | None:
        """The mean over its minibatches; None where its evaluation failed."""
        return None if self.failed else fmean(self.losses)

    @property
    def rung(self) -> int:
        """How many minibatches it has seen."""
        return len(self.losses)

    @property
    def metrics(self) -> Mapping[str, str]:
        """Kind of layer -> program, as canonical text; `*` for those that have none of their own."""
        return dict(self.genes["metrics"])


@dataclass(frozen=True, kw_only=True)
class Chronicle:
    """A search, folded from its events.

    Attributes:
        layers: Those that become sparse: name, kind, rows, cols, positions; levels are in their order.
        sparsity: Share of the weights that become zero.
        budget: What all agents spend.
        signal: What the search minimises.
        dense: Figures of the dense network.
        terms: Seed, evaluations, batch, lag.
        agents: By id, in the order in which they were told first.
        generations: Points of the curves by `number`, each once: best, median, counts.
        counts: What came of the agents, as `COUNTS` names it.
        champion: The event of the champion, once there is one.
        front: Ids of agents that none beats in loss and multiply-adds.
        scores: How networks did on the test split, each with its `name`.
        told: Batches that were told.
    """

    layers: tuple[Event, ...]
    sparsity: float
    budget: int
    signal: str
    dense: Mapping[str, float]
    terms: Mapping[str, Any]
    agents: Mapping[str, AgentRecord]
    generations: tuple[Event, ...]
    counts: Mapping[str, int]
    champion: Event | None
    front: tuple[str, ...]
    scores: tuple[Event, ...]
    told: int

    @cached_property
    def losses(self) -> Mapping[str, float]:
        """Of every agent that did not fail, carried to the most minibatches that anybody saw, as the archive does.

        The mean of an agent that saw a few minibatches is moved by as much as these were easier for those that saw all.
        """
        found = [agent for agent in self.agents.values() if not agent.failed]
        most = max((agent.rung for agent in found), default=0)
        finalists = [agent.losses for agent in found if agent.rung == most]
        moved = {
            rung: median(fmean(losses) - fmean(losses[:rung]) for losses in finalists)
            for rung in {agent.rung for agent in found}
        }
        return {agent.id: fmean(agent.losses) + moved[agent.rung] for agent in found}

    @cached_property
    def depths(self) -> Mapping[str, int]:
        """Steps from an agent to its furthest founder. An agent whose parents are not known is a founder."""
        found: dict[str, int] = {}
        for agent in self.agents.values():  # parents were told before
            found[agent.id] = 1 + max((found[parent] for parent in agent.parents if parent in found), default=-1)
        return found

    @property
    def dense_multiply_adds(self) -> int:
        """Of one sample, in the layers that become sparse."""
        return sum(layer["rows"] * layer["cols"] * layer["positions"] for layer in self.layers)

    def line(self, agent: str) -> tuple[AgentRecord, ...]:
        """From its founder, along first parents, to the agent."""
        found: list[AgentRecord] = []
        current = self.agents.get(agent)
        while current is not None and current not in found:
            found.append(current)
            current = self.agents.get(current.parents[0]) if current.parents else None
        return tuple(reversed(found))


def chronicle(entries: Iterable[Event]) -> Chronicle | None:
    """Folds the entries of a journal; None where they tell of no search.

    Events that a resumed run repeats count once: the population and generations as they were told first, all others
    as they were told last.
    """
    events = list(entries)
    population = next((event for event in events if event["event"] == "population"), None)
    if population is None:
        return None
    generations = _generations(events)
    return Chronicle(
        layers=tuple(population["layers"]),
        sparsity=population["sparsity"],
        budget=population["budget"],
        signal=population.get("signal", ""),
        dense=population.get("dense") or {},
        terms=population.get("terms") or {},
        agents=_agents(events),
        generations=generations,
        counts=_counts(events, generations),
        champion=_last(events, "champion"),
        front=tuple((_last(events, "front") or {"agents": ()})["agents"]),
        scores=tuple({event["name"]: event for event in _of(events, "score") if "name" in event}.values()),
        told=len(_of(events, "told")),
    )


def _agents(events: Sequence[Event]) -> dict[str, AgentRecord]:
    found: dict[str, AgentRecord] = {}
    generation, told = 1, 0
    for event in events:
        if event["event"] == "generation":
            generation = max(generation, event["number"] + 1)
        if event["event"] == "told":
            for agent, evaluation in zip(event["agents"], event["evaluations"], strict=True):
                known = found.get(agent["id"])
                number = generation if known is None else known.generation
                found[agent["id"]] = _agent(agent, evaluation, number, told, event["time"])
            told += 1
    return found


def _agent(agent: Event, evaluation: Event, generation: int, told: int, time: int) -> AgentRecord:
    return AgentRecord(
        id=agent["id"],
        parents=tuple(agent["parents"]),
        operator=agent["operator"],
        words=agent.get("words", ""),
        genes={name: value for name, value in agent.items() if name not in _LINEAGE},
        generation=generation,
        told=told,
        time=time,
        losses=tuple(evaluation["losses"]),
        kept=evaluation["kept"],
        multiply_adds=evaluation["multiply_adds"],
        status=evaluation["status"],
        reason=evaluation["reason"],
        seconds=evaluation["seconds"],
    )


def _generations(events: Sequence[Event]) -> tuple[Event, ...]:
    found: dict[int, Event] = {}
    for event in _of(events, "generation"):
        found.setdefault(event["number"], event)
    return tuple(found[number] for number in sorted(found))


def _counts(events: Sequence[Event], generations: Sequence[Event]) -> dict[str, int]:
    """From the events; of what only generations count, as the last one has it."""
    latest = generations[-1] if generations else {}
    evaluations = [evaluation for event in _of(events, "told") for evaluation in event["evaluations"]]
    counted = {
        "evaluated": len(evaluations),
        "failed": sum(evaluation["status"] == "failed" for evaluation in evaluations),
        "rejected": len(_of(events, "rejected")),
        "quarantined": len(_of(events, "quarantined")),
    }
    return {name: max(counted.get(name, 0), int(latest.get(name) or 0)) for name in COUNTS}


def _of(events: Iterable[Event], kind: str) -> list[Event]:
    return [event for event in events if event["event"] == kind]


def _last(events: Sequence[Event], kind: str) -> Event | None:
    return next((event for event in reversed(events) if event["event"] == kind), None)
