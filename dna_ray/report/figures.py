"""The figures of a DNA: findings -> Figure, or None where there is nothing to see.

To add one: write its function here, and its line in `FIGURES`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from dna_ray.mining.measures import Histogram, Measures, TensorMeasure
from dna_ray.mining.structure import CALIBRATED, Saved
from dna_ray.report import words
from dna_ray.report.canvas import BLUE, DEPTH, GREEN, GREY, INK, ORANGE, PURPLE, canvas, entitle, label
from dna_ray.report.findings import Compared, Findings, best_first

REACH = 4.0  # of the histograms, in standard deviations
WORST_R2 = -0.1  # what is worse is drawn at the edge, with an arrow
BARS = 12
PARTS = {"mean": PURPLE, "scales": BLUE, "transform": GREEN, "coder": ORANGE, CALIBRATED: ORANGE}
LEAST = 0.001  # share of the weights below which a kind is not drawn


def error_histogram(findings: Findings) -> Figure | None:
    """The distribution of the errors over that of the weights; None where there are no errors."""
    measures = findings.measures
    sigma = measures.achieved.noise**0.5
    if not sum(measures.values.counts) or not sigma:
        return None
    figure, [axes] = canvas(3.4)
    bins = 128 if sigma > 0.1 else 512
    centres, density = _density(measures.errors, bins=bins)
    axes.fill_between(centres, density, step="mid", color=BLUE, alpha=0.4, linewidth=0, label="errors")
    centres, density = _density(measures.values, bins=bins)
    axes.step(centres, density, where="mid", color=INK, linewidth=1.2, label="weights")
    entitle(
        figure,
        f"The error has {words.percent(sigma)} of the weights' standard deviation.",
        f"All matrices, each in its own σ; beyond {REACH:.0f} σ: {words.percent(_beyond(measures.errors))} of the "
        f"errors, {words.percent(_beyond(measures.values))} of the weights.",
    )
    label(axes, x="rebuilt − original, and original − mean [σ of the matrix]", y="density [1/σ]")
    axes.set_xlim(-REACH, REACH)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
    return figure


def tensor_r2(findings: Findings) -> Figure | None:
    """R2 of every matrix: a row for each kind, from its first layer down to its last, and the reference as a tick."""
    measures = findings.measures
    if not measures.tensors:
        return None
    groups = {kind.kind: [t for t in measures.tensors if t.kind == kind.kind] for kind in measures.kinds}
    groups = {kind: sorted(group, key=lambda tensor: tensor.layer) for kind, group in groups.items()}
    step = float(np.clip(8.5 / len(measures.tensors), 0.042, 0.075))  # inches from one matrix to the next
    heights = [max(0.27, step * len(group)) for group in groups.values()]
    figure, [axes] = canvas(1.5 + sum(heights))
    low, top, layers = _r2_start(measures), 0.0, max(1, *(tensor.layer for tensor in measures.tensors))
    for i, (group, height) in enumerate(zip(groups.values(), heights, strict=True)):
        axes.axhspan(top, top + height, color="white" if i % 2 else "#F6F6F6", zorder=-1)
        _r2_rows(axes, group, top + height * (np.arange(len(group)) + 0.5) / len(group), low=low, layers=layers)
        top += height
    axes.set_ylim(top, 0)
    axes.set_xlim(low, 1.005)
    axes.set_yticks(
        np.cumsum(heights) - np.asarray(heights) / 2, [f"{kind} ({len(group)})" for kind, group in groups.items()]
    )
    axes.tick_params(axis="y", length=0)
    achieved, reference = words.r2(measures.achieved.r2), words.r2(measures.reference.r2)
    entitle(
        figure,
        f"Pooled over all matrices, R² is {achieved}; the Gaussian reference is {reference}.",
        "A dot is a matrix, the first layer at the top of each kind; grey is outside the layers, ◂ left of the axis.",
    )
    label(axes, x="R² about the mean of the matrix")
    _r2_legend(figure, axes, layers)
    return figure


def parts_saved(findings: Findings) -> Figure | None:
    """Bits per weight that each part saves: a bar for each kind, what costs to the left of zero, and a tick for all."""
    structure = findings.structure
    if structure is None:
        return None
    total = structure.total
    shown = [total, *(kind for kind in structure.kinds if kind.weights >= LEAST * total.weights)]
    figure, [axes] = canvas(1.7 + 0.34 * len(shown))
    for y, row in enumerate(shown):
        _stack(axes, row, y)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.axhline(0.5, color=GREY, linewidth=0.8)
    axes.set_yticks(range(len(shown)), [f"{row.kind} ({row.tensors})" for row in shown])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    saved, small = total.per_weight["net"], len(structure.rows) - len(shown)
    entitle(
        figure,
        f"Matrices take {abs(saved):.3f} bits per weight {'less' if saved >= 0 else 'more'} than i.i.d. Gaussians.",
        "At the same error. Left of zero: what costs. Black, and on the right: all parts, of i.i.d.",
    )
    label(axes, x="saved [bits per weight]" + (f"; kinds too small to draw: {small}" if small else ""))
    handles = [Patch(color=PARTS[part], label=part) for part in structure.parts]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def file_bytes(findings: Findings) -> Figure | None:
    """The sections of the file, largest first."""
    sections = sorted(findings.measures.sections.items(), key=lambda section: -section[1])
    shown, rest = sections[:BARS], sections[BARS:]
    if rest:
        shown.append((f"{len(rest)} others", sum(count for _, count in rest)))
    total = findings.measures.file_bytes
    figure, [axes] = canvas(1.3 + 0.3 * len(shown))
    names, counts = [name for name, _ in shown], [count for _, count in shown]
    colours = [BLUE] * len(sections[:BARS]) + [GREY] * bool(rest)
    bars = axes.barh(names, [count / 1e6 for count in counts], color=colours, height=0.62)
    texts = [f" {words.size(count)}, {words.percent(count / total)}" for count in counts]
    axes.bar_label(bars, texts, fontsize=9, color=INK)
    axes.invert_yaxis()
    axes.set_xlim(0, max(*counts, 1) / 1e6 * 1.22)
    entitle(figure, f"The file has {total:,} bytes: {words.ratio(findings.measures.ratio)} smaller than fp32.")
    label(axes, x="size [MB]")
    return figure


def training_curve(findings: Findings) -> Figure | None:
    """Loss, and R2 or cosine, over the steps, with the time that they took."""
    points = [point for point in findings.steps if isfinite(point.get("loss", np.nan))]
    if len(points) < 2:
        return None
    figures = {"r2": "R² of a step's points", "cosine": "cosine of a step's texts"}
    key = next((name for name in figures if name in points[-1]), "r2")
    explained = [point for point in points if isfinite(point.get(key, np.nan))]
    figure, panels = canvas(4.6 if explained else 3.0, rows=2 if explained else 1)
    steps = [point["step"] for point in points]
    losses = [point["loss"] for point in points]
    panels[0].plot(steps, losses, color=BLUE, linewidth=1.6)
    if 0 < 20 * min(losses) < max(losses):
        panels[0].set_yscale("log")
    label(panels[0], y="loss")
    if explained:
        panels[1].plot([p["step"] for p in explained], [p[key] for p in explained], color=ORANGE, linewidth=1.6)
        label(panels[1], y=figures[key])
    for axes in panels:
        axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
        axes.margins(x=0.01)
    label(panels[-1], x="step")
    seconds = [(point["time"] - points[0]["time"]) / 1000 for point in points if "time" in point]
    lasted = f" in {words.duration(seconds[-1])}" if len(seconds) == len(steps) else ""
    entitle(figure, f"The loss went from {losses[0]:.3g} to {losses[-1]:.3g}{lasted}.")
    if lasted and seconds[-1] > 0:
        _time_axis(panels[0], np.asarray(steps, float), np.maximum.accumulate(seconds))
    return figure


def comparison(rows: Sequence[Compared]) -> Figure:
    """R2 of each kind of DNA, best first, each beside the Gaussian reference for the bytes of its file."""
    ordered = best_first(rows)
    figure, [axes] = canvas(1.6 + 0.42 * len(ordered))
    names, measures = [row.kind for row in ordered], [row.measures for row in ordered]
    values = [each.achieved.r2 for each in measures]
    low = min(0.0, max(WORST_R2, min(values)))
    axes.barh(names, [max(low, value) for value in values], color=BLUE, height=0.58)
    axes.invert_yaxis()
    for y, each in enumerate(measures):
        axes.vlines(each.reference.r2, y - 0.42, y + 0.42, color=INK, linewidth=2)
        figures = f"{words.r2(each.achieved.r2)}  {words.gap(each.gap_db)}"
        axes.text(1.02, y, figures, transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=INK)
    axes.set_xlim(low, 1.0)
    sizes = [each.file_bytes for each in measures]
    span = f"At {words.size(min(sizes))}" if max(sizes) <= 1.01 * min(sizes) else "With files of unequal size"
    entitle(
        figure,
        f"{span}, {names[0]} explains most: R² {words.r2(values[0])}.",
        "Black: the Gaussian reference for the bytes of that file. On the right: R², and SNR less the reference's.",
    )
    label(axes, x="R², pooled over the matrices")
    return figure


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure of the page: what it is called under it, and what draws it."""

    caption: str
    draw: Callable[[Findings], Figure | None]


