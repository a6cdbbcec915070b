"""An orthogonal transform of columns (Karhunen-Loeve), as few integers as it has degrees of freedom.

A product of n - 1 Householder reflections is orthogonal whatever their vectors are, and vector k has n - k - 1 free
entries: half of the numbers that the matrix has. They are quantised one after the other, each for what those before it
have left, so that errors do not add up; and since the product stays orthogonal, they cost coding gain, never fidelity.
"""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def principal_axes(gram: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues, descending, and eigenvectors as columns, of a symmetric matrix."""
    energy, axes = np.linalg.eigh(gram)
    return np.maximum(energy[::-1], 0), np.ascontiguousarray(axes[:, ::-1])


def quantise_rotation(axes: Matrix, fineness: float) -> NDArray[np.int32]:
    """The integers of the reflections that turn the unit vectors into `axes`, up to signs.

    Args:
        axes: (n, n) orthogonal; the columns that matter most come first.
        fineness: Steps in a unit.
    """
    left, found = axes.copy(), []
    for k in range(len(axes) - 1):
        column = left[k:, k] / max(float(np.linalg.norm(left[k:, k])), 1e-30)
        integers = np.rint(fineness * column[1:] / (column[0] + (1 if column[0] >= 0 else -1))).astype(np.int32)
        found.append(integers)
        _reflect(left[k:, k:], integers / fineness)
    return np.concatenate(found) if found else np.empty(0, np.int32)


def rotation(integers: NDArray[np.int32], size: int, fineness: float) -> Matrix:
    """(size, size), exactly orthogonal but for rounding: what `quantise_rotation` stands for."""
    turned = np.eye(size)
    end = len(integers)
    for k in range(size - 2, -1, -1):
        start = end - (size - k - 1)
        _reflect(turned[k:, k:], integers[start:end] / fineness)
        end = start
    return turned


def _reflect(columns: Matrix, tail: Matrix) -> None:
    """Reflects columns in place, by the vector (1, tail)."""
    vector = np.concatenate([[1.0], tail])
    columns -= np.outer(vector * (2 / (vector @ vector)), vector @ columns)
