"""The figures of a search: its chronicle -> Figure, or None where there is nothing to see.

To add one: write its function here, and its line in `FIGURES`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dna_ray.evolution.chronicle import Chronicle
from dna_ray.report import evolution_words, words
from dna_ray.report.canvas import (
    BLUE,
    DEPTH,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    canvas,
    entitle,
    label,
)
from dna_ray.report.methods import CHAMPION, DENSE, Method, interval, methods

REACH = 0.9  # share of the losses that decides how far an axis goes; what is worse is drawn at its edge
KINDS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, INK, GREY)
_SPREAD = 0.6  # of the distance between two generations, over which their agents are spread
_TICKS = 5


def fitness(search: Chronicle) -> Figure | None:
    """Best and median loss over the generations, over the losses of their agents."""
    points = [point for point in search.generations if point.get("best") is not None]
    if not points or not search.losses:
        return None
    figure, [axes] = canvas(3.8)
    numbers = [point["number"] for point in points]
    top = _top(search, [point["median"] for point in points])
    _agents_of_generations(axes, search, top)
    for key, colour in (("median", ORANGE), ("best", BLUE)):
        axes.plot(numbers, [point[key] for point in points], "o-", color=colour, linewidth=1.8, markersize=4, label=key)
    low = min(search.losses.values())
    axes.set_ylim(low - 0.06 * (top - low), top + 0.04 * (top - low))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9, ncols=3)
    first, last, count = points[0]["best"], points[-1]["best"], len(points)
    entitle(
        figure,
        f"The best loss is {last:.4g} after {count} generations, {first:.4g} after the first.",
        "A dot is an agent; arrows at the edge are worse. Median: of the agents that saw as much data as the best.",
    )
    label(axes, x="generation", y=f"loss ({search.signal})" if search.signal else "loss")
    return figure


def trade_off(search: Chronicle) -> Figure | None:
    """Loss over multiply-adds, coloured by generation, with the Pareto front; None where all agents cost the same."""
    agents = [search.agents[agent] for agent in search.losses]
    if len({agent.multiply_adds for agent in agents}) < 2:
        return None
    figure, [axes] = canvas(4.2)
    top, dense = _top(search, []), search.dense_multiply_adds
    mapped = Normalize(1, max(2, *(agent.generation for agent in agents)))
    order = sorted(agents, key=lambda agent: agent.generation)
    axes.scatter(
        [agent.multiply_adds / dense for agent in order],
        [min(top, search.losses[agent.id]) for agent in order],
        c=[colormaps[DEPTH](mapped(agent.generation)) for agent in order],
        s=22,
        linewidths=0,
    )
    front = sorted((search.agents[agent] for agent in search.front), key=lambda agent: agent.multiply_adds)
    shares = [agent.multiply_adds / dense for agent in front]
    axes.step(
        shares, [search.losses[agent.id] for agent in front], "o-", where="post", color=VERMILION, label="Pareto front"
    )
    figure.colorbar(ScalarMappable(mapped, DEPTH), ax=axes, label="generation", pad=0.01, aspect=30)
    axes.margins(x=0.05)
    entitle(
        figure,
        _finding_of_front(shares, len(agents)),
        "A dot is an agent, the worst tenth at the upper edge. The front is of those that saw most data.",
    )
    label(axes, x="multiply-adds that are left, of those of the dense layers", y="loss")
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
    if front:
        axes.legend(frameon=False, fontsize=9)
    return figure


def genealogy(search: Chronicle) -> Figure | None:
    """Agents by their steps from the founders and the rank of their loss, with lines from first parents."""
    if len(search.losses) < 2:
        return None
    ranks = {agent: rank for rank, agent in enumerate(sorted(search.losses, key=lambda each: search.losses[each]))}
    places = {
        agent: (search.depths[agent] + _aside(number), float(rank))
        for number, (agent, rank) in enumerate(ranks.items())
    }
    champion = search.champion["id"] if search.champion else next(iter(ranks))
    line = [agent.id for agent in search.line(champion) if agent.id in places]
    figure, [axes] = canvas(4.6)
    axes.add_collection(LineCollection(list(_edges(search, places)), colors="#CFCFCF", linewidths=0.7, zorder=1))
    xs, ys = zip(*places.values(), strict=True)
    axes.scatter(xs, ys, s=16, color=SKY, linewidths=0, zorder=2)
    if line:
        along = [places[agent] for agent in line]
        axes.plot(*zip(*along, strict=True), "o-", color=VERMILION, linewidth=2, markersize=5, zorder=3)
        axes.plot(*along[-1], "o", color=VERMILION, markersize=9, markeredgecolor=INK, zorder=4)
    _rank_axis(axes, search)
    axes.set_ylim(len(ranks) - 0.5, -0.04 * len(ranks))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    steps = max(0, len(line) - 1)
    entitle(
        figure,
        f"The {'champion' if search.champion else 'best agent'} is {steps} {'step' if steps == 1 else 'steps'} "
        "from its founder.",
        "A dot is an agent, the best at the top; lines lead from first parents, those of the champion in red.",
    )
    label(axes, x="steps from the founders", y="loss, by rank")
    return figure


def profile(search: Chronicle) -> Figure | None:
    """What each layer of the champion keeps, beside the same for all: a line for each kind of layer."""
    if search.champion is None or not search.champion.get("profile"):
        return None
    kept = search.champion["profile"]
    kinds: dict[str, list[float]] = {}
    for layer in search.layers:
        if layer["name"] in kept:
            kinds.setdefault(layer["kind"], []).append(kept[layer["name"]])
    figure, [axes] = canvas(3.9)
    uniform = 1 - search.sparsity
    axes.axhline(uniform, color=INK, linewidth=1, linestyle="--", label=f"uniform, {uniform:.1%}")
    for number, (kind, shares) in enumerate(kinds.items()):
        style = "o-" if number < len(KINDS) else "s--"
        places = range(1, len(shares) + 1)
        axes.plot(places, shares, style, color=KINDS[number % len(KINDS)], linewidth=1.4, markersize=5, label=kind)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    low, high = min(kept.values()), max(kept.values())
    entitle(
        figure,
        f"Layers of the champion keep {words.percent(low)} to {words.percent(high)} of their weights.",
        "Layers of a kind in the order of the network; all together they keep what the dashed line says.",
    )
    label(axes, x="layer of its kind", y="weights that are kept")
    figure.legend(loc="outside lower left", ncols=min(5, len(kinds) + 1), frameon=False, fontsize=9)
    return figure


def comparison(search: Chronicle) -> Figure | None:
    """The champion beside the known methods and the dense network, on the test split, with 95 % intervals."""
    rows = methods(search)
    if not rows:
        return None
    figure, [axes] = canvas(1.6 + 0.3 * len(rows))
    name = next(iter(rows[0].figures))
    for y, row in enumerate(rows):
        _row(axes, row, y)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    best = [row for row in rows if row.name not in (CHAMPION, DENSE)]
    crown = next((row for row in rows if row.name == CHAMPION), None)
    entitle(
        figure,
        f"The champion has {name} {crown.value:.3f}, {best[0].name}, the best of the others, {best[0].value:.3f}."
        if crown and best
        else f"Test split: {name}.",
        "On the test split, which nothing was chosen by; 95 % intervals of the draw of its examples.",
    )
    label(axes, x=f"{name} on the test split")
    return figure


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure of the page: what it is called under it, and what draws it."""

    caption: str
    draw: Callable[[Chronicle], Figure | None]


