"""Which transforms pay, and the scales of every matrix: what is decided before any weight is coded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dna_ray.mining.coding.classes import PER_OCTAVE, scale_field
from dna_ray.mining.coding.integers import encode_integers
from dna_ray.mining.coding.passes import Read
from dna_ray.mining.coding.rotation import principal_axes, quantise_rotation, rotation
from dna_ray.mining.coding.side import FINENESS, Side
from dna_ray.networks import TensorInfo

_TALL = 4  # rows a column from which a matrix is asked whether a transform of its own pays
_WIDEST = 4096  # columns; the axes of more take minutes to find
STEPS = 2.0**-99, 2.0**88  # that a file may name: the largest index times the largest is a float32


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """The scale field of a matrix, in eighths of an octave."""

    rows: NDArray[np.int32]
    cols: NDArray[np.int32]

    def bits(self, step: float) -> float:
        """About what the entries take at a step: log2(1 + (scale / step)^2) / 2 each."""
        low, high = self.rows.min() + self.cols.min(), self.rows.max() + self.cols.max()
        counts = np.convolve(np.bincount(self.rows - self.rows.min()), np.bincount(self.cols - self.cols.min()))
        octaves = np.arange(low, high + 1) / PER_OCTAVE - np.log2(step)
        return float(counts @ np.log2(1 + np.exp2(2 * octaves))) / 2


def plain_scales(read: Read, matrices: Sequence[TensorInfo]) -> list[Scales]:
    """The scales of every matrix as it is."""
    return [Scales(*scale_field(read(info.name))) for info in matrices]


def steps(scales: Sequence[Scales]) -> tuple[float, float]:
    """The finest step that is of use, 2^-20 of the largest scale, and one at which next to nothing is left."""
    largest = max(int(each.rows.max() + each.cols.max()) for each in scales) / PER_OCTAVE
    finest, coarsest = np.clip(np.exp2([largest - 20, largest + 12]), *STEPS).tolist()
    return finest, coarsest


def first_step(scales: Sequence[Scales], bits: float) -> float:
    """About the step at which all entries take so many bits, by bisection."""
    low, high = (float(np.log2(step)) for step in steps(scales))
    while high - low > 0.01:
        middle = (low + high) / 2
        if sum(each.bits(float(np.exp2(middle))) for each in scales) > bits:
            low = middle
        else:
            high = middle
    return float(np.exp2(high))


def with_transforms(read: Read, matrices: Sequence[TensorInfo], scales: Sequence[Scales], step: float) -> Side:
    """Scales and transforms, where each transform saves more bits at this step than it costs.

    A tall matrix may have a transform of its own; those that are not tall, and have as many columns, one in common.
    """
    scales, turned = list(scales), [-1] * len(matrices)
    bases: list[NDArray[np.int32]] = []
    for members in _candidates(matrices):
        integers = _common_axes(read, [matrices[i] for i in members])
        axes = rotation(integers, matrices[members[0]].matrix_shape[1], FINENESS).astype(np.float32)
        after = [Scales(*scale_field(read(matrices[i].name) @ axes)) for i in members]
        saved = sum(scales[i].bits(step) - new.bits(step) for i, new in zip(members, after, strict=True))
        if saved > 8 * encode_integers(integers).nbytes:
            for i, new in zip(members, after, strict=True):
                scales[i], turned[i] = new, len(bases)
            bases.append(integers)
    return Side(tuple(s.rows for s in scales), tuple(s.cols for s in scales), tuple(turned), tuple(bases))


def without_transforms(scales: Sequence[Scales]) -> Side:
    """The scales alone."""
    return Side(tuple(s.rows for s in scales), tuple(s.cols for s in scales), (-1,) * len(scales), ())


def _candidates(matrices: Sequence[TensorInfo]) -> list[list[int]]:
    tall = [i for i, info in enumerate(matrices) if info.matrix_shape[0] >= _TALL * info.matrix_shape[1]]
    found = [[i] for i in tall]
    for cols in sorted({info.matrix_shape[1] for info in matrices}):
        others = [i for i, info in enumerate(matrices) if info.matrix_shape[1] == cols and i not in tall]
        if sum(matrices[i].matrix_shape[0] for i in others) >= _TALL * cols:
            found.append(others)
    return [members for members in found if matrices[members[0]].matrix_shape[1] <= _WIDEST]


def _common_axes(read: Read, matrices: Sequence[TensorInfo]) -> NDArray[np.int32]:
    """The principal axes of the rows of all, each matrix with the same weight a row."""
    cols = matrices[0].matrix_shape[1]
    gram = np.zeros((cols, cols))
    for info in matrices:
        rows = read(info.name)
        gram += (rows.T @ rows).astype(np.float64)
    return quantise_rotation(principal_axes(gram)[1], FINENESS)
