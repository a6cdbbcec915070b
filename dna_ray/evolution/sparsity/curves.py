"""The error of a layer at every sparsity: one sort, one cumulative sum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import InputError
from dna_ray.evolution.sparsity.statistics import InputStatistics


@dataclass(frozen=True, slots=True, eq=False)
class ErrorCurve:
    """How large the error of a layer is when it keeps its best weights.

    Attributes:
        kept: (points,) int64, rising, from 1 to all weights.
        error: (points,) float64, not rising, 0 at the end.
    """

    kept: NDArray[np.int64]
    error: NDArray[np.float64]

    def at(self, kept: int) -> float:
        """The error with so many weights; between two points on the line that joins them."""
        return float(np.interp(kept, self.kept, self.error))


def error_curve(weight: Tensor, statistics: InputStatistics, *, points: int = 1025) -> ErrorCurve:
    """E ||(W - W^) x||^2 against the number of weights that are kept, as if inputs were uncorrelated.

    Then every weight counts for itself, with W^2 E x^2, and to keep the largest is best. `points` lie at even
    distances; each is exact.

    Raises:
        InputError: The statistics are of another layer, or the weights not finite.
    """
    rows, cols = weight.shape
    if statistics.rms.shape != (cols,):
        raise InputError(f"a layer of {cols} inputs cannot be judged by statistics of {len(statistics.rms)}")
    each = (weight.double().square() * statistics.rms.double().square()).flatten().numpy()
    if not np.isfinite(each).all():
        raise InputError("weights or statistics of a layer are not finite; repair the network before it is pruned")
    lost = np.concatenate(([0.0], np.cumsum(np.sort(each))))  # by the smallest first: sums stay exact to rounding
    kept = np.unique(np.linspace(1, rows * cols, points).round().astype(np.int64))
    return ErrorCurve(kept, lost[rows * cols - kept])
