"""How far the error of sparse layers can grow through a network of ReLUs: a bound that always holds, often a loose one.

From layer to layer, e' <= ||S(a) - D(a)|| + L(S) e, where D and S are the dense and the sparse layer, a is what the
dense network gives them, and L(S) is no less than the Lipschitz constant of S. Attention has no such constant.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from math import ceil, gcd, prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from dna_ray.errors import InputError, NetworkError
from dna_ray.evolution.judging.bounds import Bound, spectral_norm_bound


def network_bound(dense: nn.Sequential, sparse: nn.Sequential, inputs: Tensor) -> Bound:
    """How far the outputs of the two networks are apart: means over the samples of `inputs`.

    Raises:
        NetworkError: A layer has no Lipschitz constant that is known here, or the two differ in more than weights.
    """
    bounds, measured = sample_bounds(dense, sparse, inputs)
    return Bound(float(bounds.mean()), float(measured.mean()))


@torch.inference_mode()
def sample_bounds(dense: nn.Sequential, sparse: nn.Sequential, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """For each sample: the bound of the distance of the two outputs, and the distance; (samples,) float64.

    Raises:
        NetworkError: A layer has no Lipschitz constant that is known here, or the two differ in more than weights.
        InputError: There is no sample.
    """
    if inputs.ndim < 2 or not len(inputs):
        raise InputError(f"inputs {tuple(inputs.shape)} hold no sample; the first axis must be samples, at least one")
    stages, replaced = list(_stages(dense)), list(_stages(sparse))
    if [type(stage) for stage in stages] != [type(stage) for stage in replaced]:
        raise NetworkError("no bound: the sparse network is not made of the layers of the dense one")
    right = wrong = inputs.double()
    bounds = torch.zeros(len(inputs), dtype=torch.float64)
    for stage, other in zip(stages, replaced, strict=True):
        grown = lipschitz_bound(other) * bounds
        in_dense = _wide(stage)(right)
        in_sparse = _wide(other)
        bounds = grown + _norms(in_sparse(right) - in_dense)
        right, wrong = in_dense, in_sparse(wrong)
    return bounds, _norms(right - wrong)


def lipschitz_bound(module: nn.Module) -> float:
    """No less than how much longer the layer can make a difference of its inputs.

    Raises:
        NetworkError: None is known here.
    """
    known = _LIPSCHITZ.get(type(module))
    if known is None or module.training:
        why = "is in training mode" if known else "has no Lipschitz constant that is known here"
        raise NetworkError(
            f"no bound: {type(module).__name__} {why}; give an nn.Sequential of linear layers, convolutions, ReLUs, "
            "pools and batch norms in eval mode (for attention there is only an estimate)"
        )
    return known(module)


def _stages(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from _stages(child)
    else:
        yield module


def _wide(module: nn.Module) -> nn.Module:
    return deepcopy(module).double()


def _norms(difference: Tensor) -> Tensor:
    return difference.flatten(1).norm(dim=1)


def _convolution(module: nn.Conv2d) -> float:
    """||unfold||^2 is at most how many output positions read a pixel; groups work side by side."""
    if module.padding_mode != "zeros":
        raise NetworkError(f"no bound: a convolution pads by mode {module.padding_mode!r}, which repeats pixels")
    largest = max(spectral_norm_bound(group) for group in module.weight.flatten(1).chunk(module.groups))
    return largest * sqrt(_readers(module.kernel_size, module.stride, module.dilation))


def _maximum(module: nn.MaxPool2d) -> float:
    """Changes by no more than what it is taken of."""
    return sqrt(_readers(_pair(module.kernel_size), _pair(module.stride), _pair(module.dilation)))


def _mean(module: nn.AvgPool2d) -> float:
    """(sum of n pixels)^2 <= n sum of their squares. At an edge, the divisor may be as small as 1."""
    kernel = _pair(module.kernel_size)
    readers = _readers(kernel, _pair(module.stride), (1, 1))
    whole = not module.ceil_mode and (module.count_include_pad or not any(_pair(module.padding)))
    divisor = module.divisor_override or (prod(kernel) if whole else None)
    return sqrt(prod(kernel) * readers) / divisor if divisor else sqrt(readers)


def _adaptive_mean(module: nn.AdaptiveAvgPool2d) -> float:
    """An image of one pixel is read by every output."""
    size = module.output_size
    sides = [side for side in (size if isinstance(size, tuple) else (size, size)) if side is not None]
    if len(sides) < 2:
        raise NetworkError("no bound: an adaptive pool of no fixed output size")
    return sqrt(prod(sides))


def _readers(kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> int:
    """Output positions that read a pixel, at most."""
    axes = zip(kernel, stride, dilation, strict=True)
    return prod(ceil(size * gcd(step, apart) / step) for size, step, apart in axes)


def _pair(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size, size) if isinstance(size, int) else size


def _batch_norm(module: nn.BatchNorm2d) -> float:
    if module.running_var is None:
        raise NetworkError("no bound: a batch norm without running statistics depends on the batch")
    scale = (module.running_var.double() + module.eps).rsqrt()
    return float((scale if module.weight is None else scale * module.weight.detach().double().abs()).max())


def _one(_: nn.Module) -> float:
    return 1.0


_LIPSCHITZ: dict[type[nn.Module], Callable[[Any], float]] = {
    nn.Linear: lambda module: spectral_norm_bound(module.weight),
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.MaxPool2d: _maximum,
    nn.AvgPool2d: _mean,
    nn.AdaptiveAvgPool2d: _adaptive_mean,
    nn.ReLU: _one,
    nn.ReLU6: _one,
    nn.Flatten: _one,
    nn.Identity: _one,
    nn.Dropout: _one,
}
