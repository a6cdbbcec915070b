"""Trellis quantization with error feedback: columns in groups, each knowing what the ones before it got wrong.

Within a group the Viterbi algorithm chooses the path; between groups, errors are fed to the columns that follow. The
trellis goes on from group to group in the state where the last one ended, so a decoder sees one row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dna_ray.mining.coding.classes import ClassMap
from dna_ray.mining.coding.counting import dequantise
from dna_ray.mining.coding.trellis import Trellis
from dna_ray.mining.coding.viterbi import Costs, quantise

_TOGETHER = 16  # columns of a group: with fewer, the trellis looks too little ahead; with more, feedback comes late
_LAZY = 128  # columns after which errors go to all that follow, and not just to the next of these

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
        fed: What rows are fed by; the targets of others are their values.
    """
    targets, errors = values.copy(), np.empty_like(values)
    indices, points = np.empty(values.shape, np.int32), costs.points
    states = np.zeros(len(values), np.uint8)
    cols = values.shape[1]
    for start in range(0, cols, _TOGETHER):
        end = min(cols, start + _TOGETHER)
        columns, began = of.columns(start, end), states.copy()
        group = np.ascontiguousarray(targets[:, start:end])
        indices[:, start:end] = quantise(group, columns, costs, trellis, price, states)
        rebuilt = dequantise(np.ascontiguousarray(indices[:, start:end]), columns, points, trellis, began)
        errors[:, start:end] = values[:, start:end] - rebuilt
        near = min(cols, start - start % _LAZY + _LAZY)
        for each in fed:
            rows = slice(each.first, each.last)
            if end < near:
                targets[rows, end:near] += errors[rows, start:end] @ each.matrix[start:end, end:near]
            elif near < cols:
                since = start - start % _LAZY
                targets[rows, near:] += errors[rows, since:near] @ each.matrix[since:near, near:]
    return targets, indices
