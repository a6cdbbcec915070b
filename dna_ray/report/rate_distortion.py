"""The figure of a sweep: what each kind of DNA keeps of the weights, and of their function, at every size."""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from math import floor
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, NullLocator

from dna_ray.mining.config import KIND_NAMES
from dna_ray.mining.reference import References, r2_at
from dna_ray.report import words
from dna_ray.report.canvas import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION, canvas, entitle, label
from dna_ray.report.rate_points import GEOMETRY, Origin, RatePoint, curves

COLOURS = dict(zip(KIND_NAMES, (BLUE, GREEN, ORANGE, PURPLE, VERMILION, SKY), strict=True))
WORST = -0.1  # what is worse is drawn at the edge
# Bits: the first set of which no more than MOST_TICKS lie on the axis.
TICKS = (
    (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32),
    (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50),
)
MOST_TICKS = 8
_HEIGHT = 4.7  # inches
_HALO = (withStroke(linewidth=2.5, foreground="white"),)  # keeps a name readable where lines cross it
_ELSEWHERE = ("s", "^", "v", "P")  # markers


def rate_distortion(points: Sequence[RatePoint], references: References) -> Figure | None:
    """R2, and where it was measured the function, over the bits of a matrix weight; None without matrices."""
    points = [point for point in points if point.bits_per_weight > 0]
    if not points:
        return None
    metric = _metric(points)
    figure, panels = canvas(_HEIGHT, columns=2 if metric else 1)
    low = max(WORST, floor(10 * min(point.achieved.r2 for point in points)) / 10)
    styles = _styles(points)
    _panel(panels[0], points, lambda point: max(low, point.achieved.r2), styles)
    _size_axes(panels, points)
    _references(panels[0], references)
    panels[0].set_ylim(low, 1.02)
    label(panels[0], y="R², pooled over the matrices")
    if metric:
        judged = [point for point in points if metric in point.metrics]
        _panel(panels[1], judged, lambda point: point.metrics[metric][0], styles)
        panels[1].set_ylim(top=1.02)
        label(panels[1], y=f"agreement: {metric.replace('_', ' ')}")
    entitle(figure, _finding(points))
    figure.legend(
        handles=_legend(points, styles), loc="outside lower left", ncols=4, frameon=False, fontsize=8, handlelength=1.8
    )
    return figure


def _metric(points: Sequence[RatePoint]) -> str | None:
    """What the panel of the function shows: the rank correlation, or what else the task tells first."""
    scored = [point.metrics for point in points if point.metrics]
    if any(GEOMETRY in metrics for metrics in scored):
        return GEOMETRY
    return next((next(iter(metrics)) for metrics in scored), None)


def _finding(points: Sequence[RatePoint]) -> str:
    """Who is ahead, and how far that is from the reference."""
    dna = [point for point in points if point.origin is Origin.DNA]
    best = [
        min((point for point in dna if point.asked == asked), key=lambda point: point.achieved.noise)
        for asked in dict.fromkeys(point.asked for point in dna)
    ]
    if not best:
        return "Yardsticks alone."
    names = [point.label for point in best]
    first = max(dict.fromkeys(names), key=names.count)
    gaps = [point.gap_db for point in best if point.label == first]
    where = "" if len(best) == 1 else f" at {names.count(first)} of {len(best)} sizes"
    span = " to ".join(dict.fromkeys((words.gap(min(gaps)), words.gap(max(gaps)))))
    return f"{first} explains most{where}: {span} beside the reference."


def _styles(points: Sequence[RatePoint]) -> dict[str, dict[str, Any]]:
    """Label -> how its curve is drawn: kinds of DNA in colours of their own, yardsticks in black and grey."""
    styles: dict[str, dict[str, Any]] = {}
    markers = cycle(_ELSEWHERE)
    for name, curve in curves(points).items():
        if curve[0].origin is Origin.DNA:
            styles[name] = {"color": COLOURS.get(name, GREY), "marker": "o", "linewidth": 1.6, "zorder": 4}
        elif curve[0].origin is Origin.YARDSTICK:
            styles[name] = {"color": INK, "marker": "D", "linestyle": "", "zorder": 5}
        else:
            styles[name] = {"color": GREY, "marker": next(markers), "linestyle": ":", "linewidth": 1, "zorder": 3}
    return {name: {"markersize": 4.5, **style} for name, style in styles.items()}


def _panel(
    axes: Axes,
    points: Sequence[RatePoint],
    height: Callable[[RatePoint], float],
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    """A line for each kind, and a marker with its name for each yardstick."""
    for name, curve in curves(points).items():
        axes.plot([point.bits_per_weight for point in curve], [height(point) for point in curve], **styles[name])
    for point in points:
        if point.origin is Origin.YARDSTICK:
            at = point.bits_per_weight, height(point)
            text = axes.annotate(point.label, at, (0, -13), textcoords="offset points", ha="center", fontsize=8)
            text.set(color=INK, path_effects=_HALO, zorder=6)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)


def _references(axes: Axes, references: References) -> None:
    bits = np.geomspace(*axes.get_xlim(), 120)
    for spectrum, style in ((references.separable, "-"), (references.iid, "--")):
        heights = [r2_at(spectrum, each * references.weights) for each in bits]
        axes.plot(bits, heights, style, color=INK, linewidth=0.9, zorder=2)


def _size_axes(panels: Sequence[Axes], points: Sequence[RatePoint]) -> None:
    """Bits of a matrix weight below, on a logarithmic axis; ratios above."""
    sizes = [point.bits_per_weight for point in points]
    panels[0].set_xscale("log")
    panels[0].set_xlim(min(sizes) / 1.15, max(sizes) * 1.15)
    low, high = panels[0].get_xlim()
    sets = [[tick for tick in ticks if low <= tick <= high] for ticks in TICKS]
    ticks = next((ticks for ticks in sets if len(ticks) <= MOST_TICKS), sets[-1])
    constant = points[0].ratio * points[0].bits_per_weight
    ratios = sorted({point.asked for point in points if point.asked is not None}) or [points[0].ratio]
    for axes in panels:
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        label(axes, x="bits per matrix weight, whole file")
        above = axes.secondary_xaxis("top")
        above.set_xticks([constant / ratio for ratio in ratios], [f"{ratio:.3g}x" for ratio in ratios])
        above.xaxis.set_minor_locator(NullLocator())
        above.tick_params(labelsize=8, length=2, colors="#555555")
        above.spines["top"].set_visible(False)
        above.set_xlabel("times smaller than fp32", fontsize=9, color="#555555")


def _legend(points: Sequence[RatePoint], styles: Mapping[str, Mapping[str, Any]]) -> list[Line2D]:
    """All curves; yardsticks that carry their names in the figure share an entry."""
    handles = [
        Line2D([], [], color=INK, linewidth=0.9, label="Gaussian reference"),
        Line2D([], [], color=INK, linewidth=0.9, linestyle="--", label="i.i.d. Gaussians"),
    ]
    origins = {point.label: point.origin for point in points}
    rounded = [name for name, origin in origins.items() if origin is Origin.YARDSTICK]
    named = {name: name for name in styles if name not in rounded} | dict.fromkeys(rounded[:1], "round to nearest")
    return handles + [Line2D([], [], **styles[name], label=text) for name, text in named.items()]
