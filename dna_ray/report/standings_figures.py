"""The figures of a comparison of methods: scores with their intervals, and how fast searches went down."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dna_ray.evolution.comparison.config import ABLATIONS, KNOWN, OURS, RIVALS
from dna_ray.evolution.comparison.standings import Curves, Row, Standing, Standings
from dna_ray.report.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    canvas,
    label,
)
from dna_ray.report.standings_words import percent

LINES = dict(zip((OURS, *RIVALS), (VERMILION, GREY, SKY, BLUE, INK, ORANGE, GREEN), strict=True))
MOST = 4  # panels beside each other
_KINDS = {**dict.fromkeys(KNOWN, BLUE), **dict.fromkeys(RIVALS, GREEN), **dict.fromkeys(ABLATIONS, ORANGE)}


def scores(table: Standings) -> Figure | None:
    """Score of each method with its interval over seeds, a panel for each sparsity; None before there is a score."""
    shown = [each for each in table.sparsities if each.rows and each.rows[0].score is not None][:MOST]
    if not shown:
        return None
    methods = [row.method for row in shown[-1].rows]
    figure, panels = canvas(1.5 + 0.24 * len(methods), columns=len(shown), share="y")
    for axes, standing in zip(panels, shown, strict=True):
        for row in standing.rows:
            if row.method in methods and row.score is not None:
                _point(axes, row, row.score, methods.index(row.method))
        axes.axvline(table.dense, color=INK, linewidth=0.9, linestyle="--")
        axes.set_title(f"{percent(standing.sparsity)} zeros", fontsize=10, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(axis="y", length=0)
        label(axes, x=table.score)
    panels[0].set_yticks(range(len(methods)), methods)
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    best = shown[-1].rows[0]
    figure.suptitle(
        f"At {percent(shown[-1].sparsity)} zeros {best.method} has the highest {table.score}, {best.score:.3f}.",
        x=0.01,
        ha="left",
        fontsize=12,
        color=INK,
        fontweight="bold",
    )
    figure.supxlabel(
        f"Test split, n = {table.examples:,}; 95 % intervals over seeds. Blue: no search; green: searches of others; "
        f"red: {OURS};\norange: the same without one of its parts; dashed: dense. In the order of the last panel.",
        fontsize=8,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure


def searches(table: Standings, curves: Curves) -> Figure | None:
    """Lowest loss so far over evaluations, the median over seeds; None without a search.

    The machine and the best EvoPress-like come with their range over seeds: of all, nothing could be told apart.
    """
    shown = [each for each in table.sparsities if any((each.sparsity, name) in curves for name in LINES)][:MOST]
    if not shown:
        return None
    columns = min(2, len(shown))
    figure, panels = canvas(0.9 + 2.9 * -(-len(shown) // columns), rows=-(-len(shown) // columns), columns=columns)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    for axes, standing in zip(panels, shown, strict=False):
        _panel(axes, standing, table, curves)
    for axes in panels[max(0, len(shown) - columns) : len(shown)]:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        label(axes, x="evaluations")
    figure.suptitle(_finding(shown, table), x=0.01, ha="left", fontsize=12, color=INK, fontweight="bold")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    return figure


def _point(axes: Axes, row: Row, score: float, y: int) -> None:
    colour = _KINDS.get(row.method, VERMILION)
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot(score, y, "o", color=colour, markersize=6 if row.method == OURS else 4.5)


def _panel(axes: Axes, standing: Standing, table: Standings, curves: Curves) -> None:
    steps = np.arange(1, table.evaluations + 1)
    seen: list[NDArray[np.float64]] = []
    lows: list[float] = []
    for method, colour in LINES.items():
        found = [curve for curve in curves.get((standing.sparsity, method), ()) if curve]
        if not found:
            continue
        heights = np.stack([_so_far(curve, steps) for curve in found])
        known = np.isfinite(heights).all(0)
        at, heights = steps[known], heights[:, known]
        seen.append(np.median(heights, axis=0))
        lows.append(float(heights.min()))
        width = 2.2 if method == OURS else 1.4
        axes.step(at, seen[-1], where="post", color=colour, linewidth=width, label=method, zorder=3)
        if method in (OURS, standing.evopress):
            axes.fill_between(at, heights.min(0), heights.max(0), step="post", color=colour, alpha=0.15, linewidth=0)
    plain = [row.loss for row in standing.rows if row.method in KNOWN and row.loss is not None]
    if plain:
        axes.axhline(min(plain), color=PURPLE, linewidth=1, linestyle="--", label="best without search")
    if seen:
        _reach(axes, seen, plain, min(lows))
    axes.set_title(f"{percent(standing.sparsity)} zeros", fontsize=10, color=INK)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    label(axes, y="lowest search loss")


def _reach(axes: Axes, seen: Sequence[NDArray[np.float64]], plain: Sequence[float], low: float) -> None:
    """The axis has where half of the searches begin, and where all end; what is worse at first is cut off."""
    ends = [float(curve[-1]) for curve in seen] + [min(plain, default=-np.inf)]
    top = max(float(np.median([curve[0] for curve in seen])), *ends)
    axes.set_ylim(low - 0.05 * (top - low), top + 0.08 * (top - low))


def _so_far(curve: Sequence[tuple[int, float]], steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """The lowest loss after each number of evaluations; infinity before the first."""
    places = np.searchsorted([evaluations for evaluations, _ in curve], steps, side="right")
    return np.array([np.inf, *(loss for _, loss in curve)])[places]


def _finding(shown: Sequence[Standing], table: Standings) -> str:
    passed = [each.typically_passed for each in shown if each.passed]
    fast = sum(each is not None and each <= table.evaluations / 2 for each in passed)
    if not passed:
        return "Lowest loss on the search split, the median over seeds."
    if len(passed) == 1:
        return f"By half-time {OURS} has {'' if fast else 'not '}passed EvoPress's final loss."
    return f"By half-time {OURS} has passed EvoPress's final loss at {fast} of {len(passed)} sparsities."
