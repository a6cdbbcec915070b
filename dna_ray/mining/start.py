"""Where training starts: each matrix normalised, and its places and functions set to its singular value decomposition.

2 sin p sin q = cos(p - q) - cos(p + q), and a cosine is a sine a quarter turn later. So a sine layer with two units for
each dimension, over places p = arcsin(a u) of a row and q = arcsin(a v) of a column, *is* the truncated singular value
decomposition sum_k u_k v_k, exactly, whatever omega is. Training starts there, and can only leave it for something
better. With more than one hidden layer the places start so, and the functions as SIRENs do.
"""

from dataclasses import dataclass
from math import pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dna_ray.mining.coordinates import REACH, LearnedPlaces
from dna_ray.mining.field import Field
from dna_ray.mining.siren import SirenSet

AMPLITUDE = 0.9  # largest sin of a place


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean and standard deviation of each matrix, as float32; a constant matrix has deviation 1."""

    mean: Float[Tensor, " t"]
    deviation: Float[Tensor, " t"]


def statistics(field: Field) -> Statistics:
    """What the normalisation of fitting divides by, and the file holds."""
    pairs = []
    for info in field.anatomy.matrices:
        values = field.matrix(info.name).double()
        spread = values.std(correction=0).item()
        pairs.append((values.mean().item(), spread if spread > 0 else 1.0))
    mean, deviation = torch.tensor(pairs, dtype=torch.float32).reshape(-1, 2).unbind(1)
    return Statistics(mean, deviation)


def spectra(field: Field, found: Statistics) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Singular values of each centred matrix, largest first."""
    result = []
    for i, info in enumerate(field.anatomy.matrices):
        gram = _gram(field.matrix(info.name).double() - found.mean[i].double())
        result.append(torch.linalg.eigvalsh(gram).flip(0).clamp_min(0).sqrt().numpy())
    return result


def start_places(places: LearnedPlaces, field: Field, found: Statistics, dims: tuple[int, ...]) -> float:
    """Sets places to the singular vectors, and returns what a product of two sines is to be multiplied by."""
    factors = [
        _factors(((field.matrix(info.name).double() - mean) / deviation), d)
        for info, d, mean, deviation in zip(
            field.anatomy.matrices, dims, found.mean.double(), found.deviation.double(), strict=True
        )
    ]
    reach = REACH[places.bits]
    largest = max(
        (reach * factor.std(0, correction=0).max().item() for pair in factors for factor in pair if factor.numel()),
        default=1.0,
    )
    shrink = AMPLITUDE / max(largest, 1e-30)
    row = col = 0
    with torch.no_grad():
        for t, (rows, cols) in enumerate(factors):
            row = _set_places(places.rows, places.row_scale[t], row, rows * shrink, reach)
            col = _set_places(places.cols, places.col_scale[t], col, cols * shrink, reach)
    return float(shrink**-2)


def start_functions(bands: list[SirenSet], gain: float) -> None:
    """Sets one-layer functions to the sum of products of sines; each band takes the dimensions that it reads."""
    with torch.no_grad():
        for band in bands:
            pairs = min(band.shape.widths[0] // 2, band.shape.row_axes)
            unit = 1 / band.shape.omega
            for parameter in (band.row_weight, band.col_weight, band.bias, band.out_weight, band.out_bias):
                parameter[:, : 2 * pairs].zero_() if parameter.ndim > 1 else parameter.zero_()
            band.out_weight.zero_()
            for k in range(pairs):
                minus, plus, axis = 2 * k, 2 * k + 1, k
                band.row_weight[:, [minus, plus], axis] = unit
                band.col_weight[:, minus, axis] = -unit
                band.col_weight[:, plus, axis] = unit
                band.bias[:, [minus, plus]] = unit * pi / 2
                band.out_weight[:, minus] = gain / 2
                band.out_weight[:, plus] = -gain / 2


def _set_places(table: Tensor, scale: Tensor, base: int, factor: Tensor, reach: float) -> int:
    """Writes the places of one tensor in units of their scale, and returns where the next tensor's begin."""
    n, d = factor.shape
    if d:
        limit = (reach * factor.std(0, correction=0)).clamp(1e-7, 1)
        scale[:d] = torch.arcsin(limit).half().float().clamp_min(6e-8)
        table[base : base + n, :d] = (torch.arcsin(factor.clamp(-1, 1)) / scale[:d].double()).float()
    return base + n


def _factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Rows' and columns' factors of the best approximation of this rank, scaled to equal variance of their entries."""
    rows, cols = matrix.shape
    _, vectors = torch.linalg.eigh(_gram(matrix))
    vectors = vectors.flip(1)[:, :rank]
    other = matrix @ vectors if rows >= cols else matrix.T @ vectors
    norm = other.norm(dim=0).clamp_min(1e-30)
    u, v = (other / norm, vectors) if rows >= cols else (vectors, other / norm)
    balance = (rows / cols) ** 0.25
    return u * norm.sqrt() * balance, v * norm.sqrt() / balance


def _gram(matrix: Tensor) -> Tensor:
    return matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
