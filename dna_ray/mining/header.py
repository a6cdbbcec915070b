"""The header of a DNA file: canonical JSON that says what the file holds, and nothing that is not checked.

    {"fingerprint": ..., "format": 1, "fp32_bytes": ..., "family": ..., "kind": ..., "network": ..., "params": {...},
     "sections": [[name, dtype, shape, sha256], ...], "sha256": <of this text with "" here>, "tensors": [row, ...]}

A row is [shared, suffix, dtype, kind, layer, shape], followed by [transposed, tied] where one of them is not 0, -1.
Names are front-coded: a name is the first `shared` characters of the one before, and `suffix`. `tied` is the row that
the tensor shares its storage with. There is one text for one header: reading writes it again and refuses a difference.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from dna_ray.errors import ArtifactError
from dna_ray.mining.config import KIND_NAMES
from dna_ray.networks import Anatomy, TensorInfo
from dna_ray.networks.network import DTYPES
from dna_ray.networks.network import KINDS as TENSOR_KINDS

FORMAT = 1
MAX_BYTES = 16 << 30  # of the tensors that a file may declare, unless the caller says otherwise
_MAX_NAMES = 8 << 20  # characters of all names: front coding could repeat a long one many times
_MAX_NAME, _MAX_AXES, _MAX_LAYERS = 1024, 16, 1 << 20
_KEYS = ("family", "fingerprint", "format", "fp32_bytes", "kind", "network", "params", "sections", "sha256", "tensors")
_SECTION_WIDTHS = {"u1": 1, "i1": 1, "u2": 2, "i2": 2, "f2": 2, "u4": 4, "i4": 4, "f4": 4, "u8": 8, "i8": 8, "f8": 8}
_SECTION_NAME = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Section:
    """What one section is.

    Attributes:
        dtype: Its numpy name, such as `u1` or `f2`; little-endian.
        shape: Its shape.
        sha256: Of its bytes, in hex.
    """

    dtype: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * _SECTION_WIDTHS[self.dtype]


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a DNA file says of itself.

    Attributes:
        kind: How it represents the weights, one of `KIND_NAMES`.
        params: JSON values that the kind's `decode` needs.
        network: What the user called the network.
        fingerprint: Of the network.
        anatomy: Of the network.
        sections: By name, sorted.
    """

    kind: str
    params: Mapping[str, Any]
    network: str
    fingerprint: str
    anatomy: Anatomy
    sections: Mapping[str, Section]


def encode_header(header: Header) -> str:
    """The one text of `header`; ASCII."""
    body = {
        "family": header.anatomy.family,
        "fingerprint": header.fingerprint,
        "format": FORMAT,
        "fp32_bytes": header.anatomy.fp32_bytes,
        "kind": header.kind,
        "network": header.network,
        "params": header.params,
        "sections": [[name, s.dtype, s.shape, s.sha256] for name, s in sorted(header.sections.items())],
        "sha256": "",
        "tensors": list(_rows(header.anatomy)),
    }
    digest = hashlib.sha256(_canonical(body).encode()).hexdigest()
    return _canonical(body | {"sha256": digest})


def decode_header(text: str, *, where: str, max_bytes: int | None = MAX_BYTES) -> Header:
    """The inverse of `encode_header`. Allocates nothing of the sizes that are declared.

    Args:
        where: The file, for the message of an error.
        max_bytes: Most bytes that the declared tensors may have; None: any number.

    Raises:
        ArtifactError: The text is damaged or foreign, from a later format, or declares more than `max_bytes`.
    """
    try:
        body = json.loads(text, parse_constant=_refuse_constant)
        _require(type(body) is dict, "its header is not an object")
        later = type(body.get("format")) is int and body["format"] > FORMAT
        _require(not later, f"format {body.get('format')}, this version reads up to {FORMAT}; upgrade dna_ray")
        _require(tuple(sorted(body)) == _KEYS, f"its header must have the keys {', '.join(_KEYS)}")
        header = _parse(body)
        _require(encode_header(header) == text, "its header was altered")
        declared = sum(max(tensor.nbytes, 0) for tensor in header.anatomy)
        _require(
            max_bytes is None or declared <= max_bytes,
            f"declares tensors of {declared:,} bytes, the limit is {max_bytes or 0:,}; raise the limit if you trust it",
        )
    except (ValueError, RecursionError) as error:
        reason = "its header is nested too deeply" if isinstance(error, RecursionError) else str(error)
        advice = "" if ";" in reason else "; fetch or mine it again"
        raise ArtifactError(f"{where}: not a readable DNA: {reason}{advice}") from error
    return header


