"""What identifies a network: a hash of its weights that does not depend on the file they came in."""

import hashlib
import json
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from dna_ray.networks.network import TensorInfo


def fingerprint_of(tensors: Iterable[TensorInfo], read: Callable[[str], Tensor]) -> str:
    """sha256 over (name, dtype, shape, bytes) of each tensor, by sorted name, in hex; one tensor in memory at a time.

    A tied tensor counts with its bytes like any other, so that tying or copying makes no difference. A file that
    leaves one of two tied names out, as `save_pretrained` does, holds fewer tensors and has another fingerprint.
    """
    digest = hashlib.sha256()
    for info in sorted(tensors, key=lambda info: info.name):
        # A line of JSON says where the bytes end: no two networks give the same stream.
        digest.update(json.dumps([info.name, info.dtype, list(info.shape)]).encode() + b"\n")
        digest.update(bytes_of(read(info.name)))
    return digest.hexdigest()


def bytes_of(tensor: Tensor) -> memoryview:
    """The tensor's bytes in row-major order, without a copy where it lies so in memory already."""
    flat = tensor.detach().to("cpu").contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
