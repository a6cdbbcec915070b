"""What is not a matrix, as sections: the same for every kind of DNA.

Norms, biases and other floating-point vectors take 8 bits a value in blocks of 64, so that one outlier of a LayerNorm
costs only its own block precision. Running statistics of more than 16 bits become bfloat16: a variance is divided by,
so it must keep its relative precision. Integers, bools and buffers stay as they are; tied tensors are not stored.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.mining.field import Field
from dna_ray.mining.kind import Payload
from dna_ray.networks import Anatomy, TensorInfo
from dna_ray.networks.network import DTYPES

CODES, BLOCKS, STATISTICS, RAW = "vectors.codes", "vectors.blocks", "vectors.statistics", "vectors.raw"
_BLOCK = 64  # values that share an offset and a step
_LARGEST = float(torch.finfo(torch.bfloat16).max)


def vectors_size(anatomy: Anatomy) -> int:
    """Bytes of the sections that `encode_vectors` makes, known without reading a value."""
    codes, blocks, statistics, raw = _counts(anatomy)
    return codes + 4 * blocks + 2 * statistics + raw


def encode_vectors(field: Field) -> dict[str, NDArray[Any]]:
    """Every untied tensor of `field` that is no matrix; sections that would be empty are left out."""
    parts: dict[str, list[NDArray[Any]]] = {CODES: [], BLOCKS: [], STATISTICS: [], RAW: []}
    for info in _vectors(field.anatomy):
        tensor = field.read(info.name)
        match _section_of(info):
            case "vectors.codes":
                code, block = _quantise(tensor.flatten().to(torch.float64).numpy())
                parts[CODES].append(code)
                parts[BLOCKS].append(block)
            case "vectors.statistics":
                rounded = tensor.flatten().clamp(-_LARGEST, _LARGEST).to(torch.bfloat16)
                parts[STATISTICS].append(rounded.view(torch.uint16).numpy())
            case _:
                parts[RAW].append(tensor_bytes(tensor))
    joined = {name: np.concatenate(part) for name, part in parts.items() if part}
    return {name: section for name, section in joined.items() if section.size}


def decode_vectors(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    """The inverse of `encode_vectors`, one tensor at a time in canonical order.

    Raises:
        ArtifactError: A section is missing, does not fit the anatomy, or is not finite.
    """
    n_codes, n_blocks, n_statistics, n_raw = _counts(anatomy)
    codes = _Cursor(payload.section(CODES, "u1", n_codes))
    blocks = _Cursor(_finite(payload, BLOCKS, 2 * n_blocks))
    statistics = _Cursor(_finite(payload, STATISTICS, n_statistics))
    raw = _Cursor(payload.section(RAW, "u1", n_raw))
    for info in _vectors(anatomy):
        dtype = DTYPES[info.dtype]
        match _section_of(info):
            case "vectors.codes":
                values = torch.from_numpy(_dequantise(codes.take(info.size), blocks.take(2 * _blocks(info.size))))
            case "vectors.statistics":
                values = torch.from_numpy(_float64(statistics.take(info.size)))
            case _:
                yield info.name, tensor_from_bytes(raw.take(info.nbytes), info)
                continue
        limit = torch.finfo(dtype).max
        yield info.name, values.clamp(-limit, limit).to(dtype).reshape(info.shape)


def with_vectors(
    payload: Payload, anatomy: Anatomy, matrices: Iterator[tuple[str, Tensor]]
) -> Iterator[tuple[str, Tensor]]:
    """What a kind's `decode` returns: its matrices, and the vectors where they stand between them."""
    vectors = decode_vectors(payload, anatomy)
    for info in anatomy:
        if info.tied_to is None:
            yield next(matrices if info.is_matrix else vectors)


