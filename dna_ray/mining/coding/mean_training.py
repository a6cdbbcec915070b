"""Which matrices get a mean, and the training of it: decided by what it saves at the working step."""

from collections.abc import Sequence
from dataclasses import replace
from math import frexp
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from dna_ray.mining.coding.analysis import Scales
from dna_ray.mining.coding.classes import scale_field
from dna_ray.mining.coding.curves import CurvesShape, curves, train_curves
from dna_ray.mining.coding.integers import encode_integers
from dna_ray.mining.coding.mean import EXPONENTS, MOST_OUTER, Matrix, Mean, Means, MeanShape
from dna_ray.mining.coding.passes import Read
from dna_ray.mining.coding.side import Side
from dna_ray.mining.smoothness import Smoothness, smoothness
from dna_ray.networks import TensorInfo
from dna_ray.tasks.threads import threads_of_torch

_SHARE = 0.18  # of what a matrix takes without a mean: what its functions may take
_CORE_BITS = 12  # the largest number of a core lies below 2^12, so that small ones keep their precision
_RIDGE = 1e-6  # of the least squares for a core, in mean squares of a curve
_LARGEST_HALF = float(np.finfo(np.float16).max)

T = TypeVar("T")


def fit_means(
    read: Read, matrices: Sequence[TensorInfo], plain: Side, side: Side, step: float, *, seed: int
) -> tuple[Means, Side]:
    """Trains a mean for each matrix that is smooth, and keeps those that save more at this step than they take.

    They are weighed against what the matrices take with their transforms, which often find the same structure. A
    transform that others share stays; one of the matrix' own goes where it no longer pays. So what is kept makes
    everything together smaller, by the measure that transforms are chosen by. In this process, and on one thread: the
    bytes depend on nothing else.

    Args:
        plain: How the matrices are coded without transforms and without means.
        side: How they are coded without means.

    Returns:
        The means, and how the matrices are coded with them.
    """
    smooth, kept = [], []
    for i, info in enumerate(matrices):
        if not (axes := smoothness(_gained(read(info.name), plain, i), plain.rows[i], plain.cols[i], seed=seed)):
            continue
        smooth.append(i)
        shape = _shape(i, info.matrix_shape, axes, _SHARE * _taken(side, i, step))
        if shape is None:
            continue
        mean = _trained(read(info.name), shape, seed)
        other = _side_after(read(info.name) - mean.values(), i, matrices, plain, side, step)
        if (saves := _total(side, i, step) - _total(other, i, step) - mean.nbytes) > 0:
            kept.append(replace(mean, saves=int(saves)))
            side = other
    return Means(tuple(kept), tuple(smooth)), side


def _shape(matrix: int, size: tuple[int, int], axes: Smoothness, room: float) -> MeanShape | None:
    """The widest mean of `room` bytes; None where that is too little for one."""
    shortest = min(length for length, smooth in zip(size, (axes.rows, axes.cols), strict=True) if smooth)
    for outer in range(min(MOST_OUTER, shortest // 4), 0, -1):
        own = CurvesShape(2 * outer + 8, outer)
        shape = MeanShape(matrix, own if axes.rows else None, own if axes.cols else None, size)
        if shape.is_smaller and 2 * sum(shape.numbers) <= room:
            return shape
    return None


def _trained(matrix: Matrix, shape: MeanShape, seed: int) -> Mean:
    """Curves along each smooth axis, and then the core that is best for them as they are stored."""
    of_rows = of_cols = np.empty(0, np.float16)
    with threads_of_torch(1):
        values = torch.from_numpy(matrix / max(float(np.abs(matrix).max()), 1e-38))
        core = torch.from_numpy(matrix).double()
        if shape.rows:
            of_rows = train_curves(values, shape.rows, seed=seed)
            core = _least_squares(curves(of_rows, shape.rows, shape.size[0]), core)
        if shape.cols:
            of_cols = train_curves(values.T, shape.cols, seed=seed)
            core = _least_squares(curves(of_cols, shape.cols, shape.size[1]), core.T).T
    exponent = frexp(float(core.abs().max()))[1] - _CORE_BITS
    exponent = min(max(exponent, EXPONENTS[0]), EXPONENTS[-1])
    stored = np.clip(core.numpy() * 2.0**-exponent, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
    return Mean(shape, np.concatenate([of_rows, of_cols, stored.reshape(-1)]), exponent)


def _taken(side: Side, matrix: int, step: float) -> float:
    """Bytes of a matrix at this step, with the transform that is its alone."""
    basis = side.turned[matrix]
    alone = basis >= 0 and side.turned.count(basis) == 1
    transform = encode_integers(side.bases[basis]).nbytes if alone else 0
    return Scales(side.rows[matrix], side.cols[matrix]).bits(step) / 8 + transform


def _total(side: Side, matrix: int, step: float) -> float:
    """Bytes of everything at this step that the coding of one matrix has an influence on."""
    return Scales(side.rows[matrix], side.cols[matrix]).bits(step) / 8 + side.nbytes


def _side_after(
    left: Matrix, matrix: int, matrices: Sequence[TensorInfo], plain: Side, side: Side, step: float
) -> Side:
    """`side`, where `left` is what remains of a matrix."""
    basis = side.turned[matrix]
    as_before = _with_scales(side, matrix, left @ side.rotations(matrices)[basis] if basis >= 0 else left)
    if basis < 0 or side.turned.count(basis) > 1:
        return as_before
    without = replace(
        side,
        turned=tuple(-1 if own == basis else own - (own > basis) for own in side.turned),
        bases=(*side.bases[:basis], *side.bases[basis + 1 :]),
        gains=_replaced(side.gains, matrix, plain.gains[matrix]) if side.gains else (),
    )
    return min(as_before, _with_scales(without, matrix, left), key=lambda each: _total(each, matrix, step))


def _with_scales(side: Side, matrix: int, turned: Matrix) -> Side:
    rows, cols = scale_field(_gained(turned, side, matrix))
    return replace(side, rows=_replaced(side.rows, matrix, rows), cols=_replaced(side.cols, matrix, cols))


def _gained(values: Matrix, side: Side, matrix: int) -> Matrix:
    return side.gains[matrix].apply(values) if side.gains else values


def _replaced(several: tuple[T, ...], place: int, one: T) -> tuple[T, ...]:
    return (*several[:place], one, *several[place + 1 :])


def _least_squares(functions: NDArray[np.float64], matrix: torch.Tensor) -> torch.Tensor:
    left = torch.from_numpy(functions)
    gram = left.T @ left
    ridge = _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram + ridge, left.T @ matrix)
