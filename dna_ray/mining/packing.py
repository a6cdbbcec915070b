"""Unsigned integers of 1 to 16 bits, packed without gaps, and the exact way back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WIDEST = 16
_CHUNK = 1 << 16  # values unpacked at a time; a multiple of 8, so that every chunk but the last ends on a whole byte


def packed_size(count: int, bits: int) -> int:
    """Bytes that `count` integers of `bits` bits take."""
    return (count * bits + 7) // 8


def pack(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Packs integers in [0, 2^bits), lowest bit first; the last byte ends in zeros.

    Raises:
        ValueError: A value does not fit, or `bits` is not 1 to 16.
    """
    _check(bits)
    flat = values.reshape(-1)
    if flat.size and (int(flat.min()) < 0 or int(flat.max()) >> bits):
        raise ValueError(f"values from {flat.min()} to {flat.max()} do not fit in {bits} bits")
    packed = np.empty(packed_size(flat.size, bits), np.uint8)
    step = packed_size(_CHUNK, bits)
    for i, start in enumerate(range(0, flat.size, _CHUNK)):
        chunk = flat[start : start + _CHUNK].astype("<u2")
        flags = np.unpackbits(chunk.view(np.uint8).reshape(-1, 2), axis=1, bitorder="little")
        packed[i * step : (i + 1) * step] = np.packbits(flags[:, :bits], bitorder="little")
    return packed


def unpack(packed: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint16]:
    """The inverse of `pack`.

    Raises:
        ValueError: `packed` is not what `pack` makes of `count` values.
    """
    _check(bits)
    if packed.size != packed_size(count, bits):
        raise ValueError(f"{count} values of {bits} bits take {packed_size(count, bits)} bytes, got {packed.size}")
    values = np.empty(count, np.uint16)
    step = packed_size(_CHUNK, bits)
    for i, start in enumerate(range(0, count, _CHUNK)):
        part = values[start : start + _CHUNK]
        flags = np.unpackbits(packed[i * step : (i + 1) * step], bitorder="little", count=part.size * bits)
        padded = np.zeros((part.size, _WIDEST), np.uint8)
        padded[:, :bits] = flags.reshape(part.size, bits)
        part[:] = np.packbits(padded, bitorder="little").view("<u2")
    return values


def _check(bits: int) -> None:
    if not 1 <= bits <= _WIDEST:
        raise ValueError(f"bits must be 1 to {_WIDEST}, got {bits}")
