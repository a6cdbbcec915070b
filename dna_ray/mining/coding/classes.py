"""The scale field: a log2 scale for each row and each column of a matrix, as integers in eighths of an octave.

Row and column integers add up to the class of an entry, which chooses its probability table. No context is computed
in floating point, so a decoder on any machine finds the same.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PER_OCTAVE = 8
CLASSES = 128
UNIT = 32  # the class of entries whose scale is one step; below class 0, an index other than 0 is a miracle
SHIFTED = 56  # from this class on, low bits of an index carry no information, and are not modelled
LOWEST = 127  # of a row or column below the middle of its matrix: 16 octaves
_ROUNDS = 4  # of normalising rows and columns in turn
_SILENT = 1e-300  # mean square in place of zero


def scale_field(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Log2 scales of rows and of columns, in eighths of an octave: their sums are those of the entries.

    They are the maximum-likelihood scales of independent Gaussians, found by normalising rows and columns in turn.
    """
    squares = np.square(matrix, dtype=np.float64)
    rows, cols = np.zeros(len(matrix)), np.zeros(matrix.shape[1])
    for _ in range(_ROUNDS if matrix.size else 0):
        rows = _half_log2(squares @ np.exp2(-2 * cols) / matrix.shape[1])
        cols = _half_log2(np.exp2(-2 * rows) @ squares / len(matrix))
        cols -= _middle(cols)
    return _raised(rows), _raised(cols)


def shifts() -> NDArray[np.int32]:
    """For each class, how many low bits of an index are stored as they are."""
    return -(np.minimum(SHIFTED - 1 - np.arange(CLASSES), 0) // PER_OCTAVE).astype(np.int32)


def offset(step: float) -> int:
    """What turns a log2 scale into a class, for a step of this size."""
    return UNIT - round(PER_OCTAVE * float(np.log2(step)))


@dataclass(frozen=True, slots=True, eq=False)
class ClassMap:
    """The class of each entry of a block of rows, which may come from several matrices.

    Attributes:
        rows: (rows,) int32: log2 scale of each row, with the offset of the step.
        cols: (matrices, cols) int32: log2 scale of each column in each matrix.
        matrix: (rows,) int32: the matrix that each row is from.
    """

    rows: NDArray[np.int32]
    cols: NDArray[np.int32]
    matrix: NDArray[np.int32]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), self.cols.shape[1]

    def column(self, c: int) -> NDArray[np.int32]:
        """The class of each row in one column."""
        return _clipped(self.rows + self.cols[self.matrix, c])

    def whole(self) -> NDArray[np.int32]:
        """(rows, cols): all classes."""
        return _clipped(self.rows[:, None] + self.cols[self.matrix])


def _clipped(octaves: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.clip(octaves, 0, CLASSES - 1).astype(np.int32)


def _half_log2(mean_squares: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * np.log2(np.maximum(mean_squares, _SILENT))


def _raised(octaves: NDArray[np.float64]) -> NDArray[np.int32]:
    """In eighths of an octave; what is silent is brought near the others, so that few different integers are left."""
    units = np.rint(PER_OCTAVE * octaves).astype(np.int32)
    return np.maximum(units, int(_middle(units)) - LOWEST).astype(np.int32)


def _middle(octaves: NDArray[Any]) -> float:
    """The median of those above the lowest: zeros, where there are any, may be the most, and count as one."""
    if not octaves.size:
        return 0.0
    above = octaves[octaves > octaves.min()]
    return float(np.median(above if above.size else octaves))
