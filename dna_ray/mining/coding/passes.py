"""One pass over a block: its values, their indices at a step, and what was counted on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dna_ray.mining.coding.blocks import Block
from dna_ray.mining.coding.classes import ClassMap, offset
from dna_ray.mining.coding.counting import Tally, tally
from dna_ray.mining.coding.side import Side
from dna_ray.mining.coding.trellis import Trellis
from dna_ray.mining.coding.viterbi import Costs, quantise
from dna_ray.networks import TensorInfo

PRICE = 0.35  # lambda: squared steps a bit, about the slope of the rate-distortion function at every rate

Read = Callable[[str], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """A block after a pass.

    Attributes:
        tally: What it counted.
        indices: (rows, cols), in the smallest integer dtype that holds them; None where only counting was asked for.
    """

    tally: Tally
    indices: NDArray[Any] | None


class Blocks:
    """The blocks of a field: reads their values, and passes over them. One block is in memory at a time.

    Args:
        read: Returns a matrix by name, in float32.
        matrices: Of the field, in order.
        side: Their scales and transforms.
    """

    def __init__(self, read: Read, matrices: Sequence[TensorInfo], side: Side) -> None:
        self._read, self._matrices, self._side = read, matrices, side
        self._rotations = side.rotations(matrices)

    def values(self, block: Block, every: int = 1) -> NDArray[np.float32]:
        """(rows, cols) of a block after the transforms; each `every`-th row of each part."""
        parts = []
        for part in block.parts:
            rows = self._read(self._matrices[part.matrix].name)[part.first : part.last : every]
            basis = self._side.turned[part.matrix]
            parts.append(rows @ self._rotations[basis] if basis >= 0 else rows)
        return np.ascontiguousarray(np.concatenate(parts), np.float32)

    def class_map(self, block: Block, step: float, every: int = 1) -> ClassMap:
        """Its classes at a step."""
        whole = self._side.class_map(block, offset(step))
        if every == 1:
            return whole
        ends = np.cumsum([part.last - part.first for part in block.parts])
        starts = ends - [part.last - part.first for part in block.parts]
        kept = np.concatenate([np.arange(start, end, every) for start, end in zip(starts, ends, strict=True)])
        return ClassMap(whole.rows[kept], whole.cols, whole.matrix[kept])

    def go(
        self, block: Block, step: float, costs: Costs, trellis: Trellis, *, every: int = 1, keep: bool = False
    ) -> Passage:
        """Quantises a block and counts.

        Args:
            every: Only each `every`-th row of each part.
            keep: Whether to return the indices.
        """
        of = self.class_map(block, step, every)
        values = self.values(block, every) / np.float32(step)
        indices = quantise(values, of, costs, trellis, PRICE)
        return Passage(tally(values, indices, of, trellis), _narrow(indices) if keep else None)


def _narrow(indices: NDArray[np.int32]) -> NDArray[Any]:
    largest = int(np.abs(indices).max(initial=0))
    return indices.astype(np.int8 if largest < 1 << 7 else np.int16 if largest < 1 << 15 else np.int32)
