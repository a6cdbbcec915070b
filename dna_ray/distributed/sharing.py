"""Tensors in Ray's object store: put there once, and read in place by every process of the node."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Bytes:
    """A tensor as Ray leaves it in shared memory: arrays of numpy are read in place, tensors of torch are copied."""

    values: NDArray[np.uint8]
    dtype: torch.dtype
    shape: tuple[int, ...]


def shareable(tensors: Mapping[str, Tensor]) -> dict[str, Bytes]:
    """What to put into the object store. Nothing is copied that lies in the memory of the CPU, row by row."""
    return {name: Bytes(_bytes(tensor), tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def shared(found: Mapping[str, Bytes]) -> dict[str, Tensor]:
    """The tensors, in the memory of the object store. Whoever writes to them crashes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return {name: _tensor(each) for name, each in found.items()}


def _bytes(tensor: Tensor) -> NDArray[np.uint8]:
    return tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy()


def _tensor(each: Bytes) -> Tensor:
    if not each.values.size:  # what is empty has no memory that could be viewed
        return torch.empty(each.shape, dtype=each.dtype)
    return torch.from_numpy(each.values).view(each.dtype).reshape(each.shape)
