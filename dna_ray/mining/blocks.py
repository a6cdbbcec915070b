"""Blocks: what a step of training looks at. Every row of a block meets every column of it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dna_ray.mining.start import normalised
from dna_ray.mining.tiles import Shard


@dataclass(frozen=True, slots=True)
class Block:
    """Blocks of points, `n` for each of `g` functions.

    Attributes:
        tensor: Which matrix each block lies in.
        row: Rows of each block, in its matrix.
        col: Columns of each block, in its matrix.
        target: The weights there, each tensor brought to mean 0 and variance 1.
        weight: What an error of 1 in each block counts for in the loss.
    """

    tensor: Int[Tensor, "g n"]
    row: Int[Tensor, "g n r"]
    col: Int[Tensor, "g n c"]
    target: Float[Tensor, "g n r c"]
    weight: Float[Tensor, "g n"]


class BlockSampler:
    """Draws blocks from the tiles of one shard, each tile as often as it has weights. No Python per weight.

    The weights of blocks are such that the expected loss, summed over all shards, is the pooled squared error over the
    pooled variance of the whole field: 1 - R2.

    Args:
        shard: The tiles; their values are normalised in place.
        tensors: Names of the matrices of the field, in canonical order.
        mean, deviation: Of each matrix.
        sizes: Number of weights of each matrix, in the whole field.
        groups: Number of functions.
        side: Rows and columns of a block.
        blocks: Blocks of each function in a step.
    """

    def __init__(
        self,
        shard: Shard,
        *,
        tensors: list[str],
        mean: Float[Tensor, " t"],
        deviation: Float[Tensor, " t"],
        sizes: list[int],
        groups: int,
        side: int,
        blocks: int,
        device: torch.device,
    ) -> None:
        self._side, self._blocks, self._device = side, blocks, device
        index = {name: i for i, name in enumerate(tensors)}
        _normalise(shard, index, mean, deviation)
        self._values = shard.values.to(device) if shard.tiles else torch.zeros(1, device=device)
        table = _table(shard, index, groups)
        share = table[..., _SIZE].sum(1).double() / sum(sizes)
        pooled = (deviation.double().square() * torch.tensor(sizes)).sum() / sum(sizes)
        self._ends = table[..., _SIZE].cumsum(1).to(device)
        self._table = table.to(device)
        importance = deviation.double().square() / pooled.clamp_min(1e-300)
        self._importance = importance.float().to(device)
        self._share = (share / blocks).float().to(device)

    def sample(self, generator: torch.Generator) -> Block:
        """The next blocks; `generator` is on the CPU, so that every device sees the same ones."""
        groups, blocks, side = len(self._table), self._blocks, self._side
        draw = torch.rand((groups, blocks, 1 + 2 * side), generator=generator, dtype=torch.float64).to(self._device)
        total = self._ends[:, -1:]
        tile = torch.searchsorted(self._ends, (draw[..., 0] * total).long(), right=True)
        tile = tile.clamp_(max=self._table.shape[1] - 1)
        fields = self._table.gather(1, tile.unsqueeze(-1).expand(-1, -1, self._table.shape[2]))
        tensor, row0, col0, rows, cols, base, _ = fields.unbind(-1)
        row = (draw[..., 1 : 1 + side] * rows.unsqueeze(-1)).long()
        col = (draw[..., 1 + side :] * cols.unsqueeze(-1)).long()
        index = (base.unsqueeze(-1) + row * cols.unsqueeze(-1)).unsqueeze(-1) + col.unsqueeze(2)
        weight = self._share.unsqueeze(1) * self._importance[tensor]
        return Block(tensor, row0.unsqueeze(-1) + row, col0.unsqueeze(-1) + col, self._values[index], weight)


_SIZE = 6  # column of the table


def _table(shard: Shard, index: dict[str, int], groups: int) -> Int[Tensor, "g t 7"]:
    """Tensor, first row, first column, rows, columns, first value and size of each tile, by group; padded with 0."""
    rows: list[list[tuple[int, ...]]] = [[] for _ in range(groups)]
    base = 0
    for tile in shard.tiles:
        fields = (index[tile.tensor], tile.row, tile.col, tile.rows, tile.cols, base, tile.size)
        rows[tile.group].append(fields)
        base += tile.size
    table = torch.zeros(groups, max(1, *(len(row) for row in rows)) if rows else 1, 7, dtype=torch.int64)
    for group, own in enumerate(rows):
        if own:
            table[group, : len(own)] = torch.tensor(own)
    return table


def _normalise(shard: Shard, index: dict[str, int], mean: Tensor, deviation: Tensor) -> None:
    offset = 0
    for tile in shard.tiles:
        part = shard.values[offset : offset + tile.size]
        i = index[tile.tensor]
        part.copy_(normalised(part, mean[i], deviation[i]))
        offset += tile.size
