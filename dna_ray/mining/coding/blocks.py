"""Blocks: rows of equal length, of one matrix or of several, that are coded as one stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from dna_ray.networks import TensorInfo

_WEIGHTS = 1 << 22  # of a block: as many as two workers share well, and few enough that a block is small in memory


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a matrix: `first` to `last`, exclusive. `matrix` is its place among the matrices."""

    matrix: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Block:
    """Parts whose rows have `cols` entries each."""

    cols: int
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        return sum(part.last - part.first for part in self.parts)

    @property
    def starts(self) -> tuple[int, ...]:
        """Where the rows of each part begin."""
        lengths = [part.last - part.first for part in self.parts]
        return tuple(accumulate(lengths[:-1], initial=0))


def blocks(matrices: Sequence[TensorInfo]) -> tuple[Block, ...]:
    """All rows of all matrices, cut into blocks: by length of row, and within one length in order."""
    lengths = sorted({info.matrix_shape[1] for info in matrices if info.size})
    return tuple(block for cols in lengths for block in _of_length(matrices, cols))


def _of_length(matrices: Sequence[TensorInfo], cols: int) -> list[Block]:
    most = max(1, _WEIGHTS // cols)
    found: list[Block] = []
    parts: list[Part] = []
    room = most
    for number, info in enumerate(matrices):
        if info.matrix_shape[1] != cols:
            continue
        first, rows = 0, info.matrix_shape[0]
        while first < rows:
            last = min(rows, first + room)
            parts.append(Part(number, first, last))
            room -= last - first
            first = last
            if not room:
                found.append(Block(cols, tuple(parts)))
                parts, room = [], most
    return [*found, Block(cols, tuple(parts))] if parts else found
