"""The linear baseline, made strong: truncated SVDs in mixed precision.

A matrix is a sum of components, each a product of two short vectors. Every component of every matrix gets its own
number of bits for either vector, 0 (dropped) or 1 to 8, by one slope over the whole network, so that each byte of the
file goes where it saves the most squared error. After the left vectors are quantised the right ones are refitted to
them by least squares, and so on in turn; at the end the size of each component is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import ArtifactError, BudgetError
from dna_ray.mining.allocation import allocate
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field, from_matrix
from dna_ray.mining.kind import Kind, Payload
from dna_ray.mining.packing import pack, packed_size, unpack
from dna_ray.mining.quantise import gaussian_distortion, gaussian_levels, quantise
from dna_ray.mining.vectors import encode_vectors, vectors_size, with_vectors
from dna_ray.networks import Anatomy, TensorInfo
from dna_ray.networks.network import DTYPES

Array = NDArray[Any]

RANKS, NORMS, WIDTHS, SCALES, CODES = "svd.ranks", "svd.norms", "svd.widths", "svd.scales", "svd.codes"
_MATRIX_BYTES = 2 + 4  # rank, and the largest scale of its components
_COMPONENT_BYTES = 1 + 2  # widths of both vectors, and its scale relative to the largest
_ROUNDS = 2  # of refitting both sides: on minilm at 22x R2 is 0.770, 0.781, 0.789, 0.793 after 0, 1, 2, 3
_NEGLIGIBLE = 1e-12  # of the largest eigenvalue: rounding of a float64 Gram matrix

# What a component may cost: nothing, or bits for the vector along the long side and bits for that along the short one.
_OPTIONS = [(0, 0)] + [(long, short) for long in range(1, 9) for short in range(long, 9)]


def fit(field: Field, budget: int | None, config: MineConfig) -> Payload:
    """The components that bring the squared error over all matrices lowest within `budget`; None: all in 8 bits.

    Reads every matrix twice, one in memory at a time; holds the right singular vectors of all of them in between.

    Raises:
        BudgetError: Vectors and ranks alone take more.
    """
    matrices = field.anatomy.matrices
    smallest = vectors_size(field.anatomy) + _MATRIX_BYTES * len(matrices)
    if budget is not None and budget < smallest:
        raise BudgetError(
            f"svd takes at least {smallest:,} bytes here, the budget is {budget:,}; raise it", smallest=smallest
        )
    if budget == smallest:
        return Payload({}, _sections([_NOTHING] * len(matrices)) | encode_vectors(field))
    spectra = [_spectrum(_upright(field.matrix(info.name))) for info in matrices]
    chosen = _choose(matrices, [energy.numpy() for energy, _ in spectra], None if budget is None else budget - smallest)
    factors = [
        _factorise(_upright(field.matrix(info.name)), basis[:, options > 0], options[options > 0])
        for info, (_, basis), options in zip(matrices, spectra, chosen, strict=True)
    ]
    return Payload({}, _sections(factors) | encode_vectors(field))


def decode(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    """The sum of the components of each matrix in float32, and the vectors."""
    return with_vectors(payload, anatomy, _decode_matrices(payload, anatomy))


@dataclass(frozen=True, slots=True)
class _Factors:
    """The quantised components of one matrix, largest first.

    Attributes:
        widths: (bits of the long vector, bits of the short one) of each component.
        scales: What each product of levels is multiplied by.
        codes: Packed codes of long and short vector of each component, one after the other.
    """

    widths: list[tuple[int, int]]
    scales: Float[Tensor, " k"]
    codes: list[Array]


_NOTHING = _Factors([], torch.empty(0), [])


def _upright(matrix: Tensor) -> Float[Tensor, "long short"]:
    matrix = matrix.to(torch.float32)
    return matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T


def _spectrum(matrix: Float[Tensor, "long short"]) -> tuple[Float[Tensor, " short"], Float[Tensor, "short short"]]:
    """Squared singular values, descending, and the right singular vectors as columns, by the smaller Gram matrix."""
    wide = matrix.to(torch.float64)
    energy, basis = torch.linalg.eigh(wide.T @ wide)
    energy, basis = energy.flip(0), basis.flip(1)
    energy = torch.where(energy > _NEGLIGIBLE * energy[0], energy, 0.0)
    return energy, basis.to(torch.float32)


def _choose(matrices: tuple[TensorInfo, ...], energies: list[Array], budget: int | None) -> list[Array]:
    """Index into `_OPTIONS` for every component of every matrix, by the squared singular values of each."""
    if budget is None:
        return [np.where(energy > 0, len(_OPTIONS) - 1, 0) for energy in energies]
    kept = [(1 - gaussian_distortion(long)) * (1 - gaussian_distortion(short)) for long, short in _OPTIONS]
    error = np.concatenate([energy[:, None] * (1 - np.array(kept)) for energy in energies] or [np.empty((0, 1))])
    cost = np.concatenate([np.tile(_costs(info), (min(info.matrix_shape), 1)) for info in matrices] or [error])
    chosen = allocate(error, cost.astype(np.int64), budget)
    return np.split(chosen, np.cumsum([len(energy) for energy in energies])[:-1]) if energies else []


def _costs(info: TensorInfo) -> list[int]:
    """Bytes of a component of a matrix, for each of `_OPTIONS`."""
    long_side, short_side = max(info.matrix_shape), min(info.matrix_shape)
    return [
        _COMPONENT_BYTES + packed_size(long_side, long) + packed_size(short_side, short) if long else 0
        for long, short in _OPTIONS
    ]


def _factorise(matrix: Float[Tensor, "long short"], basis: Float[Tensor, "short k"], options: Array) -> _Factors:
    """Quantises the components of `matrix` along `basis`, refitting each side to the other."""
    widths = [_OPTIONS[option] for option in options]
    if not widths:
        return _NOTHING
    peak = matrix.abs().max()  # so that no square over- or underflows
    matrix = matrix / peak
    left_bits, right_bits = zip(*widths, strict=True)
    left, left_codes = _quantised(basis.T @ matrix.T, left_bits)
    for turn in range(_ROUNDS):
        right, right_codes = _quantised(_least_squares(left, matrix), right_bits)
        if turn < _ROUNDS - 1:
            left, left_codes = _quantised(_least_squares(right, matrix.T), left_bits)
    scales = _solve((left @ left.T) * (right @ right.T), ((left @ matrix) * right).sum(1, keepdim=True))[:, 0]
    codes = [
        pack(side[i].numpy(), bits)
        for i, pair in enumerate(widths)
        for side, bits in zip((left_codes, right_codes), pair, strict=True)
    ]
    return _Factors(widths, scales * peak, codes)


def _quantised(rows: Float[Tensor, "k n"], bits: tuple[int, ...]) -> tuple[Float[Tensor, "k n"], UInt8[Tensor, "k n"]]:
    """Levels and codes of each row in its own number of bits."""
    codes = torch.empty(rows.shape, dtype=torch.uint8)
    levels = torch.empty_like(rows)
    for width in sorted(set(bits)):
        chosen = torch.tensor([i for i, own in enumerate(bits) if own == width])
        codes[chosen] = quantise(rows[chosen], width)
        levels[chosen] = gaussian_levels(width)[codes[chosen].int()]
    return levels, codes


def _least_squares(rows: Float[Tensor, "k n"], matrix: Float[Tensor, "n m"]) -> Float[Tensor, "k m"]:
    """The X that brings rows.T @ X closest to `matrix`."""
    return _solve(rows @ rows.T, rows @ matrix)


def _solve(gram: Float[Tensor, "k k"], right: Float[Tensor, "k m"]) -> Float[Tensor, "k m"]:
    """Solves with a trace of ridge: two components of 1 bit may have come out the same."""
    gram = gram.to(torch.float64)
    ridge = 1e-6 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    return torch.linalg.solve(gram + ridge, right.to(torch.float64)).to(torch.float32)


def _sections(factors: list[_Factors]) -> dict[str, Array]:
    scales = [factor.scales.double().numpy() for factor in factors]
    norms = np.array([np.abs(scale).max(initial=0.0) for scale in scales], np.float32)
    relative = [scale / (norm or 1.0) for scale, norm in zip(scales, norms.astype(np.float64), strict=True)]
    sections: dict[str, Array] = {
        RANKS: np.array([len(factor.widths) for factor in factors], np.uint16),
        NORMS: norms,
        WIDTHS: np.array([16 * (a - 1) + b - 1 for factor in factors for a, b in factor.widths], np.uint8),
        SCALES: np.concatenate(relative or [np.empty(0)]).astype(np.float16),
        CODES: np.concatenate([code for factor in factors for code in factor.codes] or [np.empty(0, np.uint8)]),
    }
    return {name: section for name, section in sections.items() if section.size}


def _decode_matrices(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    ranks = payload.section(RANKS, "u2", len(anatomy.matrices))
    norms = payload.section(NORMS, "f4", len(anatomy.matrices))
    widths = payload.section(WIDTHS, "u1", int(ranks.sum(dtype=np.int64)))
    scales = payload.section(SCALES, "f2", widths.size)
    if (widths & 0x88).any() or not (np.isfinite(norms).all() and np.isfinite(scales).all()):
        raise ArtifactError("the svd sections hold impossible values; this DNA was not written by dna_ray")
    ends = np.cumsum(ranks, dtype=np.int64)[:-1]
    parts = list(zip(anatomy.matrices, norms.tolist(), np.split(widths, ends), np.split(scales, ends), strict=True))
    codes = payload.section(CODES, "u1", sum(size for info, _, own, _ in parts for *_, size in _layout(info, own)))
    at = 0
    for info, norm, own, relative in parts:
        left, right = torch.empty(len(own), max(info.matrix_shape)), torch.empty(len(own), min(info.matrix_shape))
        for component, is_right, bits, size in _layout(info, own):
            side = right if is_right else left
            indices = unpack(codes[at : at + size], bits, side.shape[1])
            side[component] = gaussian_levels(bits)[torch.from_numpy(indices.astype(np.int32))]
            at += size
        scaled = left * (norm * torch.from_numpy(relative.astype(np.float32)))[:, None]
        upright = scaled.T @ right
        yield info.name, from_matrix(_cast(upright if info.rows >= info.cols else upright.T, info), info)


def _layout(info: TensorInfo, widths: Array) -> Iterator[tuple[int, bool, int, int]]:
    """(component, whether it is its short vector, bits, bytes) of each run of codes of one matrix."""
    short_side, long_side = sorted(info.matrix_shape)
    if len(widths) > short_side:
        raise ArtifactError(f"tensor {info.name!r} has a rank of {len(widths)}; this DNA was not written by dna_ray")
    for component, width in enumerate(widths.tolist()):
        left, right = (width >> 4) + 1, (width & 7) + 1
        yield component, False, left, packed_size(long_side, left)
        yield component, True, right, packed_size(short_side, right)


def _cast(matrix: Tensor, info: TensorInfo) -> Tensor:
    dtype = DTYPES[info.dtype]
    limit = torch.finfo(dtype).max
    return matrix.nan_to_num(0.0, limit, -limit).to(torch.float64).clamp(-limit, limit).to(dtype)


KIND = Kind(fit, decode)
