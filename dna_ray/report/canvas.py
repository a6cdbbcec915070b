"""How every figure looks: one size of type, a palette that colour-blind readers can tell apart, no global state."""

from collections.abc import Sequence
from io import BytesIO
from typing import Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito, "Color universal design" (2008)
BLUE, ORANGE, GREEN, PURPLE, INK, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#222222", "#9A9A9A"
VERMILION, SKY = "#D55E00", "#56B4E9"
DEPTH = "viridis"  # colour map for what has an order, such as layers
WIDTH = 8.0  # inches
DPI = 120


def canvas(
    height: float, *, rows: int = 1, columns: int = 1, share: Literal["x", "y"] = "x"
) -> tuple[Figure, list[Axes]]:
    """A white figure, `height` inches high, with axes below or beside each other that share their x or y axis."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
    grid = figure.subplots(rows, columns, sharex=share == "x", sharey=share == "y", squeeze=False)
    axes: Sequence[Axes] = grid.ravel().tolist()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(GREY)
        ax.tick_params(colors=INK, labelsize=9, length=3)
        ax.grid(axis="x", color="#E6E6E6", linewidth=0.8)
        ax.set_axisbelow(True)
    return figure, list(axes)


def entitle(figure: Figure, sentence: str, remark: str = "") -> None:
    """A sentence that says what is seen, and a smaller one that says how to read it."""
    figure.suptitle(sentence, x=0.01, ha="left", fontsize=12, color=INK, fontweight="bold")
    if remark:
        figure.axes[0].set_title(remark, loc="left", fontsize=9, color="#555555", pad=8)


def label(axes: Axes, *, x: str = "", y: str = "") -> None:
    if x:
        axes.set_xlabel(x, fontsize=10, color=INK)
    if y:
        axes.set_ylabel(y, fontsize=10, color=INK)


def png(figure: Figure) -> bytes:
    """The figure as a file: the same bytes for the same data and versions."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """The same without pixels; letters are outlines, so it looks alike wherever it is opened."""
    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "dna-ray"}):  # ids of its parts are random otherwise
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
