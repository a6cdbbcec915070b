"""Safetensors files, written a tensor at a time.

The library's own writer wants every tensor of a file in memory at once. The format is a length, a header of JSON and
the bytes [1], and the anatomy knows the header before the first tensor comes. The files are read by the library's
reader only.

[1] https://github.com/huggingface/safetensors#format
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

from dna_ray.errors import NetworkError
from dna_ray.networks.fingerprint import bytes_of
from dna_ray.networks.network import DTYPE_NAMES, DTYPES, TensorInfo


@dataclass(frozen=True, slots=True)
class Shard:
    """A weights file to be written, and what goes into it.

    Attributes:
        metadata: Of its header, beside what every file says.
    """

    path: Path
    tensors: tuple[TensorInfo, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where the bytes of a tensor go."""

    info: TensorInfo
    file: BinaryIO
    offset: int


def plan(tensors: Sequence[TensorInfo], folder: Path, *, shard_bytes: int) -> list[Shard]:
    """Divides the tensors, in their order, over files of at most `shard_bytes`; a larger tensor has one of its own."""
    groups: list[list[TensorInfo]] = [[]]
    size = 0
    for info in tensors:
        if groups[-1] and size + info.nbytes > shard_bytes:
            groups.append([])
            size = 0
        groups[-1].append(info)
        size += info.nbytes
    if len(groups) == 1:
        return [Shard(folder / "model.safetensors", tuple(groups[0]))]
    return [
        Shard(folder / f"model-{number:05d}-of-{len(groups):05d}.safetensors", tuple(group))
        for number, group in enumerate(groups, start=1)
    ]


def write(
    tensors: Iterable[tuple[str, Tensor]], shards: Sequence[Shard], *, left_out: Mapping[str, str] | None = None
) -> None:
    """Writes every tensor to its place as it comes, in any order.

    Args:
        left_out: Tied name that is not stored -> the name that is, noted as `safetensors.torch.save_model` does.

    Raises:
        NetworkError: A tensor is not expected, of another shape or dtype than planned, or does not come.
    """
    with ExitStack() as stack:
        slots: dict[str, _Slot] = {}
        for shard in shards:
            file = stack.enter_context(shard.path.open("wb"))
            slots |= _start(shard, file, left_out or {})
        for name, tensor in tensors:
            if name not in slots:
                raise NetworkError(f"tensor {name!r} came twice, or has no place in the network's anatomy")
            slot = slots.pop(name)
            _check(slot.info, tensor)
            slot.file.seek(slot.offset)
            slot.file.write(bytes_of(tensor))
        if slots:
            raise NetworkError(f"{len(slots)} tensors did not come, {min(slots)!r} among them; give every tensor")


def _start(shard: Shard, file: BinaryIO, left_out: Mapping[str, str]) -> dict[str, _Slot]:
    """Writes the header; returns where the bytes of each tensor go."""
    names = {info.name for info in shard.tensors}
    tied = {name: kept for name, kept in left_out.items() if kept in names}
    metadata = {"format": "pt", **shard.metadata, **tied}
    header: dict[str, object] = {"__metadata__": metadata}
    end, starts = 0, {}
    # Wide dtypes first, as the library writes them, so that every tensor is aligned to its dtype.
    for info in sorted(shard.tensors, key=lambda info: (-DTYPES[info.dtype].itemsize, info.name)):
        starts[info.name], end = end, end + info.nbytes
        header[info.name] = {"dtype": info.dtype, "shape": list(info.shape), "data_offsets": [starts[info.name], end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    file.truncate(8 + len(text) + end)
    return {info.name: _Slot(info, file, 8 + len(text) + starts[info.name]) for info in shard.tensors}


def _check(info: TensorInfo, tensor: Tensor) -> None:
    if tuple(tensor.shape) != info.shape or DTYPE_NAMES.get(tensor.dtype) != info.dtype:
        raise NetworkError(
            f"tensor {info.name!r} came as {tensor.dtype} {tuple(tensor.shape)}; expected {info.dtype} {info.shape}"
        )
