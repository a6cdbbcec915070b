"""Gains: how finely each row and each column of a matrix is coded, by how much its errors matter.

An error E in a matrix costs about sum_i r_i e_i' M e_i over its rows e_i. With M = U diag(d) U' and U unit upper
triangular, that is sum_ij r_i d_j (e_ij + sum_(k < j) e_ik u_kj)^2: each entry takes up what the errors before it have
left (error feedback; GPTQ, Frantar et al. 2023; LDLQ, Chee et al. 2023), and then counts as much as r_i d_j says.
Scaled by the square root of that, every entry counts the same: one step for all of them is one slope everywhere.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dna_ray.tasks.sensitivity import Sensitivity

PER_OCTAVE = 4  # a gain within an eighth of an octave costs 0.4 % of the error, and few bits
FURTHEST = 255  # of a gain from zero, in quarters of an octave
_LARGEST = np.float32(1e30)
_DAMPING = 0.01  # of the mean second moment, added to each: few texts tell little of rare directions

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Gains:
    """Log2 gains of rows and of columns, in quarters of an octave."""

    rows: NDArray[np.int32]
    cols: NDArray[np.int32]

    def apply(self, values: NDArray[Any], first: int = 0) -> NDArray[np.float32]:
        """Values of the rows from `first` on, scaled."""
        return _scaled(values, self.rows[first : first + len(values)], self.cols)

    def undo(self, values: NDArray[Any], first: int = 0) -> NDArray[np.float32]:
        """The inverse of `apply`; what a forged file makes too large is cut, so that nothing overflows."""
        with np.errstate(over="ignore"):
            back = _scaled(values, -self.rows[first : first + len(values)], -self.cols)
        return np.clip(back, -_LARGEST, _LARGEST)


def gains_of(sensitivity: Sensitivity, axes: NDArray[Any] | None = None) -> Gains:
    """The gains of a matrix whose rows are turned by `axes` (None: not turned)."""
    _, diagonal = _factors(_moments(sensitivity, axes))
    return Gains(_quarters(np.sqrt(sensitivity.rows)), _quarters(np.sqrt(diagonal)))


def even_gains(shape: tuple[int, int], level: int) -> Gains:
    """The same for every entry."""
    level = min(max(level, -FURTHEST), FURTHEST)
    return Gains(np.full(shape[0], level, np.int32), np.zeros(shape[1], np.int32))


def feedback_of(sensitivity: Sensitivity, axes: NDArray[Any] | None, cols: NDArray[np.int32]) -> NDArray[np.float32]:
    """(cols, cols), strictly upper triangular: what an error in one column adds to the target of each that follows.

    Args:
        cols: Gains of the columns: errors and targets are those of scaled values.
    """
    unit_upper, _ = _factors(_moments(sensitivity, axes))
    scale = np.exp2(cols / PER_OCTAVE)
    return np.triu(unit_upper * (scale / scale[:, None]), 1).astype(np.float32)


def _moments(sensitivity: Sensitivity, axes: NDArray[Any] | None) -> Matrix:
    moments = sensitivity.moments.astype(np.float64)
    if axes is not None:
        moments = axes.T.astype(np.float64) @ moments @ axes.astype(np.float64)
    moments[np.diag_indices_from(moments)] += _DAMPING * max(float(np.trace(moments)) / len(moments), 1e-30)
    return moments


def _factors(moments: Matrix) -> tuple[Matrix, Matrix]:
    """U and d with moments = U diag(d) U': the Cholesky decomposition from the last column to the first."""
    root = np.linalg.cholesky(moments[::-1, ::-1])[::-1, ::-1]
    diagonal = np.diag(root)
    return root / diagonal, np.square(diagonal)


def _quarters(gains: Matrix) -> NDArray[np.int32]:
    return np.clip(np.rint(PER_OCTAVE * np.log2(np.maximum(gains, 1e-300))), -FURTHEST, FURTHEST).astype(np.int32)


def _scaled(values: NDArray[Any], rows: NDArray[np.int32], cols: NDArray[np.int32]) -> NDArray[np.float32]:
    factors = (np.exp2(gains / PER_OCTAVE).astype(np.float32) for gains in (rows, cols))
    by_row, by_col = factors
    return np.asarray(values * by_row[:, None] * by_col, np.float32)
