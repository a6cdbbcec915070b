"""A mask as bits, to be stored or sent: exactly, and known by its hash."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import ArtifactError


def pack(mask: Tensor) -> NDArray[np.uint8]:
    """A mask as bits, row by row; the last byte is filled up with zeros."""
    return np.packbits(mask.numpy())


def unpack(bits: NDArray[np.uint8], *, rows: int, cols: int) -> Tensor:
    """The inverse of `pack`.

    Raises:
        ArtifactError: These are not the bits of a mask of that shape.
    """
    weights = rows * cols
    if bits.dtype != np.uint8 or bits.shape != (-(-weights // 8),):
        raise ArtifactError(f"a mask of {rows} x {cols} weights is {-(-weights // 8)} bytes, not {bits.nbytes}")
    every = np.unpackbits(bits)
    if every[weights:].any():
        raise ArtifactError(f"a mask of {rows} x {cols} weights holds bits beyond its end: it is damaged")
    return torch.from_numpy(every[:weights].astype(bool)).reshape(rows, cols)


def sha256(mask: Tensor) -> str:
    """Of a mask's shape and bits, in hex."""
    rows, cols = mask.shape
    return hashlib.sha256(f"{rows} {cols} ".encode() + pack(mask).tobytes()).hexdigest()
