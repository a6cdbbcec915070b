"""What sine networks are computed with: pointwise kernels, and the product that replaces a single layer.

Two identities carry the speed:

- The derivative of sin is cos, so a layer keeps cos(z) instead of z, and computes both while z is in the cache.
- The first layer sees a row and a column: sin(a_i + b_j) = sin a_i cos b_j + cos a_i sin b_j. So r + c sines serve
  r x c points, and where the first layer is the only one, a block of points is one matrix product (`bilinear_sine`).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Kernels:
    """The pointwise functions of a sine network. Results go where arguments say; totals are added to, in float32.

    `EAGER` runs anywhere; `native.kernels()` are the same, compiled for this processor, each in one pass over memory.

    Attributes:
        sine: (z, bias, cos): z becomes sin(z + bias), and cos its derivative; [g, p, h].
        slope: (grad, cos, total): grad is multiplied by cos, then summed over points into total [g, h].
        weigh: (x, weight, value): value [g, p] becomes the sum of x [g, p, h] weighted by [g, h].
        weigh_slope: (grad, weight, sin, cos, total, weight_total): back through `weigh` and the sine before it; cos
            becomes the slope.
        outer: (row, col, sin): the sine of every row angle plus every column angle. A row and a column hold the sines,
            then the cosines of their angles: [n, r, 2 h], [n, c, 2 h] -> [n, r, c, h].
        outer_slope: (grad, row, col, row_total, col_total): back through `outer`, to the angles.
    """

    sine: Callable[[Tensor, Tensor, Tensor], None]
    slope: Callable[[Tensor, Tensor, Tensor], None]
    weigh: Callable[[Tensor, Tensor, Tensor], None]
    weigh_slope: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], None]
    outer: Callable[[Tensor, Tensor, Tensor], None]
    outer_slope: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], None]


def _sine(z: Tensor, bias: Tensor, cos: Tensor) -> None:
    z.add_(bias.unsqueeze(1))
    cos.copy_(z).cos_()
    z.sin_()


def _slope(grad: Tensor, cos: Tensor, total: Tensor) -> None:
    total.add_(grad.mul_(cos).sum(1))


def _weigh(x: Tensor, weight: Tensor, value: Tensor) -> None:
    value.copy_(torch.bmm(x, weight.to(x.dtype).unsqueeze(2)).squeeze(2))


def _weigh_slope(grad: Tensor, weight: Tensor, sin: Tensor, cos: Tensor, total: Tensor, weight_total: Tensor) -> None:
    own = grad.to(sin.dtype).unsqueeze(2)
    total.add_(cos.mul_(own * weight.to(sin.dtype).unsqueeze(1)).sum(1))
    weight_total.add_(torch.bmm(own.transpose(1, 2), sin).squeeze(1))


def _outer(row: Tensor, col: Tensor, sin: Tensor) -> None:
    sin_row, cos_row = row.to(sin.dtype).unsqueeze(2).chunk(2, -1)
    sin_col, cos_col = col.to(sin.dtype).unsqueeze(1).chunk(2, -1)
    sin.copy_(sin_row * cos_col).addcmul_(cos_row, sin_col)


def _outer_slope(grad: Tensor, row: Tensor, col: Tensor, row_total: Tensor, col_total: Tensor) -> None:
    sin_row, cos_row = row.to(grad.dtype).unsqueeze(2).chunk(2, -1)
    sin_col, cos_col = col.to(grad.dtype).unsqueeze(1).chunk(2, -1)
    slope = torch.addcmul(cos_row * cos_col, sin_row, sin_col, value=-1).mul_(grad)
    row_total.add_(slope.sum(2))
    col_total.add_(slope.sum(1))


EAGER = Kernels(_sine, _slope, _weigh, _weigh_slope, _outer, _outer_slope)


@cache
def compiled() -> Kernels:
    """The same kernels through `torch.compile`, for devices that `native` does not know; takes seconds a kernel."""
    wrap: Callable[..., Any] = torch.compile
    return Kernels(*(wrap(getattr(EAGER, field.name), dynamic=True) for field in fields(Kernels)))


class _BilinearSine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, cols: Tensor, weight: Tensor) -> Tensor:
        left = torch.cat([rows.sin(), rows.cos()], 2)
        right = torch.cat([cols.cos(), cols.sin()], 2)
        scaled = left * weight.repeat(1, 2).unsqueeze(1)
        ctx.save_for_backward(left, right, scaled)
        return torch.bmm(scaled, right.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, Tensor]:
        left, right, scaled = ctx.saved_tensors
        by_sin, by_cos = torch.bmm(grads[0], right).chunk(2, 2)
        sin, cos = left.chunk(2, 2)
        weight = (by_sin * sin).addcmul_(by_cos, cos).sum(1)
        sin, cos = scaled.chunk(2, 2)
        rows = (by_sin * cos).addcmul_(by_cos, sin, value=-1)
        by_cos, by_sin = torch.bmm(grads[0].transpose(1, 2), scaled).chunk(2, 2)
        cos, sin = right.chunk(2, 2)
        cols = (by_sin * cos).addcmul_(by_cos, sin, value=-1)
        return rows, cols, weight


def bilinear_sine(
    rows: Float[Tensor, "n r h"], cols: Float[Tensor, "n c h"], weight: Float[Tensor, "n h"]
) -> Float[Tensor, "n r c"]:
    """sum_h weight_h sin(rows_ih + cols_jh) for every pair: one product of rank 2h, no point is materialised.

    Always in float32: the terms nearly cancel, and bfloat16 was measured to cost 0.007 of R2 on minilm.
    """
    result: Tensor = _BilinearSine.apply(rows, cols, weight)
    return result


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it faster than float32 by design, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float32
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return torch.bfloat16 if capabilities.get("avx512_bf16") else torch.float32
    return torch.float32
