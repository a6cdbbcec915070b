"""Whether a matrix is smooth along its rows or its columns: the test that decides what a sine function is tried on.

Neighbours that resemble each other mean nothing by themselves: rows with a common mean do so in any order. So each
measure counts only as far as it exceeds that of the same rows, or columns, in an order drawn at random.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from dna_ray.mining.coding.classes import PER_OCTAVE

SHORTEST = 32  # entries along an axis: of fewer, a table takes no more bytes than a function
_SHUFFLES = 16
_SIGMAS = 4.0  # above the mean of the shuffles, in their standard deviations
_CORRELATION, _LOW = 0.2, 0.1  # above the mean of the shuffles: less would save next to nothing
_LOW_BAND = 4  # one in so many frequencies is low
_RUNS, _RUN, _ACROSS = 8, 32, 1024  # neighbours lie together, so a sample is runs of them; entries across

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Smoothness:
    """Along which axes a matrix is smooth: `rows`: each row is like the next; `cols`: each column is."""

    rows: bool
    cols: bool

    def __bool__(self) -> bool:
        return self.rows or self.cols


def smoothness(
    matrix: NDArray[np.float32], rows: NDArray[np.int32], cols: NDArray[np.int32], *, seed: int
) -> Smoothness:
    """Looks at a sample of the matrix, divided by its scales.

    Args:
        rows: Log2 scale of each row, as `scale_field` finds it.
        cols: The same of each column.
        seed: Of the shuffles.
    """
    rng = np.random.default_rng(seed)
    return Smoothness(
        rows=_is_smooth(_sample(matrix, rows, cols), rng), cols=_is_smooth(_sample(matrix.T, cols, rows), rng)
    )


def _sample(matrix: NDArray[np.float32], along: NDArray[np.int32], across: NDArray[np.int32]) -> Values:
    """(runs, rows, entries): runs of consecutive rows, divided by the scales; none of too short an axis."""
    length = len(matrix)
    if length < SHORTEST:
        return np.empty((0, 1, 1))
    few = length <= _RUNS * _RUN
    starts = np.array([0]) if few else np.linspace(0, length - _RUN, _RUNS).astype(int)
    kept = starts[:, None] + np.arange(length if few else _RUN)
    row, col = (np.exp2(-octaves / PER_OCTAVE) for octaves in (along, across[:_ACROSS]))
    return matrix[kept, :_ACROSS].astype(np.float64) * row[kept, None] * col


def _is_smooth(runs: Values, rng: np.random.Generator) -> bool:
    found = _measures(runs)
    if not (found > [_CORRELATION, _LOW]).all():  # hardly a shuffle is below zero: no need to look
        return False
    lines = runs.reshape(-1, runs.shape[2])
    shuffled = np.array([_measures(rng.permutation(lines).reshape(runs.shape)) for _ in range(_SHUFFLES)])
    surplus = found - shuffled.mean(0)
    return bool((surplus > [_CORRELATION, _LOW]).all() and (surplus > _SIGMAS * shuffled.std(0, ddof=1)).all())


def _measures(runs: Values) -> Values:
    """Correlation of neighbouring rows, and the share of energy at low frequencies above that of noise."""
    energy = float(np.square(runs).sum())
    if not energy:
        return np.zeros(2)
    length = runs.shape[1]
    products = float((runs[:, 1:] * runs[:, :-1]).sum()) * length / (length - 1)
    low = float(np.square(dct(runs, axis=1, norm="ortho")[:, : length // _LOW_BAND]).sum())
    return np.array([products / energy, low / energy - 1 / _LOW_BAND])
