"""Where a weight is: coordinates from indices alone, or places that are learned.

Both turn (tensor, row, column) into what a row and what a column brings to a sine network; nothing is kept per weight.
"""

from collections import Counter
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dna_ray.mining.holding import Holding, Part, starts, whole
from dna_ray.networks import KINDS, Anatomy


class IndexCoordinates(nn.Module):
    """(row, col, layer, kind), each in [-1, 1], computed from indices: distinct for distinct weights.

    A row brings (row, layer, kind), a column (col). Several tensors of one kind in one layer share that layer's cell.
    """

    row_axes, col_axes = 3, 1
    layer_kind: Tensor
    extent: Tensor

    def __init__(self, anatomy: Anatomy) -> None:
        super().__init__()
        infos = anatomy.matrices
        seen: Counter[tuple[str, int]] = Counter()
        place = []
        for info in infos:
            place.append(seen[info.kind, info.layer])
            seen[info.kind, info.layer] += 1
        share = max(seen.values())
        layer = [
            _unit((info.layer + 1) * share + i, (anatomy.layers + 1) * share)
            for info, i in zip(infos, place, strict=True)
        ]
        kind = [_unit(KINDS.index(info.kind), len(KINDS)) for info in infos]
        self.register_buffer("layer_kind", torch.tensor([layer, kind]).T.contiguous(), persistent=False)
        extent = torch.tensor([info.matrix_shape for info in infos], dtype=torch.float32)
        self.register_buffer("extent", extent, persistent=False)

    def forward(
        self, tensor: Int[Tensor, "g n"], row: Int[Tensor, "g n r"], col: Int[Tensor, "g n c"]
    ) -> tuple[Float[Tensor, "g n r 3"], Float[Tensor, "g n c 1"]]:
        rows, cols = self.extent[tensor].unbind(-1)
        place = (2 * row + 1) / rows.unsqueeze(-1) - 1
        fixed = self.layer_kind[tensor].unsqueeze(2).expand(-1, -1, row.shape[2], -1)
        return torch.cat([place.unsqueeze(-1), fixed], -1), ((2 * col + 1) / cols.unsqueeze(-1) - 1).unsqueeze(-1)


class LearnedPlaces(nn.Module):
    """Every row and every column of a tensor has a place in `dim` dimensions, trained with the function.

    A place is kept in units of its tensor's scale, and is rounded to `bits` bits wherever it is used, so that training
    sees what the file will hold. A tensor uses its first `dims[t]` dimensions; the scale of the others is zero.

    Args:
        held: The places that this process has; None: all of them.
    """

    row_base: Tensor
    col_base: Tensor
    row_at: Tensor
    col_at: Tensor
    row_scale: Tensor
    col_scale: Tensor

    def __init__(self, anatomy: Anatomy, *, dim: int, bits: int, held: Holding | None = None) -> None:
        super().__init__()
        self.bits = bits
        self.held = held or whole(anatomy)
        self.rows = nn.Parameter(torch.zeros(max(1, len(self.held.rows.numbers)), dim))
        self.cols = nn.Parameter(torch.zeros(max(1, len(self.held.cols.numbers)), dim))
        row_starts, col_starts = starts(anatomy)
        self.register_buffer("row_base", torch.tensor(row_starts[:-1]), persistent=False)
        self.register_buffer("col_base", torch.tensor(col_starts[:-1]), persistent=False)
        self.register_buffer("row_at", _lines(self.held.rows), persistent=False)
        self.register_buffer("col_at", _lines(self.held.cols), persistent=False)
        self.register_buffer("row_scale", torch.zeros(len(anatomy.matrices), dim))
        self.register_buffer("col_scale", torch.zeros(len(anatomy.matrices), dim))

    def forward(
        self, tensor: Int[Tensor, "g n"], row: Int[Tensor, "g n r"], col: Int[Tensor, "g n c"]
    ) -> tuple[Float[Tensor, "g n r d"], Float[Tensor, "g n c d"]]:
        rows = nn.functional.embedding(self.row_at[self.row_base[tensor].unsqueeze(-1) + row], self.rows)
        cols = nn.functional.embedding(self.col_at[self.col_base[tensor].unsqueeze(-1) + col], self.cols)
        row_scale, col_scale = self.row_scale[tensor].unsqueeze(2), self.col_scale[tensor].unsqueeze(2)
        return _Rounded.apply(rows, row_scale, self.bits), _Rounded.apply(cols, col_scale, self.bits)


# Of the best uniform quantiser of 2**bits levels for a Gaussian (Max 1960, table II): the largest value that it
# represents, in standard deviations, and its squared error over the variance.
REACH = {1: 1.6, 2: 1.99, 3: 2.34, 4: 2.68, 5: 3.01, 6: 3.33, 7: 3.63, 8: 3.94}
DISTORTION = {1: 0.3634, 2: 0.1188, 3: 0.03744, 4: 0.01154, 5: 0.003495, 6: 0.001041, 7: 0.0003035, 8: 0.00008714}


def to_levels(places: Tensor, bits: int) -> Tensor:
    """The level of each place in [-1, 1], 0 to 2**bits - 1; places beyond go to the outermost level."""
    half = 2 ** (bits - 1)
    return (places * half).floor_().clamp_(-half, half - 1).add_(half)


def from_levels(levels: Tensor, bits: int) -> Tensor:
    """The place in the middle of each level."""
    half = 2 ** (bits - 1)
    return (levels - (half - 0.5)).div_(half)


class _Rounded(torch.autograd.Function):
    """Places rounded to levels, times their scale; the gradient passes as if they were not rounded.

    That is the straight-through estimator (Bengio, Leonard, Courville 2013). Here levels are not counted from 0, which
    saves two passes over the places and gives the same bits as `from_levels(to_levels(places)) * scale`.
    """

    @staticmethod
    def forward(ctx: Any, places: Tensor, scale: Tensor, bits: int) -> Tensor:
        ctx.save_for_backward(scale)
        half = 2 ** (bits - 1)
        return (places * half).floor_().clamp_(-half, half - 1).add_(0.5).mul_(scale / half)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        (scale,) = ctx.saved_tensors
        return grads[0] * scale, None, None


def _unit(index: int, count: int) -> float:
    """The middle of cell `index` of `count` equal cells of [-1, 1]."""
    return (2 * index + 1) / count - 1


def _lines(part: Part) -> Tensor:
    """In which line of the part each line of the table is; 0 where it is not: only blocks of weight 0 ask for that."""
    lines = torch.zeros(part.size, dtype=torch.int64)
    lines[part.numbers] = torch.arange(len(part.numbers))
    return lines
