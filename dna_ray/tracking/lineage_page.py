"""The genealogy of a search as one page of HTML that needs nothing else: no server, no library, no network.

An agent is a dot: how many steps it is from its founders, and the rank of its loss. Whatever comes from the journal is
escaped by the template, for HTML and for the script alike.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from dna_ray import __version__
from dna_ray.evolution.chronicle import AgentRecord, Chronicle
from dna_ray.evolution.genealogy import changes, program

_WIDTH, _HEIGHT = 1100, 520  # of the drawing, in pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 24, 20, 44  # its margins
_TICKS = 5
_SPREAD = 0.7  # of the distance between two generations, over which their agents are spread


@dataclass(frozen=True, slots=True)
class Dot:
    """An agent as it is drawn; `style` is a class of the page's style sheet."""

    x: float
    y: float
    style: str
    agent: AgentRecord


def lineage_page(search: Chronicle, name: str) -> str:
    """The page of the search that the run `name` made; its champion is the best one so far where none is crowned."""
    champion = _champion(search)
    line = search.line(champion) if champion else ()
    dots = _dots(search, {agent.id for agent in line}, champion)
    return _template().render(
        name=name,
        search=search,
        champion=champion,
        line=line,
        steps=list(_steps(line, search)),
        size=(_WIDTH, _HEIGHT),
        frame=(_LEFT, _TOP, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM),
        dots=dots.values(),
        edges=list(_edges(dots, line)),
        columns=_columns(search),
        ticks=_ticks(search),
        cards={agent.id: _card(agent, search) for agent in search.agents.values()},
        version=__version__,
    )


def _champion(search: Chronicle) -> str | None:
    if search.champion is not None:
        return str(search.champion["id"])
    most = max((agent.rung for agent in search.agents.values()), default=0)
    finalists = [agent for agent in search.agents.values() if agent.rung == most and not agent.failed]
    return min(finalists, key=lambda agent: search.losses[agent.id]).id if finalists else None


def _dots(search: Chronicle, line: set[str], champion: str | None) -> dict[str, Dot]:
    """Agent -> its place, those of the champion's line last, so that they lie on top; failed ones at the bottom."""
    ranks = {agent: rank for rank, agent in enumerate(sorted(search.losses, key=lambda each: search.losses[each]))}
    width = _column_width(search)
    dots = {}
    for number, agent in enumerate(search.agents.values()):
        aside = ((number * 0.618034) % 1 - 0.5) * min(_SPREAD * width, 60)  # so that few dots hide each other
        x = _column(search.depths[agent.id], width) + aside
        rank = ranks.get(agent.id)
        y = _HEIGHT - _BOTTOM + 10 if rank is None else _y(rank, len(ranks))
        style = "champion" if agent.id == champion else "line" if agent.id in line else "failed" if agent.failed else ""
        dots[agent.id] = Dot(round(x, 1), round(y, 1), style, agent)
    return dict(sorted(dots.items(), key=lambda item: item[0] in line))


def _edges(dots: Mapping[str, Dot], line: tuple[AgentRecord, ...]) -> Iterator[tuple[Dot, Dot, str]]:
    """From parent to child; the champion's line last."""
    first = {(parent.id, child.id) for parent, child in zip(line, line[1:], strict=False)}
    pairs = [
        (parent, dot.agent.id, place)
        for dot in dots.values()
        for place, parent in enumerate(dict.fromkeys(dot.agent.parents))
    ]
    for parent, child, place in sorted(pairs, key=lambda pair: pair[:2] in first):
        if parent in dots:
            style = "line" if (parent, child) in first else "second" if place else ""
            yield dots[parent], dots[child], style


def _columns(search: Chronicle) -> list[tuple[float, int]]:
    depths = sorted(set(search.depths.values()))
    every = 1 + len(depths) // 24  # as many numbers as fit beside each other
    return [(_column(depth, _column_width(search)), depth) for depth in depths[::every]]


def _ticks(search: Chronicle) -> list[tuple[float, str]]:
    """Losses beside their ranks."""
    losses = sorted(search.losses.values())
    if not losses:
        return []
    ranks = dict.fromkeys(round(step * (len(losses) - 1) / (_TICKS - 1)) for step in range(_TICKS))
    return [(_y(rank, len(losses)), f"{losses[rank]:.4g}") for rank in ranks]


def _column_width(search: Chronicle) -> float:
    return (_WIDTH - _LEFT - _RIGHT) / (1 + max(search.depths.values(), default=0))


def _column(depth: int, width: float) -> float:
    return round(_LEFT + (depth + 0.5) * width, 1)


def _y(rank: int, count: int) -> float:
    """The best at the top."""
    return _TOP + 8 + (_HEIGHT - _TOP - _BOTTOM - 24) * rank / max(1, count - 1)


def _steps(line: tuple[AgentRecord, ...], search: Chronicle) -> Iterator[dict[str, Any]]:
    """The champion's ancestors, from the founder on, each with what it changed."""
    for number, agent in enumerate(line):
        yield {
            "agent": agent,
            "loss": search.losses.get(agent.id),
            "changes": changes(line[number - 1], agent, search.layers) if number else (),
            "program": program(agent),
        }


def _card(agent: AgentRecord, search: Chronicle) -> dict[str, Any]:
    """What a click on a dot shows."""
    loss = search.losses.get(agent.id)
    figures = f"failed: {agent.reason}" if loss is None else f"loss {loss:.5g} after {agent.rung} minibatches"
    parents = [parent for parent in agent.parents if parent in search.agents]
    first = search.agents[parents[0]] if parents else None
    return {
        "title": f"{agent.id[:12]}  {agent.operator}, generation {agent.generation}",
        "figures": f"{figures}, {agent.kept:,} weights, {agent.multiply_adds:,} multiply-adds",
        "words": agent.words,
        "program": program(agent),
        "parents": parents,
        "changes": [[c.gene, c.before, c.after, c.short] for c in changes(first, agent, search.layers)]
        if first
        else [],
    }


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("dna_ray.tracking"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("lineage.html.j2")