def tensor_bytes(tensor: Tensor) -> NDArray[np.uint8]:
    """The bytes of a tensor, row by row."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy()


def tensor_from_bytes(raw: NDArray[np.uint8], info: TensorInfo) -> Tensor:
    """The inverse of `tensor_bytes`; copies, so that the tensor owns aligned memory."""
    tensor = torch.empty(info.shape, dtype=DTYPES[info.dtype])
    if raw.size:
        tensor.reshape(-1).view(torch.uint8).copy_(torch.from_numpy(raw))
    return tensor


def _finite(payload: Payload, name: str, count: int) -> NDArray[Any]:
    section = payload.section(name, "u2", count)
    if not np.isfinite(_float64(section)).all():
        raise ArtifactError(f"section {name!r} holds values that are not finite; this DNA was not written by dna_ray")
    return section


class _Cursor:
    """Hands out an array from front to back."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array, self._at = array, 0

    def take(self, count: int) -> NDArray[Any]:
        self._at += count
        return self._array[self._at - count : self._at]


def _vectors(anatomy: Anatomy) -> Iterator[TensorInfo]:
    return (info for info in anatomy if info.tied_to is None and not info.is_matrix)


def _section_of(info: TensorInfo) -> str:
    if not info.floating or info.kind == "buffer":
        return RAW
    if info.kind == "statistic":
        return STATISTICS if DTYPES[info.dtype].itemsize > 2 else RAW
    return CODES


def _blocks(size: int) -> int:
    return -(-size // _BLOCK)


def _counts(anatomy: Anatomy) -> tuple[int, int, int, int]:
    """Number of codes, of blocks and of statistics, and bytes kept as they are."""
    held = [(info, _section_of(info)) for info in _vectors(anatomy)]
    return (
        sum(info.size for info, section in held if section == CODES),
        sum(_blocks(info.size) for info, section in held if section == CODES),
        sum(info.size for info, section in held if section == STATISTICS),
        sum(info.nbytes for info, section in held if section == RAW),
    )


def _quantise(values: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Codes of `values`, and an offset and a step in bfloat16 for each block of them.

    The offset is rounded down and the step up, so that every value lies between code 0 and code 255.
    """
    padded = np.concatenate([values, np.repeat(values[-1:], -values.size % _BLOCK)]).reshape(-1, _BLOCK)
    padded = np.clip(padded, -_LARGEST, _LARGEST)
    low = _bfloat16(padded.min(axis=1), towards=-np.inf) if padded.size else np.empty(0, np.uint16)
    spread = padded.max(axis=1) - _float64(low) if padded.size else np.empty(0)
    step = _bfloat16(spread / 255, towards=np.inf)
    scale = np.where(step == 0, 1, _float64(step))
    codes = np.clip(np.rint((padded - _float64(low)[:, None]) / scale[:, None]), 0, 255).astype(np.uint8)
    return codes.reshape(-1)[: values.size], np.stack([low, step], axis=1).reshape(-1)


def _dequantise(codes: NDArray[Any], blocks: NDArray[Any]) -> NDArray[np.float64]:
    low, step = _float64(blocks.reshape(-1, 2)[:, 0]), _float64(blocks.reshape(-1, 2)[:, 1])
    block = np.arange(codes.size) // _BLOCK
    return low[block] + codes.astype(np.float64) * step[block]


def _bfloat16(values: NDArray[np.float64], *, towards: float) -> NDArray[np.uint16]:
    """The nearest bfloat16 on the side of `towards`, as its upper 16 bits of a float32."""
    single = values.astype(np.float32)
    outside = single < values if towards > 0 else single > values
    single = np.where(outside, np.nextafter(single, np.float32(towards)), single)
    bits = single.view(np.uint32)
    truncated = bits & np.uint32(0xFFFF0000)  # towards zero
    away = (bits != truncated) & ((single > 0) == (towards > 0))
    return ((truncated + np.where(away, np.uint32(0x10000), np.uint32(0))) >> 16).astype(np.uint16)


def _float64(bfloat16: NDArray[Any]) -> NDArray[np.float64]:
    return (bfloat16.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
