"""How an agent of a search came to be: from its founder to itself, step by step, with what each step changed.

Read from the journals of a run store; needs neither MLflow nor torch.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dna_ray.errors import InputError
from dna_ray.evolution.chronicle import AgentRecord, Chronicle
from dna_ray.evolution.genealogy import Change, changes, formula, program
from dna_ray.tracking.lineage import LEAST, called, read_graph, records

_LISTED = 6  # ids in a message


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """An agent, and what it changed of its first parent.

    Attributes:
        loss: Carried to the most minibatches that any agent of the run saw; None where its evaluation failed.
        changes: Nothing for the founder.
    """

    agent: AgentRecord
    loss: float | None
    changes: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ancestry:
    """The line of an agent.

    Attributes:
        run: The newest run that holds it.
        network: That it evolved on.
        champion: Whether it is the champion of that run.
        others: More runs that hold it: founders are the same in all runs on a network.
        line: From its founder to itself.
        children: Ids of the agents that came of it.
    """

    run: str
    network: str
    champion: bool
    others: tuple[str, ...]
    line: tuple[Step, ...]
    children: tuple[str, ...]

    @property
    def agent(self) -> AgentRecord:
        return self.line[-1].agent

    def to_json(self) -> dict[str, Any]:
        """The line from the founder on, with all programs as Python."""
        return {
            "subject": self.agent.id,
            "run": self.run,
            "network": self.network,
            "champion": self.champion,
            "others": list(self.others),
            "line": [
                {**asdict(step.agent), "loss": step.loss, "program": program(step.agent)}
                | {"changes": [asdict(change) for change in step.changes]}
                for step in self.line
            ],
            "children": list(self.children),
        }

    def to_text(self) -> str:
        """The founder first, the agent last, marked with `*`, and below it its program."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        crown = ", its champion" if self.champion else ""
        yield f"agent {self.agent.id[:12]} of run {self.run}{crown}; network {self.network}"
        if self.others:
            yield f"also in {', '.join(self.others)}"
        for number, step in enumerate(self.line):
            yield ""
            yield ("* " if step.agent is self.agent else "  ") + _told(step)
            if number == 0:
                yield f"      {formula(step.agent)}"
            for change in step.changes:
                yield from _diff(change)
        yield ""
        yield from program(self.agent).rstrip().splitlines()
        if self.children:
            yield ""
            yield f"{len(self.children)} children: {', '.join(child[:12] for child in self.children)}"


def ancestry_of(x: str, store: Path) -> Ancestry | None:
    """The line of the agent whose id starts with `x`; None where there is none.

    Raises:
        InputError: Several agents are called so, or something else is, too.
    """
    if len(x) < LEAST or set(x) - set("0123456789abcdef"):
        return None
    found = [
        (record.started, record.name, record.networks, record.evolution, agent)
        for _, record in records(store)
        if record.evolution is not None
        for agent in record.evolution.agents
        if agent.startswith(x)
    ]
    if not found:
        return None
    ids = sorted({agent for *_, agent in found})
    nodes = called(x, read_graph(store), store)
    if len(ids) > 1 or nodes:
        ids += [node.id for node in nodes]
        raise InputError(f"{x}: {len(ids)} ids start so; give more of it: {', '.join(i[:12] for i in ids[:_LISTED])}")
    found.sort(key=lambda each: each[:2])
    _, run, networks, search, agent = found[-1]
    return Ancestry(
        run=run,
        network=networks[0]["name"] if networks else "unknown",
        champion=search.champion is not None and search.champion["id"] == agent,
        others=tuple(each[1] for each in found[:-1]),
        line=tuple(_steps(search, agent)),
        children=tuple(each.id for each in search.agents.values() if agent in each.parents),
    )


def _steps(search: Chronicle, agent: str) -> Iterator[Step]:
    parent = None
    for each in search.line(agent):
        changed = changes(parent, each, search.layers) if parent else ()
        yield Step(agent=each, loss=search.losses.get(each.id), changes=changed)
        parent = each


def _told(step: Step) -> str:
    agent = step.agent
    loss = f"failed: {agent.reason}" if step.loss is None else f"loss {step.loss:.5g} ({agent.rung} minibatches)"
    second = f" with {agent.parents[1][:12]}" if len(agent.parents) > 1 else ""
    return f"{agent.id[:12]}  {agent.operator}{second}  generation {agent.generation}, {loss}"


def _diff(change: Change) -> Iterator[str]:
    if change.short:
        yield f"      {change.gene}: {change.before or 'none'} -> {change.after or 'none'}"
        return
    yield f"      {change.gene}"
    if change.before:
        yield f"      - {change.before}"
    if change.after:
        yield f"      + {change.after}"
