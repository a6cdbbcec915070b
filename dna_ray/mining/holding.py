"""Which learned places each worker of a team holds.

A row's place is needed only where weights of that row are seen, so it lives on the worker that has the row's tiles, and
nowhere else; so do the places of the columns of a matrix that lies on one worker. Their gradients need no sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dna_ray.mining.tiles import Tile, shard
from dna_ray.networks import Anatomy


@dataclass(frozen=True, slots=True)
class Part:
    """What one worker holds of a table of places.

    Attributes:
        numbers: Which lines of the table. First come the `shared` ones, the same on all workers in the same order;
            the others are on this worker only.
        shared: How many lines are shared.
        size: Lines of the table.
    """

    numbers: Int[Tensor, " n"]
    shared: int
    size: int

    def of(self, table: Float[Tensor, "size d"]) -> Float[Tensor, "n d"]:
        """The part of `table`; a line of zeros where nothing is held, so that there is something to look up."""
        return table[self.numbers] if len(self.numbers) else table.new_zeros(1, table.shape[1])

    def spread(self, own: Float[Tensor, "n d"], *, rank: int) -> Float[Tensor, "size d"]:
        """A table with `own` in its lines, and zeros in others'; the shared ones are worker 0's. All of them add up."""
        table = own.new_zeros(self.size, own.shape[1])
        first = self.shared if rank else 0
        table[self.numbers[first:]] = own[first : len(self.numbers)]
        return table


@dataclass(frozen=True, slots=True)
class Holding:
    """The places of one worker: its parts of those of all rows, and of all columns, in canonical order of matrices."""

    rows: Part
    cols: Part


def whole(anatomy: Anatomy) -> Holding:
    """What a worker holds that is alone."""
    return Holding(*(Part(torch.arange(ends[-1]), 0, ends[-1]) for ends in starts(anatomy)))


def holding(tiles: Sequence[Tile], anatomy: Anatomy, rank: int, *, of: int) -> Holding:
    """What worker `rank` of `of` holds: of its shard of `tiles` all rows, and all columns of every matrix.

    The columns of a matrix that lies on several workers are shared.
    """
    shards = [[tiles[i] for i in shard(tiles, other, of=of)] for other in range(of)]
    matrices = [{tile.tensor for tile in own} for own in shards]
    row_starts, col_starts = starts(anatomy)
    number = {info.name: t for t, info in enumerate(anatomy.matrices)}
    rows = sorted({(row_starts[number[tile.tensor]] + tile.row, tile.rows) for tile in shards[rank]})
    spans: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for t, info in enumerate(anatomy.matrices):
        shared = sum(info.name in names for names in matrices) > 1
        if shared or info.name in matrices[rank]:
            spans[shared].append((col_starts[t], info.cols))
    return Holding(
        Part(_numbers(rows), 0, row_starts[-1]),
        Part(_numbers(spans[True] + spans[False]), sum(cols for _, cols in spans[True]), col_starts[-1]),
    )


def starts(anatomy: Anatomy) -> tuple[list[int], list[int]]:
    """The first row and the first column of each matrix in the tables, and in the end how many there are."""
    shapes = [info.matrix_shape for info in anatomy.matrices]
    return [0, *accumulate(rows for rows, _ in shapes)], [0, *accumulate(cols for _, cols in shapes)]


def _numbers(spans: Sequence[tuple[int, int]]) -> Int[Tensor, " n"]:
    """The numbers in spans of (start, length), one span after the other."""
    return torch.cat([torch.empty(0, dtype=torch.int64), *(torch.arange(start, start + n) for start, n in spans)])
