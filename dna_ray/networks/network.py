"""What a network is to everything else here: names, shapes, kinds, and a way to read one tensor."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import torch

# Kinds of tensor, in the order that gives each its `kind` coordinate. Append only: DNA files store the names.
KINDS = (
    "word_embedding",
    "position_embedding",
    "type_embedding",
    "patch_embedding",
    "query",
    "key",
    "value",
    "query_key_value",
    "attention_out",
    "ffn_in",
    "ffn_out",
    "pooler",
    "convolution",
    "depthwise",
    "head",
    "other",
    "norm",
    "bias",
    "statistic",
    "buffer",
)

# safetensors' names of dtypes
DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """What one tensor of a network is, without its values.

    Attributes:
        name: Its key in the state dict.
        dtype: Its dtype, by the name that safetensors gives it.
        shape: Its shape as stored.
        kind: One of `KINDS`.
        layer: Index of the layer it belongs to; -1 outside the layers.
        transposed: Stored as (in, out), like GPT-2's Conv1D; its matrix is the transpose.
        tied_to: Name of the tensor whose storage it shares, if that one comes first in canonical order.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    kind: str = "other"
    layer: int = -1
    transposed: bool = False
    tied_to: str | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * DTYPES[self.dtype].itemsize

    @property
    def floating(self) -> bool:
        return DTYPES[self.dtype].is_floating_point

    @property
    def rows(self) -> int:
        """Rows of its matrix: outputs. Leading axes of length 1 do not count; a kernel is out x (in * kh * kw)."""
        return self.matrix_shape[0]

    @property
    def cols(self) -> int:
        return self.matrix_shape[1]

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """(rows, cols) of the matrix that the tensor is mined as; a vector is one row."""
        shape = self.shape
        while len(shape) > 2 and shape[0] == 1:
            shape = shape[1:]
        if len(shape) < 2:
            return 1, prod(shape)
        rows, cols = shape[0], prod(shape[1:])
        return (cols, rows) if self.transposed else (rows, cols)

    @property
    def is_matrix(self) -> bool:
        """Whether it is mined as a matrix; vectors, buffers, integers and tied tensors are not."""
        return (
            self.floating
            and self.tied_to is None
            and self.kind not in ("norm", "bias", "statistic", "buffer")
            and min(self.matrix_shape) > 1
        )


@dataclass(frozen=True)
class Anatomy:
    """Every tensor of a network, in canonical order: sorted by name."""

    family: str
    tensors: tuple[TensorInfo, ...]

    @cached_property
    def by_name(self) -> Mapping[str, TensorInfo]:
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def matrices(self) -> tuple[TensorInfo, ...]:
        """The tensors that are mined as matrices: what R2 is pooled over."""
        return tuple(tensor for tensor in self.tensors if tensor.is_matrix)

    @cached_property
    def layers(self) -> int:
        """Number of layers."""
        return 1 + max((tensor.layer for tensor in self.tensors), default=-1)

    @property
    def weights(self) -> int:
        """Number of matrix weights."""
        return sum(tensor.size for tensor in self.matrices)

    @property
    def fp32_bytes(self) -> int:
        """Bytes of all tensors, tied ones once, floating-point ones counted as fp32: what ratios refer to."""
        return sum(t.size * 4 if t.floating else t.nbytes for t in self.tensors if t.tied_to is None)

    def __iter__(self) -> Iterator[TensorInfo]:
        return iter(self.tensors)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A trained network: its anatomy, a way to read each tensor, and the files that make it a model folder.

    Attributes:
        name: What the user called it.
        anatomy: Its tensors in canonical order.
        read: Returns one tensor by name, as stored (dtype and shape of its `TensorInfo`). Reads only that tensor.
            It may share memory with the network: clone it before changing it in place.
        fingerprint: sha256 of names, shapes, dtypes and bytes in canonical order, in hex.
        config: Its Hugging Face config.json, if it has one.
        files: Small files that belong to the model folder beside weights and config (tokenizer, vocabulary ...).
    """

    name: str
    anatomy: Anatomy
    read: Callable[[str], torch.Tensor]
    fingerprint: str
    config: Mapping[str, Any] | None = None
    files: tuple[Path, ...] = field(default=())
