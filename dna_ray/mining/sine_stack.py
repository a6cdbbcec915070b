"""Sine networks of several layers as one differentiable function, forward and backward written out.

Automatic differentiation would keep, cast and add more than this needs: here a layer keeps its sines and cosines, and
the slope of its angles is written over them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dna_ray.mining.sine import EAGER, Kernels


class Memory:
    """Leaves the tensors of one step to the next: fresh pages cost more than the sines that are written to them."""

    def __init__(self) -> None:
        self._spare: dict[tuple[Any, ...], list[Tensor]] = {}

    def take(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """A tensor of any content."""
        spare = self._spare.get((*shape, dtype, device))
        return spare.pop() if spare else torch.empty(tuple(shape), dtype=dtype, device=device)

    def leave(self, tensors: Sequence[Tensor]) -> None:
        """Gives tensors to whoever takes one of their shape next; the caller reads them no more."""
        for tensor in tensors:
            if not tensor.is_inference():  # training could not write to it
                self._spare.setdefault((*tensor.shape, tensor.dtype, tensor.device), []).append(tensor)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a stack is computed.

    Attributes:
        omega: Frequency scale, in radians per unit of pre-activation.
        dtype: Of the products, and of the sines and cosines that are kept.
        kernels: The pointwise functions.
        memory: Of the steps.
        keep: Whether gradients will be wanted; if not, no layer is kept beyond the next one.
    """

    omega: float
    dtype: torch.dtype = torch.float32
    kernels: Kernels = EAGER
    memory: Memory = field(default_factory=Memory)
    keep: bool = True


class _SineStack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, row: Tensor, col: Tensor, how: Arithmetic, out_weight: Tensor, *layers: Tensor) -> Tensor:
        depth, kernels = len(layers) // 2, how.kernels
        weights = [(how.omega * stored(weight)).to(how.dtype) for weight in layers[:depth]]
        biases = [how.omega * stored(bias) for bias in layers[depth:]]
        rows, cols = (torch.cat([angle.sin(), angle.cos()], -1).flatten(0, 1) for angle in (row, col))
        (g, n, r, width), c = row.shape, col.shape[2]
        points, value = n * r * c, row.new_empty(g, n, r, c)
        sins = [how.memory.take((g, points, width), how.dtype, row.device)]
        coss: list[Tensor] = []
        kernels.outer(rows, cols, sins[0].view(g * n, r, c, width))
        for weight, bias in zip(weights, biases, strict=True):
            z, cos = (how.memory.take((g, points, weight.shape[1]), how.dtype, row.device) for _ in range(2))
            torch.bmm(sins[-1], weight.transpose(1, 2), out=z)
            kernels.sine(z, bias, cos)
            sins.append(z)
            coss.append(cos)
            if not how.keep:
                how.memory.leave([sins.pop(0), coss.pop()])
        kernels.weigh(sins[-1], out_weight, value.view(g, points))
        if not how.keep:
            how.memory.leave(sins)
            return value
        ctx.how, ctx.kept = how, (rows, cols, weights, out_weight.detach(), sins, coss)
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        how: Arithmetic = ctx.how
        rows, cols, weights, out_weight, sins, coss = ctx.kept
        ctx.kept = None  # the next step writes there
        g, n, r, c = grads[0].shape
        width = sins[0].shape[2]
        row_grad, col_grad = (rows.new_zeros(g * n, k, width) for k in (r, c))
        out_grad = torch.zeros_like(out_weight)
        bias_grads = [out_weight.new_zeros(weight.shape[:2]) for weight in weights]
        weight_grads: list[Tensor] = []
        slope = coss[-1]
        how.kernels.weigh_slope(
            grads[0].contiguous().view(g, -1), out_weight, sins[-1], slope, bias_grads[-1], out_grad
        )
        for i in reversed(range(len(weights))):
            weight_grads.insert(0, torch.bmm(slope.transpose(1, 2), sins[i]).float().mul_(how.omega))
            slope = torch.bmm(slope, weights[i], out=sins[i])
            if i:
                how.kernels.slope(slope, coss[i - 1], bias_grads[i - 1])
        how.kernels.outer_slope(slope.view(g * n, r, c, width), rows, cols, row_grad, col_grad)
        how.memory.leave([*sins, *coss])
        bias_grads = [grad.mul_(how.omega) for grad in bias_grads]
        return row_grad.view(g, n, r, width), col_grad.view(g, n, c, width), None, out_grad, *weight_grads, *bias_grads


def stored(parameter: Tensor) -> Tensor:
    """Rounded to fp16, as in the file."""
    return parameter.detach().half().float()


def sine_stack(
    row: Float[Tensor, "g n r h"],
    col: Float[Tensor, "g n c h"],
    weights: list[Tensor],
    biases: list[Tensor],
    out_weight: Float[Tensor, "g m"],
    how: Arithmetic,
) -> Float[Tensor, "g n r c"]:
    """The weighted sum of the last layer's sines, where the first layer is sin(row_i + col_j) of every pair.

    A layer after it is sin(omega (W x + b)), W [g, m, n] and b [g, m] rounded to fp16 as in the file; gradients pass as
    if they were not rounded. A gradient can be taken once: afterwards, the next step writes where it came from.
    """
    result: Tensor = _SineStack.apply(row, col, how, out_weight, *weights, *biases)
    return result