def _canonical(body: Mapping[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _rows(anatomy: Anatomy) -> Iterator[list[Any]]:
    index = {tensor.name: i for i, tensor in enumerate(anatomy)}
    previous = ""
    for tensor in anatomy:
        shared = len(os.path.commonprefix([previous, tensor.name]))
        row = [shared, tensor.name[shared:], tensor.dtype, tensor.kind, tensor.layer, list(tensor.shape)]
        tied = -1 if tensor.tied_to is None else index[tensor.tied_to]
        yield row if not tensor.transposed and tied < 0 else [*row, int(tensor.transposed), tied]
        previous = tensor.name


def _parse(body: dict[str, Any]) -> Header:
    _require(body["format"] == FORMAT and type(body["format"]) is int, "its format is not a number from 1")
    _require(body["kind"] in KIND_NAMES, f"its kind {body['kind']!r:.40} is none of {', '.join(KIND_NAMES)}")
    _require(type(body["params"]) is dict, "its params are not an object")
    for key in ("network", "family"):
        _require(_is_text(body[key], 4096), f"its {key} is not a name")
    for key in ("fingerprint", "sha256"):
        _require(type(body[key]) is str and bool(_SHA256.fullmatch(body[key])), f"its {key} is not a sha256")
    anatomy = Anatomy(body["family"], _parse_tensors(body["tensors"]))
    _require(body["fp32_bytes"] == anatomy.fp32_bytes, "its fp32_bytes are not those of its tensors")
    return Header(
        kind=body["kind"],
        params=body["params"],
        network=body["network"],
        fingerprint=body["fingerprint"],
        anatomy=anatomy,
        sections=_parse_sections(body["sections"]),
    )


def _parse_tensors(rows: Any) -> tuple[TensorInfo, ...]:
    _require(type(rows) is list, "its tensors are not a list")
    tensors: list[TensorInfo] = []
    previous, characters = "", 0
    for row in rows:
        _require(type(row) is list and len(row) in (6, 8), f"the row after tensor {previous!r} is malformed")
        shared, suffix, dtype, kind, layer, shape, transposed, tied = (*row, 0, -1)[:8]
        _require(_is_count(shared, len(previous) + 1) and type(suffix) is str, f"the name after {previous!r} is broken")
        name = previous[:shared] + suffix
        characters += len(name)
        _require(
            _is_text(name, _MAX_NAME) and characters <= _MAX_NAMES, "a tensor's name is empty, too long or no text"
        )
        _require(not tensors or name > previous, f"tensor {name!r} is doubled or out of order")
        _require(type(dtype) is str and dtype in DTYPES, f"tensor {name!r} has an unknown dtype")
        _require(type(kind) is str and kind in TENSOR_KINDS, f"tensor {name!r} has an unknown kind")
        _require(type(layer) is int and -1 <= layer < _MAX_LAYERS, f"tensor {name!r} has an impossible layer")
        _require(_is_shape(shape), f"tensor {name!r} has an impossible shape")
        _require(_is_count(transposed, 2), f"tensor {name!r} is neither transposed nor not")
        _require(tied == -1 or _is_count(tied, len(tensors)), f"tensor {name!r} is tied to none before it")
        tensor = TensorInfo(
            name=name,
            dtype=dtype,
            shape=tuple(shape),
            kind=kind,
            layer=layer,
            transposed=bool(transposed),
            tied_to=None if tied == -1 else tensors[tied].name,
        )
        source = tensor if tied == -1 else tensors[tied]
        same = source.tied_to is None and (source.dtype, source.shape) == (dtype, tensor.shape)
        _require(same, f"tensor {name!r} is tied to one that differs from it")
        tensors.append(tensor)
        previous = name
    return tuple(tensors)


def _parse_sections(rows: Any) -> dict[str, Section]:
    _require(type(rows) is list, "its sections are not a list")
    sections: dict[str, Section] = {}
    for row in rows:
        _require(type(row) is list and len(row) == 4, "a section is malformed")
        name, dtype, shape, sha256 = row
        _require(type(name) is str and bool(_SECTION_NAME.fullmatch(name)), "a section has an impossible name")
        _require(name > max(sections, default=""), f"section {name!r} is doubled or out of order")
        _require(type(dtype) is str and dtype in _SECTION_WIDTHS, f"section {name!r} has an unknown dtype")
        _require(_is_shape(shape), f"section {name!r} has an impossible shape")
        _require(type(sha256) is str and bool(_SHA256.fullmatch(sha256)), f"section {name!r} has no sha256")
        sections[name] = Section(dtype, tuple(shape), sha256)
    return sections


def _is_count(value: Any, below: int) -> bool:
    return type(value) is int and 0 <= value < below


def _is_text(value: Any, longest: int) -> bool:
    """Whether it is a string that has bytes: JSON can write half a surrogate pair."""
    return type(value) is str and 0 < len(value) <= longest and not re.search("[\ud800-\udfff]", value)


def _is_shape(value: Any) -> bool:
    """Whether it is a shape that no product of can overflow, an axis of length 0 or not."""
    if type(value) is not list or len(value) > _MAX_AXES or not all(_is_count(axis, 1 << 48) for axis in value):
        return False
    return prod(max(axis, 1) for axis in value) < 1 << 48


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"its header holds {name}")
