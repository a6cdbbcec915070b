"""Trellis quantization with error feedback: columns in groups, each knowing what the ones before it got wrong.

Within a group the Viterbi algorithm chooses the path; between groups, errors are fed to the columns that follow. The
trellis goes on from group to group in the state where the last one ended, so a decoder sees one row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from dna_ray.mining.coding.classes import ClassMap
from dna_ray.mining.coding.counting import rebuild
from dna_ray.mining.coding.trellis import Trellis
from dna_ray.mining.coding.viterbi import LANES, Costs, follow, quantise, room

_TOGETHER = 16  # columns of a group: with fewer, the trellis looks too little ahead; with more, feedback comes late

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Fed:
    """Rows from `first` to `last`, exclusive, that are fed by one (cols, cols) strictly upper triangular matrix."""

    first: int
    last: int
    matrix: Values


def quantise_fed(
    values: Values, of: ClassMap, costs: Costs, trellis: Trellis, price: float, fed: Sequence[Fed]
) -> tuple[Values, NDArray[np.int32]]:
    """Targets and indices, (rows, cols): each target is its value and what errors to the left of it add.

    Args:
        values: (rows, cols), in units of the step.
        fed: What rows are fed by; the others are quantised as they are.
    """
    targets, indices = values.copy(), np.empty(values.shape, np.int32)
    alone = np.ones(len(values), bool)
    for each in fed:
        rows = slice(each.first, each.last)
        alone[rows] = False
        own = (of.rows[rows], of.cols, of.matrix[rows])
        states, ways = np.zeros(each.last - each.first, np.uint8), (trellis.before, trellis.branch, trellis.following)
        _quantise_fed(values[rows], own, costs.tables(price), ways, each.matrix, states, targets[rows], indices[rows])
    if alone.any():
        left = ClassMap(of.rows[alone], of.cols, of.matrix[alone])
        indices[alone] = quantise(values[alone], left, costs, trellis, price)
    return targets, indices


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _quantise_fed(
    values: Any, of: Any, tables: Any, ways: Any, matrix: Any, states: Any, targets: Any, indices: Any
) -> None:
    before, branch, following = ways
    n_rows, n_cols = values.shape
    for group in numba.prange((n_rows + LANES - 1) // LANES):
        first = group * LANES
        lanes = min(LANES, n_rows - first)
        rooms = room(_TOGETHER, len(before))
        seen = np.empty(_TOGETHER, np.float32)
        for start in range(0, n_cols, _TOGETHER):
            end = min(start + _TOGETHER, n_cols)
            began = states[first : first + lanes].copy()
            follow(targets, first, lanes, start, end, of, tables, (before, branch), states, indices, rooms)
            for lane in range(lanes):
                r = first + lane
                rebuild(indices[r, start:end], r, start, of, tables[1], tables[2], following, began[lane], seen)
                for k in range(end - start):
                    _add(values[r, start + k] - seen[k], matrix[start + k, end:], targets[r, end:])


@numba.njit(cache=True, error_model="numpy")
def _add(error: Any, fed: Any, targets: Any) -> None:
    for i in range(len(targets)):  # of two arrays that do not overlap, and so in vectors
        targets[i] += error * fed[i]
