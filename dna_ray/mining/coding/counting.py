"""What a pass over indices counts, and the values that indices stand for: both follow each row through the trellis."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from dna_ray.mining.coding.classes import CLASSES, ClassMap, shifts
from dna_ray.mining.coding.codebook import MAGNITUDES, Codebook
from dna_ray.mining.coding.trellis import Trellis

_ROWS = 512  # counted on their own and then added up in order, so that sums do not depend on the number of threads


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What a pass counted.

    Attributes:
        histogram, sums: As `codebook.learn` takes them.
        energy: Sum of the squares of the values that are rebuilt by the tables, in squared steps.
        rest: Squared error of all others, which lie on the grid, in squared steps.
    """

    histogram: NDArray[np.int64]
    sums: NDArray[np.float64]
    energy: float
    rest: float

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.histogram + other.histogram,
            self.sums + other.sums,
            self.energy + other.energy,
            self.rest + other.rest,
        )

    def error(self, codebook: Codebook) -> float:
        """Squared error, in squared steps, if the indices are rebuilt by `codebook`."""
        points = codebook.points().astype(np.float64)
        points[:, :, -1] = points[shifts() > 0] = 0  # those are in `rest`
        return float(self.energy - 2 * np.sum(points * self.sums) + np.sum(points**2 * self.histogram)) + self.rest


def tally(values: NDArray[np.float32], indices: NDArray[np.int32], of: ClassMap, trellis: Trellis) -> Tally:
    """Counts a block: values in steps, and their indices, (rows, cols)."""
    pieces = -(-len(indices) // _ROWS)
    histogram = np.zeros((pieces, CLASSES, 2, MAGNITUDES), np.int32)
    sums, squares = np.zeros(histogram.shape), np.zeros((pieces, 2))
    _count(values, indices, (of.rows, of.cols, of.matrix), shifts(), trellis.following, histogram, sums, squares)
    energy, rest = squares.sum(0).tolist()
    return Tally(histogram.sum(0, dtype=np.int64), sums.sum(0), energy, rest)


def dequantise(
    indices: NDArray[np.int32], of: ClassMap, points: NDArray[np.float32], trellis: Trellis
) -> NDArray[np.float32]:
    """Values in steps: the points of the tables, and the grid beyond them."""
    values = np.empty(indices.shape, np.float32)
    _dequantise(indices, (of.rows, of.cols, of.matrix), points, shifts(), trellis.following, values)
    return values


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _count(
    values: Any, indices: Any, of: Any, shifts: Any, following: Any, histogram: Any, sums: Any, squares: Any
) -> None:
    rows, cols, matrix = of
    highest, last = histogram.shape[1] - 1, histogram.shape[3] - 1
    for piece in numba.prange(histogram.shape[0]):
        for r in range(piece * _ROWS, min((piece + 1) * _ROWS, len(rows))):
            state = np.uint8(0)
            for c in range(indices.shape[1]):
                own = min(max(rows[r] + cols[matrix[r], c], 0), highest)
                k, quantizer = abs(indices[r, c]), state & 1
                m = min(k >> shifts[own], last)
                u = values[r, c] if indices[r, c] >= 0 else -values[r, c]
                histogram[piece, own, quantizer, m] += 1
                if shifts[own] or m == last:
                    off = u - np.float32(2 * k - (quantizer if k else 0))
                    squares[piece, 1] += off * off
                else:
                    squares[piece, 0] += u * u
                    sums[piece, own, quantizer, m] += u if k else np.float32(0)
                state = following[state, k & 1]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _dequantise(indices: Any, of: Any, points: Any, shifts: Any, following: Any, values: Any) -> None:
    for r in numba.prange(indices.shape[0]):
        rebuild(indices[r], r, 0, of, points, shifts, following, np.uint8(0), values[r])


@numba.njit(cache=True, error_model="numpy")
def rebuild(
    indices: Any, r: Any, start: Any, of: Any, points: Any, shifts: Any, following: Any, state: Any, values: Any
) -> None:
    """Values of some columns of row `r`, from column `start` on, in steps.

    Args:
        state: Where the path through the trellis begins.
    """
    rows, cols, matrix = of
    highest, last = points.shape[0] - 1, points.shape[2] - 1
    for c in range(indices.shape[0]):
        own = min(max(rows[r] + cols[matrix[r], start + c], 0), highest)
        k, quantizer = abs(indices[c]), state & 1
        on_grid = shifts[own] or k >= last
        point = np.float32(2 * k - (quantizer if k else 0)) if on_grid else points[own, quantizer, k]
        values[c] = point if indices[c] >= 0 else -point
        state = following[state, k & 1]
