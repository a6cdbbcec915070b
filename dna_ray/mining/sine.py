"""Sine layers whose backward pass costs one product: the kernels under the sine networks.

Two identities carry the speed:

- The derivative of sin is cos, so a layer keeps cos(z) instead of z, and computes both while z is in the cache.
- The first layer sees a row and a column: sin(a_i + b_j) = sin a_i cos b_j + cos a_i sin b_j. So r + c sines serve
  r x c points, and where the first layer is the only one, a block of points is one matrix product (`bilinear_sine`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def sincos(z: Tensor) -> tuple[Tensor, Tensor]:
    """sin(z) and cos(z), by the vectorised functions of the processor's mathematical library; overwrites z."""
    return z.sin(), z.cos_()


def sincos_polynomial(z: Tensor) -> tuple[Tensor, Tensor]:
    """sin(z) and cos(z) to 2e-6 for |z| < 1e4, in arithmetic that a compiler fuses into one pass.

    Range reduction to [-pi/2, pi/2] and Taylor polynomials of degree 11 and 12 there; the sign comes from the parity
    of the quotient.
    """
    x = z.float()
    quotient = torch.round(x * 0.3183098861837907)
    y = x - quotient * 3.140625 - quotient * 9.67653589793e-4
    sign = 1.0 - 2.0 * (quotient - 2.0 * torch.floor(quotient * 0.5))
    y2 = y * y
    odd = -1 / 6 + y2 * (1 / 120 + y2 * (-1 / 5040 + y2 * (1 / 362880 - y2 / 39916800)))
    even = -0.5 + y2 * (1 / 24 + y2 * (-1 / 720 + y2 * (1 / 40320 + y2 * (-1 / 3628800 + y2 / 479001600))))
    return (sign * (y + y * y2 * odd)).to(z.dtype), (sign * (1 + y2 * even)).to(z.dtype)


def outer_sincos(sin_row: Tensor, cos_row: Tensor, sin_col: Tensor, cos_col: Tensor) -> tuple[Tensor, Tensor]:
    """sin and cos of every row angle plus every column angle: [n, r, h] and [n, c, h] -> [n, r, c, h] twice."""
    sr, cr = sin_row.unsqueeze(2), cos_row.unsqueeze(2)
    sc, cc = sin_col.unsqueeze(1), cos_col.unsqueeze(1)
    return torch.addcmul(sr * cc, cr, sc), torch.addcmul(cr * cc, sr, sc, value=-1)


@dataclass(frozen=True, slots=True)
class Kernels:
    """The pointwise functions of a sine network; `EAGER` needs no compiler, `compiled()` fuses each into one pass."""

    sincos: Callable[[Tensor], tuple[Tensor, Tensor]]
    outer: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


EAGER = Kernels(sincos, outer_sincos)


@cache
def compiled() -> Kernels:
    """The same kernels through `torch.compile`; the first call of each shape class takes seconds."""
    wrap: Callable[..., Any] = torch.compile
    return Kernels(wrap(sincos_polynomial, dynamic=True), wrap(outer_sincos, dynamic=True))


class _SineLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, kernels: Kernels) -> Tensor:
        sin, cos = kernels.sincos(torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2)))
        ctx.save_for_backward(x, weight, cos)
        return sin

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, cos = ctx.saved_tensors
        slope = grads[0] * cos
        return torch.bmm(slope, weight), torch.bmm(slope.transpose(1, 2), x), slope.sum(1), None


class _OuterSine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, cols: Tensor, dtype: torch.dtype, kernels: Kernels) -> Tensor:
        parts = [part.to(dtype) for angle in (rows, cols) for part in (angle.sin(), angle.cos())]
        sin, cos = kernels.outer(*parts)
        ctx.save_for_backward(cos)
        return sin

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None]:
        (cos,) = ctx.saved_tensors
        slope = grads[0] * cos
        return slope.sum(2).float(), slope.sum(1).float(), None, None


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


def sine_layer(
    x: Float[Tensor, "g p n"], weight: Float[Tensor, "g m n"], bias: Float[Tensor, "g m"], kernels: Kernels = EAGER
) -> Float[Tensor, "g p m"]:
    """sin(W x + b) for each of `g` layers."""
    result: Tensor = _SineLayer.apply(x, weight, bias, kernels)
    return result


def outer_sine(
    rows: Float[Tensor, "n r h"], cols: Float[Tensor, "n c h"], *, dtype: torch.dtype, kernels: Kernels = EAGER
) -> Float[Tensor, "n r c h"]:
    """sin(rows_i + cols_j) for every pair, in `dtype`; the angles themselves stay in full precision."""
    result: Tensor = _OuterSine.apply(rows, cols, dtype, kernels)
    return result


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
