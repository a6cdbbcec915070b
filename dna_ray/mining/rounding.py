"""Group-wise round-to-nearest: what people use today, as a yardstick for every kind of DNA. It is no kind itself.

Every matrix is cut along its rows, which are outputs, into groups of 64 weights. A group has a uniform grid of 2^bits
values from its smallest to its largest weight, zero always among them, stored as a float16 scale and an integer zero
point of `bits` bits. That is the asymmetric min-max grid that GPTQ [1] and AWQ [2] round onto, and that their papers
name RTN; with groups of 32, the size of those of llama.cpp's Q4_1. AWQ's clipping is `shares`.

It is data-free, like a DNA that is neither calibrated nor healed, and its bytes are counted as for a DNA file: packed
codes, scales and zero points, vectors as every kind stores them, and the header that the file would have.

[1] Frantar et al., "GPTQ: accurate post-training quantization for generative pre-trained transformers", ICLR 2023.
[2] Lin et al., "AWQ: activation-aware weight quantization for LLM compression and acceleration", MLSys 2024.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import RecipeError
from dna_ray.mining.dna import file_size
from dna_ray.mining.field import Field, from_matrix
from dna_ray.mining.kind import Payload
from dna_ray.mining.packing import pack, packed_size, unpack
from dna_ray.mining.vectors import decode_vectors, encode_vectors
from dna_ray.networks import Anatomy, Network, TensorInfo
from dna_ray.networks.network import DTYPES

_CODES, _SCALES, _ZEROS = "rounding.codes", "rounding.scales", "rounding.zeros"
_LARGEST = float(torch.finfo(torch.float16).max)
CLIPPED = tuple(1 - step / 20 for step in range(10))  # to 0.55: smaller shares add less than 0.0001 to R2 at 2 bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounding:
    """A way to round.

    Attributes:
        bits: Of each code, 1 to 8.
        group: Neighbours along a row that share a scale and a zero point; the last group of a row may be shorter.
        shares: Shares of a group's range that its grid may span; the one of the least squared error is taken.
            `CLIPPED` searches, the default rounds plainly.
    """

    bits: int
    group: int = 64
    shares: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 8:
            raise RecipeError(f"rounding: bits {self.bits} is out of range; give 1 to 8")
        if self.group < 1:
            raise RecipeError(f"rounding: group {self.group} is too small; give at least 1")
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise RecipeError(f"rounding: shares {self.shares} are no shares; give numbers above 0, at most 1")


LADDER = tuple(Rounding(bits=bits) for bits in (8, 4, 3, 2))  # the yardsticks of `compare`


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounded:
    """A network as it is after rounding.

    Attributes:
        payload: All that is left of it.
        file_bytes: Size of a DNA file with this payload.
    """

    rounding: Rounding
    anatomy: Anatomy
    payload: Payload
    file_bytes: int

    @property
    def sections(self) -> Mapping[str, int]:
        """Bytes of each section; what remains of the file is its header."""
        return {name: section.nbytes for name, section in self.payload.sections.items()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor by name in canonical order, made from the payload alone; tied ones come as the same tensor."""
        matrices = _decode_matrices(self.payload, self.anatomy, self.rounding)
        vectors = decode_vectors(self.payload, self.anatomy)
        awaited = {info.tied_to for info in self.anatomy}
        shared: dict[str, Tensor] = {}
        for info in self.anatomy:
            if info.tied_to is not None:
                yield info.name, shared[info.tied_to]
                continue
            name, tensor = next(matrices if info.is_matrix else vectors)
            if name in awaited:
                shared[name] = tensor
            yield name, tensor


