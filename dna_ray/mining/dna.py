"""DNA on disk: one file that rebuilds every tensor of a network, every byte of which is checked before it is used.

The file is an ordinary safetensors file of uint8 sections with one metadata key, `dna`, that holds the header.
safetensors parses safely but checks no content, so the header holds a sha256 of each section and of itself, and the
bytes around them must be the very ones that we would write.
"""

import hashlib
import json
import stat
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.mining.durable import write_file
from dna_ray.mining.header import MAX_BYTES, Header, Section, decode_header, encode_header
from dna_ray.mining.kind import Kind, Payload
from dna_ray.networks import Anatomy, Network
from dna_ray.networks.network import DTYPE_NAMES

FILE_NAME = "model.safetensors"  # the name that Hugging Face tools look for
_KEY = "dna"
_MAX_HEADER = 2 << 20  # bytes: room for some 30,000 tensors


@dataclass(frozen=True, kw_only=True, slots=True)
class Dna:
    """A DNA in memory, checked.

    Attributes:
        path: The file that it was read from.
        nbytes: Size of that file: what ratios are computed from.
        header: What it says of itself.
        payload: What its kind's `decode` takes.
    """

    path: Path
    nbytes: int
    header: Header
    payload: Payload

    @property
    def kind(self) -> str:
        return self.header.kind

    @property
    def anatomy(self) -> Anatomy:
        return self.header.anatomy

    @property
    def ratio(self) -> float:
        """Bytes of the fp32 weights / bytes of the file."""
        return self.anatomy.fp32_bytes / self.nbytes


def write_dna(path: Path, *, network: Network, kind: str, payload: Payload) -> int:
    """Writes the DNA of `network` to `path`, whole or not at all, and returns the size of the file in bytes.

    The same arguments give the same bytes.

    Raises:
        SpaceError: No space is left.
        InputError: The folder cannot be written to.
    """
    header = _header(network, kind, payload)
    decode_header(encode_header(header), where=str(path), max_bytes=None)  # nothing is written that cannot be read
    lead = _container_header(header)
    write_file(path, (lead, *(_little_endian(payload.sections[name]).data for name in header.sections)))
    return file_size(network=network, kind=kind, payload=payload)


def file_size(*, network: Network, kind: str, payload: Payload) -> int:
    """The size in bytes that `write_dna` gives the file. The values in the sections are not read."""
    header = _header(network, kind, payload, digest=False)
    return len(_container_header(header)) + sum(section.nbytes for section in header.sections.values())


def read_dna(path: Path, *, max_bytes: int = MAX_BYTES) -> Dna:
    """Reads a DNA file, or that of a DNA folder. Runs no code from it, and follows no link.

    Args:
        path: The file or the folder.
        max_bytes: Most bytes that the file, or the tensors that it declares, may have. Checked before any allocation.

    Raises:
        ArtifactError: It is missing, damaged, foreign, from a later version or too large.
    """
    file = path / FILE_NAME if path.is_dir() else path
    nbytes, lead = _read_lead(file, max_bytes)
    try:
        with safe_open(file, framework="numpy") as container:
            metadata = container.metadata() or {}
            if _KEY not in metadata:
                raise ArtifactError(f"{file}: an ordinary safetensors file, not a DNA; mine it first")
            header = decode_header(metadata[_KEY], where=str(file), max_bytes=max_bytes)
            if lead != _container_header(header):
                raise ArtifactError(f"{file}: its section table was altered; fetch or mine it again")
            raw = {name: container.get_tensor(name) for name in header.sections}
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{file}: not a safetensors file, or a damaged one ({error}); fetch it again") from error
    for name, section in header.sections.items():
        if hashlib.sha256(raw[name].data).hexdigest() != section.sha256:
            raise ArtifactError(f"{file}: section {name!r} was altered; fetch or mine it again")
    sections = {name: raw[name].view(f"<{s.dtype}").reshape(s.shape) for name, s in header.sections.items()}
    return Dna(path=file, nbytes=nbytes, header=header, payload=Payload(header.params, sections))


def rebuild(dna: Dna, kinds: Mapping[str, Kind]) -> Iterator[tuple[str, Tensor]]:
    """Every tensor by name in canonical order, one in memory at a time; tied ones come as the same tensor.

    Raises:
        ArtifactError: The sections do not make the tensors that the header declares.
    """
    decoded = kinds[dna.kind].decode(dna.payload, dna.anatomy)
    awaited = {info.tied_to for info in dna.anatomy}
    shared: dict[str, Tensor] = {}
    for info in dna.anatomy:
        if info.tied_to is not None:
            yield info.name, shared[info.tied_to]
            continue
        name, tensor = next(decoded, (None, None))
        if tensor is None or (name, tuple(tensor.shape), DTYPE_NAMES[tensor.dtype]) != (
            info.name,
            info.shape,
            info.dtype,
        ):
            raise ArtifactError(f"{dna.path}: kind {dna.kind} does not make tensor {info.name!r}; upgrade dna_ray")
        if info.name in awaited:
            shared[info.name] = tensor
        yield info.name, tensor


def verify(path: Path, kinds: Mapping[str, Kind], *, max_bytes: int = MAX_BYTES) -> Dna:
    """Reads a DNA and rebuilds all of it once.

    Raises:
        ArtifactError: It is not whole.
    """
    dna = read_dna(path, max_bytes=max_bytes)
    for _ in rebuild(dna, kinds):
        pass
    return dna


def _header(network: Network, kind: str, payload: Payload, *, digest: bool = True) -> Header:
    return Header(
        kind=kind,
        params=payload.params,
        network=network.name,
        fingerprint=network.fingerprint,
        anatomy=network.anatomy,
        sections={name: _section(payload.sections[name], digest) for name in sorted(payload.sections)},
    )


def _section(values: NDArray[Any], digest: bool) -> Section:
    sha256 = hashlib.sha256(_little_endian(values).data).hexdigest() if digest else "0" * 64
    return Section(values.dtype.str[1:], values.shape, sha256)


def _little_endian(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of an array, flat; a view where the array allows it."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)


def _container_header(header: Header) -> bytes:
    """What the official safetensors writer puts before the sections, byte by byte."""
    table: dict[str, Any] = {"__metadata__": {_KEY: encode_header(header)}}
    at = 0
    for name, section in header.sections.items():
        table[name] = {"dtype": "U8", "shape": [section.nbytes], "data_offsets": [at, at + section.nbytes]}
        at += section.nbytes
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _read_lead(file: Path, max_bytes: int) -> tuple[int, bytes]:
    """Size of the file, and the bytes before its sections, once sure that they are not too many."""
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError(f"{file}: a link, folder or device, not a file; name the DNA file itself")
        if status.st_size > max_bytes + _MAX_HEADER:
            raise ArtifactError(f"{file}: {status.st_size:,} bytes, the limit is {max_bytes:,}; raise the limit")
        with file.open("rb") as stream:
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or length > min(_MAX_HEADER, status.st_size - 8):
                raise ArtifactError(f"{file}: not a safetensors file, or a truncated one; fetch it again")
            return status.st_size, start + stream.read(length)
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read ({error.strerror}); give a DNA file or its folder") from error
    except ValueError as error:  # NUL in the name
        raise ArtifactError(f"{str(file)!r}: not a path ({error}); give a DNA file or its folder") from error
