"""Masks in a module that runs, and its own weights back."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dna_ray.errors import InputError
from dna_ray.evolution.sparsity.layers import matrix_of, modules_of, write_matrix


def apply(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Sets to zero what masks do not keep. The memory of the weights that were there is not written to.

    Args:
        masks: Name of a layer's weight -> (rows, cols) bool, true where it is kept.

    Raises:
        NetworkError: The model has no such layer.
        InputError: A mask is of another shape; then nothing is changed.
    """
    modules = modules_of(model, masks)
    for name, mask in masks.items():
        if mask.shape != matrix_of(modules[name]).shape:
            raise InputError(f"{name!r} is {tuple(matrix_of(modules[name]).shape)}, its mask {tuple(mask.shape)}")
    for name, module in modules.items():
        matrix = matrix_of(module)
        # not a product: a NaN or -0.0 becomes 0.0 too
        kept = masks[name].to(matrix.device, torch.bool)
        write_matrix(module, torch.where(kept, matrix, torch.zeros((), dtype=matrix.dtype, device=matrix.device)))


@contextmanager
def undone(model: nn.Module, names: Iterable[str]) -> Iterator[None]:
    """Within, `apply` and `write_matrix` may change the named layers; after, they are as before, bit for bit.

    Their memory is put back rather than their values: what is changed in place within, after a mask has been
    applied, is changed in a copy.

    Raises:
        NetworkError: The model has no such layer.
    """
    modules = modules_of(model, names)
    originals = {name: module.weight.data for name, module in modules.items() if isinstance(module.weight, Tensor)}
    try:
        yield
    finally:
        for name, original in originals.items():
            modules[name].weight.data = original