FIGURES: Mapping[str, Plot] = {
    "methods": Plot("The champion beside the known methods", comparison),
    "fitness": Plot("Loss over the generations", fitness),
    "front": Plot("Loss and multiply-adds", trade_off),
    "profile": Plot("Profile of the champion", profile),
    "genealogy": Plot("Genealogy", genealogy),
}


def _finding_of_front(shares: Sequence[float], agents: int) -> str:
    if not shares:
        return f"{agents} agents, by loss and multiply-adds."
    if len(shares) == 1:
        return f"None beats the champion in loss or multiply-adds, {100 * shares[0]:.1f} % of the dense layers'."
    span = f"{100 * shares[0]:.1f} % to {100 * shares[-1]:.1f} %"
    return f"A front of {len(shares)} agents, with {span} of the dense layers' multiply-adds."


def _top(search: Chronicle, shown: Sequence[float]) -> float:
    """How far up an axis of losses goes: to nine in ten agents, and to what must be seen."""
    return max(float(np.quantile(list(search.losses.values()), REACH)), *shown, -np.inf)


def _agents_of_generations(axes: Axes, search: Chronicle, top: float) -> None:
    agents = [search.agents[agent] for agent in search.losses]
    for above, marker, colour in ((False, "o", "#BBD7E8"), (True, "^", "#CFCFCF")):
        some = [
            (agent.generation + _aside(number), min(top, search.losses[agent.id]))
            for number, agent in enumerate(agents)
            if (search.losses[agent.id] > top) == above
        ]
        if some:
            axes.plot(*zip(*some, strict=True), marker, color=colour, markersize=3.5, markeredgewidth=0, zorder=1)


def _aside(number: int) -> float:
    """Spreads agents of a generation evenly, without a random generator: by the golden ratio."""
    return ((number * 0.618034) % 1 - 0.5) * _SPREAD


def _edges(
    search: Chronicle, places: Mapping[str, tuple[float, float]]
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    for agent in places:
        parents = search.agents[agent].parents
        if parents and parents[0] in places:
            yield places[parents[0]], places[agent]


def _rank_axis(axes: Axes, search: Chronicle) -> None:
    """Losses where their ranks are."""
    losses = sorted(search.losses.values())
    ranks = np.unique(np.linspace(0, len(losses) - 1, _TICKS).round().astype(int)).tolist()
    axes.set_yticks(ranks, [f"{losses[rank]:.4g}" for rank in ranks])


def _row(axes: Axes, row: Method, y: int) -> None:
    colour = {CHAMPION: VERMILION, DENSE: GREY}.get(row.name, BLUE)
    measured = next(iter(row.figures.values()))
    ends = interval(measured)
    if ends is not None:
        axes.plot(ends, [y, y], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot(measured.value, y, "o", color=colour, markersize=6)
    text = evolution_words.measured(measured)
    axes.text(1.02, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=INK)
