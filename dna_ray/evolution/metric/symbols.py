"""The vocabulary of the metric language: what each symbol means, exactly, in one table of leaves and one of operations.

Every value is a matrix that broadcasts: (1, 1) for a scalar, (rows, 1) for one a row, (1, cols) for one an input,
(rows, cols) for one a weight. A leaf that is NaN counts as 0, and leaves lie within +-BOUND. Operations are total:
within these bounds they give finite values within these bounds, so no program ever yields NaN or infinity.

`rank`, `minmax` and `zscore` look at the whole (rows, cols) matrix. Repeating every row or column of a value as often
as every other changes none of the three, so they are computed before a value is broadcast.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Flag, auto

import torch
from torch import Tensor

from dna_ray.evolution.sparsity.layers import Layer
from dna_ray.evolution.sparsity.statistics import InputStatistics

BOUND = 1e30  # largest absolute value of anything
TINY = 1e-12  # smallest absolute value of a divisor
SORT = 20  # operations a weight to sort a matrix: log2 of a million weights
_PUT_BACK = 8  # operations a weight to find ties and to put ranks where their values were
CONST = "const"  # the leaf that carries a number


class Axes(Flag):
    """What a value differs along: nothing for a scalar."""

    NONE = 0
    ROWS = auto()
    COLS = auto()
    BOTH = ROWS | COLS


@dataclass(frozen=True, slots=True)
class Leaf:
    """A symbol that stands for something known of the layer.

    Attributes:
        cost: Operations a weight.
        words: English for it.
        meaning: Its exact definition.
        read: (weight, statistics, layer) -> value.
    """

    axes: Axes
    cost: int
    words: str
    meaning: str
    read: Callable[[Tensor, InputStatistics, Layer], Tensor]


@dataclass(frozen=True, slots=True)
class Operation:
    """A symbol that makes a value of one or two others, as large as they are together.

    Attributes:
        cost: Operations a weight: 1 where each is computed by itself, whatever it takes.
        words: English for it, with a place for each argument.
        meaning: Its exact definition.
        encloses: Whether its words are clear without parentheses around an argument.
    """

    arity: int
    cost: int
    words: str
    meaning: str
    apply: Callable[..., Tensor]
    encloses: bool = False


def _bounded(x: Tensor) -> Tensor:
    return x.clamp_(-BOUND, BOUND)


def _divisor(x: Tensor) -> Tensor:
    return torch.where(x < 0, x.clamp(max=-TINY), x.clamp(min=TINY))


def _rank(x: Tensor) -> Tensor:
    ordered, order = x.flatten().sort()
    smaller = torch.arange(len(ordered), dtype=torch.int32, device=x.device)
    smaller[1:] *= ordered[1:] != ordered[:-1]  # places where a run of equal values begins, and 0 within
    ranks = torch.empty_like(ordered)
    ranks[order] = (smaller.cummax(0).values / len(ordered)).to(x.dtype)
    return ranks.reshape(x.shape)


def _minmax(x: Tensor) -> Tensor:
    low, high = x.aminmax()
    return (x - low) / (high - low) if low < high else torch.zeros_like(x)


def _zscore(x: Tensor) -> Tensor:
    low, high = x.aminmax()
    if not low < high:
        return torch.zeros_like(x)
    centred = x.double() - x.mean(dtype=torch.float64)  # the square of BOUND is no float32
    return (centred / centred.square().mean().sqrt()).to(x.dtype)


# fmt: off
LEAVES: Mapping[str, Leaf] = {
    "W":      Leaf(Axes.BOTH, 0, "weight", "W_ij", lambda w, x, _: w),
    "absW":   Leaf(Axes.BOTH, 1, "|weight|", "|W_ij|", lambda w, x, _: w.abs()),
    "X1":     Leaf(Axes.COLS, 0, "mean |input|", "E|x_j|", lambda w, x, _: x.mean_abs[None]),
    "X2":     Leaf(Axes.COLS, 0, "rms input", "sqrt(E x_j^2)", lambda w, x, _: x.rms[None]),
    "Xmax":   Leaf(Axes.COLS, 0, "largest |input|", "max |x_j|", lambda w, x, _: x.largest[None]),
    "row_l1": Leaf(Axes.ROWS, 2, "sum of the row's |weights|", "sum_j |W_ij|",
                   lambda w, x, _: w.abs().sum(1, keepdim=True)),
    "row_l2": Leaf(Axes.ROWS, 2, "norm of the row", "sqrt(sum_j W_ij^2)", lambda w, x, _: _norm(w, 1)),
    "col_l1": Leaf(Axes.COLS, 2, "sum of the column's |weights|", "sum_i |W_ij|",
                   lambda w, x, _: w.abs().sum(0, keepdim=True)),
    "col_l2": Leaf(Axes.COLS, 2, "norm of the column", "sqrt(sum_i W_ij^2)", lambda w, x, _: _norm(w, 0)),
    "depth":  Leaf(Axes.NONE, 0, "depth", "0 in the first layer, 1 in the last", lambda w, x, y: _scalar(w, y.depth)),
    "fan_in": Leaf(Axes.NONE, 0, "fan-in", "inputs of the layer", lambda w, x, y: _scalar(w, y.cols)),
}

OPERATIONS: Mapping[str, Operation] = {
    "abs":      Operation(1, 1, "|{}|", "|x|", torch.abs, encloses=True),
    "sqr":      Operation(1, 1, "{} squared", "x^2", lambda x: _bounded(x.square())),
    "sqrt":     Operation(1, 1, "root of {}", "sqrt(|x|)", lambda x: x.abs().sqrt_()),
    "log1p":    Operation(1, 1, "log of 1 + {}", "sign(x) log(1 + |x|)", lambda x: x.abs().log1p_().copysign_(x)),
    "neg":      Operation(1, 1, "minus {}", "-x", torch.neg),
    "inv_safe": Operation(1, 1, "1 / {}", "1 / x, |x| at least TINY, 0 as a positive x",
                          lambda x: _divisor(x).reciprocal_()),
    "rank":     Operation(1, SORT + _PUT_BACK, "{}, ranked", "share of the matrix that is smaller than x", _rank,
                          encloses=True),
    "minmax":   Operation(1, 3, "{}, scaled to 0 to 1", "(x - min) / (max - min); 0 where all are equal", _minmax,
                          encloses=True),
    "zscore":   Operation(1, 3, "{}, standardised", "(x - mean) / standard deviation; 0 where all are equal", _zscore,
                          encloses=True),
    "tanh":     Operation(1, 1, "tanh of {}", "tanh(x)", torch.tanh),
    "add":      Operation(2, 1, "{} + {}", "x + y", lambda x, y: _bounded(x + y)),
    "sub":      Operation(2, 1, "{} - {}", "x - y", lambda x, y: _bounded(x - y)),
    "mul":      Operation(2, 1, "{} x {}", "x y", lambda x, y: _bounded(x * y)),
    "div_safe": Operation(2, 1, "{} / {}", "x / y, |y| at least TINY, 0 as a positive y",
                          lambda x, y: _bounded(x / _divisor(y))),
    "max":      Operation(2, 1, "larger of {} and {}", "max(x, y)", torch.maximum),
    "min":      Operation(2, 1, "smaller of {} and {}", "min(x, y)", torch.minimum),
}
# fmt: on


def _norm(weight: Tensor, axis: int) -> Tensor:
    return torch.linalg.vector_norm(weight, dim=axis, keepdim=True)


def _scalar(weight: Tensor, value: float) -> Tensor:
    return weight.new_full((1, 1), value)
