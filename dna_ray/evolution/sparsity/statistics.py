"""What the layers of a network are given to multiply: sums over calibration data, one batch in memory at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dna_ray.errors import TaskError
from dna_ray.evolution.sparsity.layers import Layer, modules_of

_ENTRIES = 1 << 22  # of unfolded inputs that are looked at at once: 16 MiB
_ROWS = 2048  # positions whose products are summed in float32 before they are added in float64

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True, eq=False)
class InputStatistics:
    """Of the inputs of one layer over all calibration positions.

    A position is a token of a linear layer, and a place of the output of a convolution, whose inputs are in the order
    of its kernel: in, kh, kw. Those of a grouped or depthwise convolution are means over its groups, each group
    counting as a position of its own: they tell how large an input is by its place in the kernel, not by channel.

    Attributes:
        mean_abs: (cols,) E|x_j|, float32.
        rms: (cols,) sqrt(E x_j^2), float32.
        largest: (cols,) max |x_j|, float32.
        moments: (cols, cols) E[x x^T], float64: what cancels in an error of few positions would be lost in float32.
        count: Positions seen.
        groups: Of the convolution; 1 for everything else.
    """

    mean_abs: Tensor
    rms: Tensor
    largest: Tensor
    moments: Tensor
    count: int
    groups: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What calibration data tell of a network.

    Attributes:
        statistics: Name of a layer's weight -> its inputs.
        positions: Name of a layer's weight -> output positions of one sample that each weight serves; of inputs
            of several sizes the largest.
        order: Names of the layers' weights, as data reached them first.
    """

    statistics: dict[str, InputStatistics]
    positions: dict[str, int]
    order: tuple[str, ...]


def calibrated(layers: Sequence[Layer], calibration: Calibration) -> tuple[Layer, ...]:
    """The layers with their positions; where each has a depth of its own, with that at which data reach it.

    Names tell the order of the blocks of a transformer, but not that of the stem and the stages of other networks.
    """
    places = {name: place / max(1, len(calibration.order) - 1) for place, name in enumerate(calibration.order)}
    alone = len({layer.depth for layer in layers}) == len(layers)
    return tuple(
        replace(
            layer,
            positions=calibration.positions[layer.name],
            depth=places[layer.name] if alone else layer.depth,
        )
        for layer in layers
    )


@torch.inference_mode()
def gather(
    model: nn.Module,
    names: Iterable[str],
    batches: Iterable[Batch],
    forward: Callable[[Batch], object],
    *,
    mask: Callable[[Batch], Tensor | None] | None = None,
) -> Calibration:
    """Runs `batches` through `model`, and sums what reaches each of its layers.

    Memory: 8 bytes x cols^2 for each name, and a few tens of MiB; of many wide layers, gather some at a time.

    Args:
        names: Of the layers' weights, as `layers_of` gives them.
        forward: Runs the model on one batch.
        mask: Gives (batch, tokens) of a batch, true where a token counts; the rest is padding. It is used for the
            inputs that have as many positions, and left unused for what sees texts as a whole.

    Raises:
        NetworkError: The model has no layer of one of the names.
        TaskError: No position reached a layer, or its inputs are not finite.
    """
    modules = modules_of(model, names)
    order: dict[str, None] = {}
    sums = {name: _Sums(module) for name, module in modules.items()}
    with _listening(modules, sums, order):
        for batch in batches:
            counted = mask(batch) if mask else None
            for each in sums.values():
                each.counted = counted
            forward(batch)
    statistics = {name: each.statistics(name) for name, each in sums.items()}
    return Calibration(statistics, {name: each.positions for name, each in sums.items()}, tuple(order))


@contextmanager
def _listening(modules: dict[str, nn.Module], sums: "dict[str, _Sums]", order: dict[str, None]) -> Iterator[None]:
    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        def hear(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            order.setdefault(name)
            sums[name].hear(module, inputs[0].detach(), output)

        return hear

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Sums:
    """Of one layer, as its inputs come."""

    def __init__(self, module: nn.Module) -> None:
        self.counted: Tensor | None = None
        self.positions = 1
        self._groups = int(module.groups) if isinstance(module, nn.Conv2d) else 1
        self._count = 0
        self._first: Tensor | None = None  # sum of |x|
        self._largest: Tensor | None = None
        self._moments: Tensor | None = None

    def hear(self, module: nn.Module, x: Tensor, output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            self.positions = max(self.positions, output.shape[-2] * output.shape[-1])
            for columns in _unfolded(module, x, output):
                self._add(columns)
            return
        if x.ndim == 4:  # a linear layer over the pixels of an image
            self.positions = max(self.positions, x.shape[1] * x.shape[2])
        rows = x.reshape(-1, x.shape[-1])
        if self.counted is not None and self.counted.numel() == len(rows):
            rows = rows[self.counted.reshape(-1).to(rows.device, torch.bool)]
        self._add(rows)

    def _add(self, rows: Tensor) -> None:
        for x in rows.split(_ROWS):
            values = x.float()
            size = values.abs()
            first, largest, moments = size.double().sum(0), size.amax(0), values.double().T @ values.double()
            if self._first is None or self._largest is None or self._moments is None:
                self._first, self._largest, self._moments = first, largest, moments
            else:
                self._first += first
                self._largest = torch.maximum(self._largest, largest)
                self._moments += moments
            self._count += len(x)

    def statistics(self, name: str) -> InputStatistics:
        if self._first is None or self._largest is None or self._moments is None or not self._count:
            raise TaskError(f"calibration: no data reached {name!r}; give batches that run through it, or exclude it")
        if not bool(torch.isfinite(self._moments).all()):
            raise TaskError(f"calibration: inputs of {name!r} are not finite; repair the network or its data")
        moments = self._moments / self._count
        return InputStatistics(
            (self._first / self._count).float().cpu(),
            moments.diagonal().clamp(min=0).sqrt().float().cpu(),
            self._largest.cpu(),
            moments.cpu(),
            self._count,
            self._groups,
        )


def _unfolded(module: nn.Conv2d, x: Tensor, output: Tensor) -> Iterator[Tensor]:
    """Inputs of each output position of each group, (positions x groups, cols), a few samples at a time."""
    padded = _padded(module, x if x.ndim == 4 else x.unsqueeze(0), (output.shape[-2], output.shape[-1]))
    width = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
    entries = output.shape[-2] * output.shape[-1] * width  # of a sample
    for samples in padded.split(max(1, _ENTRIES // entries)):
        columns = F.unfold(samples, module.kernel_size, module.dilation, 0, tuple(module.stride))  # [B, C kh kw, P]
        grouped = columns.unflatten(1, (module.groups, -1))  # [B, G, cols, P]
        yield grouped.permute(0, 3, 1, 2).reshape(-1, width // module.groups)


def _padded(module: nn.Conv2d, x: Tensor, reached: tuple[int, int]) -> Tensor:
    """As the convolution pads its inputs itself; where that gives other outputs, as TensorFlow's "same" does.

    Convolutions that were converted from TensorFlow pad in a `forward` of their own, by a pixel more at the end.
    """
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = F.pad(x, module._reversed_padding_repeated_twice, mode=mode)
    needed = [
        (outputs - 1) * step + apart * (kernel - 1) + 1
        for outputs, step, apart, kernel in zip(
            reached, module.stride, module.dilation, module.kernel_size, strict=True
        )
    ]
    # a stride may leave the last pixels unread
    if all(0 <= have - need < step for have, need, step in zip(padded.shape[2:], needed, module.stride, strict=True)):
        return padded
    high, wide = (max(0, need - have) for need, have in zip(needed, x.shape[2:], strict=True))
    return F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
