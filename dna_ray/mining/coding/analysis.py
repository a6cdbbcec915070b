"""Gains, scales, and which transforms pay: what is decided before any weight is coded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dna_ray.mining.coding.classes import PER_OCTAVE, scale_field
from dna_ray.mining.coding.gains import PER_OCTAVE as GAINS_PER_OCTAVE
from dna_ray.mining.coding.gains import Gains, even_gains, feedback_of, gains_of
from dna_ray.mining.coding.integers import encode_integers
from dna_ray.mining.coding.passes import Read
from dna_ray.mining.coding.rotation import principal_axes, quantise_rotation, rotation
from dna_ray.mining.coding.side import FINENESS, Side
from dna_ray.networks import TensorInfo
from dna_ray.tasks.sensitivity import Sensitivity

_TALL = 4  # rows a column from which a matrix is asked whether a transform of its own pays
_WIDEST = 4096  # columns; the axes of more take minutes to find
STEPS = 2.0**-99, 2.0**88  # that a file may name: the largest index times the largest is a float32


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """The scale field of a matrix, in eighths of an octave."""

    rows: NDArray[np.int32]
    cols: NDArray[np.int32]

    @property
    def mean(self) -> float:
        """Of all entries."""
        return float(self.rows.mean() + self.cols.mean())

    def bits(self, step: float) -> float:
        """About what the entries take at a step: log2(1 + (scale / step)^2) / 2 each."""
        low, high = self.rows.min() + self.cols.min(), self.rows.max() + self.cols.max()
        counts = np.convolve(np.bincount(self.rows - self.rows.min()), np.bincount(self.cols - self.cols.min()))
        octaves = np.arange(low, high + 1) / PER_OCTAVE - np.log2(step)
        return float(counts @ np.log2(1 + np.exp2(2 * octaves))) / 2


@dataclass(frozen=True, slots=True, eq=False)
class Analysed:
    """A matrix as it would be coded: its scales, after its gains; None: it has none."""

    scales: Scales
    gains: Gains | None = None


Known = Mapping[str, Sensitivity]


def untransformed(read: Read, matrices: Sequence[TensorInfo], known: Known) -> list[Analysed]:
    """Every matrix as it is, scaled by gains where it is known how much its errors matter.

    What nothing is known of, where it is of others, is coded as finely as the average of those.
    """
    own = [gains_of(known[info.name]) if info.name in known else None for info in matrices]
    found = [_scaled(read(info.name), gains) for info, gains in zip(matrices, own, strict=True)]
    if not known:
        return found
    measured = [(info.size, each.scales.mean) for info, each in zip(matrices, found, strict=True) if each.gains]
    average = sum(size * mean for size, mean in measured) / sum(size for size, _ in measured)
    for number, info in enumerate(matrices):
        if info.name not in known:
            level = round((average - found[number].scales.mean) * GAINS_PER_OCTAVE / PER_OCTAVE)
            found[number] = _scaled(read(info.name), even_gains(info.matrix_shape, level))
    return found


def _scaled(turned: NDArray[np.float32], gains: Gains | None) -> Analysed:
    return Analysed(Scales(*scale_field(gains.apply(turned) if gains else turned)), gains)


def steps(plain: Sequence[Analysed]) -> tuple[float, float]:
    """The finest step that is of use, 2^-20 of the largest scale, and one at which next to nothing is left."""
    largest = max(int(each.scales.rows.max() + each.scales.cols.max()) for each in plain) / PER_OCTAVE
    finest, coarsest = np.clip(np.exp2([largest - 20, largest + 12]), *STEPS).tolist()
    return finest, coarsest


def first_step(plain: Sequence[Analysed], bits: float) -> float:
    """About the step at which all entries take so many bits, by bisection."""
    low, high = (float(np.log2(step)) for step in steps(plain))
    while high - low > 0.01:
        middle = (low + high) / 2
        if sum(each.scales.bits(float(np.exp2(middle))) for each in plain) > bits:
            low = middle
        else:
            high = middle
    return float(np.exp2(high))


def with_transforms(
    read: Read, matrices: Sequence[TensorInfo], plain: Sequence[Analysed], known: Known, step: float
) -> Side:
    """Each matrix as it will be coded, where each transform saves more bits at this step than it costs.

    A tall matrix may have a transform of its own; those that are not tall, and have as many columns, one in common.
    """
    chosen, turned = list(plain), [-1] * len(matrices)
    bases: list[NDArray[np.int32]] = []
    for members in _candidates(matrices):
        integers = _common_axes(read, [matrices[i] for i in members])
        axes = rotation(integers, matrices[members[0]].matrix_shape[1], FINENESS).astype(np.float32)
        after = {
            i: _turned(read(matrices[i].name) @ axes, axes, plain[i], known.get(matrices[i].name)) for i in members
        }
        saved = sum(plain[i].scales.bits(step) - new.scales.bits(step) for i, new in after.items())
        if saved > 8 * encode_integers(integers).nbytes:
            for i, new in after.items():
                chosen[i], turned[i] = new, len(bases)
            bases.append(integers)
    return _side(chosen, turned, bases)


def without_transforms(plain: Sequence[Analysed]) -> Side:
    """Gains and scales alone."""
    return _side(plain, [-1] * len(plain), [])


def _turned(
    turned: NDArray[np.float32], axes: NDArray[np.float32], plain: Analysed, sensitivity: Sensitivity | None
) -> Analysed:
    return _scaled(turned, gains_of(sensitivity, axes) if sensitivity else plain.gains)


def _side(chosen: Sequence[Analysed], turned: Sequence[int], bases: Sequence[NDArray[np.int32]]) -> Side:
    scales, gains = [each.scales for each in chosen], [each.gains for each in chosen if each.gains]
    rows, cols = tuple(each.rows for each in scales), tuple(each.cols for each in scales)
    return Side(rows, cols, tuple(turned), tuple(bases), tuple(gains))


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


def feedback_from(
    matrices: Sequence[TensorInfo], side: Side, known: Known
) -> Callable[[int], NDArray[np.float32] | None]:
    """What the rows of the matrix at a place are fed by, computed when asked for; None where nothing is known of it."""
    rotations = side.rotations(matrices) if known else []

    def feedback(number: int) -> NDArray[np.float32] | None:
        sensitivity, basis = known.get(matrices[number].name), side.turned[number]
        if sensitivity is None or not side.gains:
            return None
        return feedback_of(sensitivity, rotations[basis] if basis >= 0 else None, side.gains[number].cols)

    return feedback