FIGURES: Mapping[str, Plot] = {
    "structure": Plot("Structure found", parts_saved),
    "tensors": Plot("R² of every matrix", tensor_r2),
    "errors": Plot("Errors beside the weights", error_histogram),
    "bytes": Plot("Where the bytes go", file_bytes),
    "curve": Plot("Training", training_curve),
}


def _stack(axes: Axes, row: Saved, y: int) -> None:
    """What parts save, one after the other from zero to the right, what they cost to the left, and all together."""
    figures, ends = row.per_weight, {True: 0.0, False: 0.0}
    for part in row.parts:
        gains = figures[part] > 0
        axes.barh(y, figures[part], left=ends[gains], color=PARTS[part], height=0.62)
        ends[gains] += figures[part]
    axes.vlines(figures["net"], y - 0.4, y + 0.4, color=INK, linewidth=2, zorder=3)
    text = f"{figures['net']:+z.3f} of {figures['iid']:.3f}"
    axes.text(1.02, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=INK)


def _density(histogram: Histogram, *, bins: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    counts = np.asarray(histogram.counts, np.float64).reshape(bins, -1).sum(1)
    width = 2 * REACH / bins
    centres = np.linspace(-REACH + width / 2, REACH - width / 2, bins)
    return centres, np.asarray(counts / (max(1.0, counts.sum() + histogram.beyond) * width), np.float64)


def _beyond(histogram: Histogram) -> float:
    return histogram.beyond / max(1, sum(histogram.counts) + histogram.beyond)


def _r2_start(measures: Measures) -> float:
    """Where the R2 axis begins: at the lowest figure, but neither below `WORST_R2` nor so high that it exaggerates."""
    lowest = min(min(tensor.achieved.r2, tensor.reference.r2) for tensor in measures.tensors)
    return float(np.clip(lowest - 0.03, WORST_R2, 0.8))


def _r2_rows(axes: Axes, group: list[TensorMeasure], ys: NDArray[np.float64], *, low: float, layers: int) -> None:
    """A kind's matrices below each other; an arrow stands for what lies left of the axis, grey for no layer."""
    references = [max(low, tensor.reference.r2) for tensor in group]
    reach = 0.36 * (ys[1] - ys[0]) if len(ys) > 1 else 0.05
    axes.vlines(references, ys - reach, ys + reach, color=INK, linewidth=1.5)
    for tensor, reference, y in zip(group, references, ys, strict=True):
        r2 = max(low, tensor.achieved.r2)
        colour = colormaps[DEPTH](tensor.layer / layers) if tensor.layer >= 0 else GREY
        marker = "<" if tensor.achieved.r2 < low else "o"
        axes.plot([r2, reference], [y, y], color="#BDBDBD", linewidth=0.6, zorder=1)
        axes.plot(r2, y, marker, color=colour, markersize=4.6, markeredgewidth=0, clip_on=False, zorder=3)


def _r2_legend(figure: Figure, axes: Axes, layers: int) -> None:
    handles = [
        Line2D([], [], linestyle="", marker="o", color=GREY, markersize=5, label="achieved"),
        Line2D([], [], linestyle="", marker="|", color=INK, markersize=9, markeredgewidth=1.8, label="reference"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    if layers > 1:
        bar = figure.colorbar(ScalarMappable(Normalize(0, layers), DEPTH), ax=axes, shrink=0.6, aspect=24, pad=0.02)
        bar.set_label("layer", fontsize=9, color=INK)
        bar.ax.tick_params(labelsize=8)


def _time_axis(axes: Axes, steps: NDArray[np.float64], seconds: NDArray[np.float64]) -> None:
    """Seconds above the steps, interpolated at the ticks of the steps."""
    ticks = [tick for tick in axes.get_xticks() if steps[0] <= tick <= steps[-1]]
    above = axes.secondary_xaxis("top")
    above.set_xticks(ticks, [words.duration(float(np.interp(tick, steps, seconds))) for tick in ticks])
    above.tick_params(labelsize=8, length=2, colors="#555555")
    above.spines["top"].set_visible(False)
