"""Tiles: rectangles of matrices that partition the field, and the store from which a worker reads only its own.

The store is one Parquet file with a row group a tile. A row group is the smallest thing that Parquet reads, so a worker
touches the bytes of its tiles and of nothing else.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.mining.durable import new_file
from dna_ray.mining.field import Field
from dna_ray.mining.groups import Band

SIDE = 256


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of one matrix: its first row and column, its height and width; and the group of its band."""

    tensor: str
    row: int
    col: int
    rows: int
    cols: int
    group: int

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.rows * self.cols


@dataclass(frozen=True, slots=True)
class Shard:
    """The tiles that one worker holds, with their weights.

    Attributes:
        tiles: The tiles.
        values: Their raw weights, one after the other, row by row, in float32.
    """

    tiles: tuple[Tile, ...]
    values: Float[Tensor, " n"]


def tiles(bands: Iterable[Band], *, side: int = SIDE) -> list[Tile]:
    """Cuts every band into rectangles of at most `side` x `side`, as equal as they can be. They partition the bands."""
    return [
        Tile(band.tensor, band.row + row, col, rows, cols, band.group)
        for band in bands
        for row, rows in _cuts(band.rows, side)
        for col, cols in _cuts(band.cols, side)
    ]


def shard(tiles: Sequence[Tile], rank: int, *, of: int) -> list[int]:
    """Indices of the tiles that worker `rank` of `of` holds: its part of every group, cut between rows of tiles.

    The parts follow each other, so that few matrices lie on two workers and no row does; they are as equal as rows of
    tiles allow. The shards partition the tiles.
    """
    runs: dict[tuple[int, str, int], list[int]] = {}
    total: Counter[int] = Counter()
    for i, tile in enumerate(tiles):
        runs.setdefault((tile.group, tile.tensor, tile.row), []).append(i)
        total[tile.group] += tile.size
    chosen, passed = [], Counter[int]()
    for (group, _, _), run in runs.items():
        size = sum(tiles[i].size for i in run)
        if (2 * passed[group] + size) * of // (2 * total[group]) == rank:  # whose part the middle of the run is in
            chosen += run
        passed[group] += size
    return chosen


def cut(field: Field, tiles: Sequence[Tile]) -> Shard:
    """The shard of `tiles`, from a field in this process; a matrix in memory at a time."""
    values = torch.empty(sum(tile.size for tile in tiles))
    offset, name, matrix = 0, None, torch.empty(0)
    for tile in tiles:
        if tile.tensor != name:
            name, matrix = tile.tensor, field.matrix(tile.tensor)
        block = matrix[tile.row : tile.row + tile.rows, tile.col : tile.col + tile.cols]
        values[offset : offset + tile.size] = block.float().flatten()
        offset += tile.size
    return Shard(tuple(tiles), values)


def write_store(path: Path, field: Field, tiles: Sequence[Tile]) -> None:
    """Writes the weights of `tiles` to a tile store; `path` appears when it is complete.

    Raises:
        SpaceError: No space is left.
    """
    header = {"fingerprint": field.fingerprint, "tiles": [astuple(tile) for tile in tiles]}
    schema = pa.schema([("weight", pa.float32())], metadata={"dna_ray.tiles": json.dumps(header)})
    layout = {"compression": "NONE", "use_dictionary": False, "write_statistics": False, "write_page_checksum": True}
    name, matrix = None, torch.empty(0)
    with new_file(path) as partial, pq.ParquetWriter(partial, schema, **layout) as writer:
        for tile in tiles:
            if tile.tensor != name:
                name, matrix = tile.tensor, field.matrix(tile.tensor).float()
            block = matrix[tile.row : tile.row + tile.rows, tile.col : tile.col + tile.cols]
            table = pa.table([pa.array(block.contiguous().flatten().numpy())], schema=schema)
            writer.write_table(table, row_group_size=tile.size)


def read_index(path: Path, *, fingerprint: str | None = None) -> list[Tile]:
    """The tiles of a store, without their weights.

    Raises:
        ArtifactError: The file is no tile store, or holds the field of another network than `fingerprint`.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
        header = json.loads(metadata[b"dna_ray.tiles"])
        found = [Tile(*row) for row in header["tiles"]]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path}: not a tile store ({error}); delete it, and run again") from error
    if fingerprint is not None and header["fingerprint"] != fingerprint:
        raise ArtifactError(f"{path}: holds the field of another network; delete it, and run again")
    return found


def load_shard(path: Path, indices: Sequence[int]) -> Shard:
    """Reads the tiles with these indices from a store, row group by row group, and no others.

    Raises:
        ArtifactError: The file is no tile store, or one of these tiles is damaged.
    """
    index = read_index(path)
    chosen = tuple(index[i] for i in indices)
    values = np.empty(sum(tile.size for tile in chosen), dtype=np.float32)
    offset = 0
    try:
        with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
            for i, tile in zip(indices, chosen, strict=True):
                values[offset : offset + tile.size] = file.read_row_group(i, columns=["weight"])["weight"].to_numpy()
                offset += tile.size
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ArtifactError(f"{path}: tile {i} is damaged ({error}); delete the file, and run again") from error
    return Shard(chosen, torch.from_numpy(values))


def _cuts(length: int, side: int) -> list[tuple[int, int]]:
    """(start, length) of as few pieces of at most `side` as possible, that differ by at most one."""
    pieces = -(-length // side)
    edges = [length * i // pieces for i in range(pieces + 1)]
    return [(start, stop - start) for start, stop in zip(edges, edges[1:], strict=False)]