def round_to_nearest(network: Network, field: Field, rounding: Rounding) -> Rounded:
    """Rounds the matrices of `field`, the field of `network`, one at a time."""
    parts: dict[str, list[NDArray[Any]]] = {_CODES: [], _SCALES: [], _ZEROS: []}
    for info in field.anatomy.matrices:
        groups = _groups(field.matrix(info.name).to(torch.float32), rounding.group)
        scales, zeros = _grids(groups, rounding)
        codes = _ungrouped(_codes(groups, scales, zeros, rounding.bits), info)
        parts[_CODES].append(pack(codes.to(torch.uint8).numpy(), rounding.bits))
        parts[_SCALES].append(scales.to(torch.float16).numpy())
        parts[_ZEROS].append(pack(zeros.to(torch.uint8).numpy(), rounding.bits))
    sections = {name: np.concatenate(part) for name, part in parts.items() if part} | encode_vectors(field)
    payload = Payload({"bits": rounding.bits, "group": rounding.group}, sections)
    size = file_size(network=network, kind="rounding", payload=payload)
    return Rounded(rounding=rounding, anatomy=field.anatomy, payload=payload, file_bytes=size)


def _decode_matrices(payload: Payload, anatomy: Anatomy, rounding: Rounding) -> Iterator[tuple[str, Tensor]]:
    bits = rounding.bits
    code_at = scale_at = zero_at = 0
    for info in anatomy.matrices:
        count = info.rows * -(-info.cols // rounding.group)
        size, zero_size = packed_size(info.size, bits), packed_size(count, bits)
        codes = unpack(payload.sections[_CODES][code_at : code_at + size], bits, info.size)
        scales = payload.sections[_SCALES][scale_at : scale_at + count]
        zeros = unpack(payload.sections[_ZEROS][zero_at : zero_at + zero_size], bits, count)
        code_at, scale_at, zero_at = code_at + size, scale_at + count, zero_at + zero_size
        groups = _groups(_floats(codes).reshape(info.rows, info.cols), rounding.group)
        values = _ungrouped(_values(groups, _floats(scales), _floats(zeros)), info)
        limit = min(torch.finfo(DTYPES[info.dtype]).max, torch.finfo(torch.float32).max)
        yield info.name, from_matrix(values.clamp(-limit, limit).to(DTYPES[info.dtype]), info)


def _groups(matrix: Float[Tensor, "rows cols"], size: int) -> Float[Tensor, "groups size"]:
    """Its rows in groups, padded with zeros, which every grid holds: they change neither a grid nor its error."""
    return torch.nn.functional.pad(matrix, (0, -matrix.shape[1] % size)).reshape(-1, size)


def _ungrouped(groups: Float[Tensor, "groups size"], info: TensorInfo) -> Float[Tensor, "rows cols"]:
    """The inverse of `_groups`."""
    return groups.reshape(info.rows, -1)[:, : info.cols]


def _grids(
    groups: Float[Tensor, "groups size"], rounding: Rounding
) -> tuple[Float[Tensor, " groups"], Float[Tensor, " groups"]]:
    """Scale, as float16 rounds it, and zero point of each group: those of the share that errs least."""
    top = 2**rounding.bits - 1
    low, high = groups.amin(1).clamp_max(0), groups.amax(1).clamp_min(0)
    best = torch.full_like(low, torch.inf)
    scales, zeros = torch.zeros_like(low), torch.zeros_like(low)
    for share in rounding.shares:
        scale = ((high - low) * (share / top)).clamp_max(_LARGEST).to(torch.float16).to(torch.float32)
        zero = (-low * share / _divisor(scale)).round().clamp(0, top)
        codes = _codes(groups, scale, zero, rounding.bits)
        error = (_values(codes, scale, zero) - groups).square().sum(1)
        better = error < best
        best[better], scales[better], zeros[better] = error[better], scale[better], zero[better]
    return scales, zeros


def _codes(
    groups: Float[Tensor, "groups size"], scales: Float[Tensor, " groups"], zeros: Float[Tensor, " groups"], bits: int
) -> Float[Tensor, "groups size"]:
    return ((groups / _divisor(scales)[:, None]).round() + zeros[:, None]).clamp(0, 2**bits - 1)


def _values(
    codes: Float[Tensor, "groups size"], scales: Float[Tensor, " groups"], zeros: Float[Tensor, " groups"]
) -> Float[Tensor, "groups size"]:
    return (codes - zeros[:, None]) * scales[:, None]


def _divisor(scales: Float[Tensor, " groups"]) -> Float[Tensor, " groups"]:
    """A group of zeros, or of weights that float16 cannot tell from zero, has the scale 0 and rounds to zero."""
    return torch.where(scales > 0, scales, torch.inf)


def _floats(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
