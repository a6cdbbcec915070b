"""Arrays in the format of MNIST's page, plain or gzipped: a magic number, axes as big-endian integers, the bytes."""

import gzip
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from dna_ray.errors import ArtifactError

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_UNSIGNED_BYTES = 0x08  # the third byte of the magic number; the fourth is the number of axes
_MOST = 1 << 28  # bytes: the largest file of MNIST's page holds 47 million


def read_idx(path: Path, *, axes: int) -> Bytes:
    """The array of a file. What it may hold is known from its first bytes, before the rest is read or unpacked.

    Raises:
        ArtifactError: The file is of another format, holds too much, or is not as long as it says.
    """
    try:
        with _opened(path) as file:
            shape = _shape(file, path, axes)
            size = int(np.prod(shape, dtype=np.int64))
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ArtifactError(f"{path}: cannot be read ({error}); {_AGAIN}") from error
    if len(content) != size:
        length = "more" if len(content) > size else f"{len(content):,}"
        raise ArtifactError(f"{path}: says that it holds {size:,} bytes, and holds {length}; {_AGAIN}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


_AGAIN = "it is cut short or altered: install it again"


def _opened(path: Path) -> BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _shape(file: BufferedIOBase, path: Path, axes: int) -> tuple[int, ...]:
    magic = file.read(4)
    if magic != bytes((0, 0, _UNSIGNED_BYTES, axes)):
        raise ArtifactError(f"{path}: no array of bytes of {axes} axes (magic {magic.hex() or 'missing'}); {_AGAIN}")
    content = file.read(4 * axes)
    if len(content) != 4 * axes:
        raise ArtifactError(f"{path}: ends within its header; {_AGAIN}")
    shape = struct.unpack(f">{axes}I", content)
    size = 1
    for axis in shape:
        size *= axis
    if not 0 < size <= _MOST:
        raise ArtifactError(f"{path}: says that it is {' x '.join(map(str, shape))} bytes; expected 1 to {_MOST:,}")
    return shape
