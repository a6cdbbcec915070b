"""Where training starts: each matrix normalised, and its places and functions set to its singular value decomposition.

2 sin p sin q = cos(p - q) - cos(p + q), and a cosine is a sine a quarter turn later. So a sine layer with two units for
each dimension, over places p = arcsin(a u) of a row and q = arcsin(a v) of a column, *is* the truncated singular value
decomposition sum_k u_k v_k, exactly, whatever omega is. Training starts there, and can only leave it for something
better. With more than one hidden layer the places start so, and the functions as SIRENs do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from math import pi
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.mining.coordinates import REACH, LearnedPlaces
from dna_ray.mining.field import Field
from dna_ray.mining.siren import SirenSet

AMPLITUDE = 0.9  # largest sin of a place


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean and standard deviation of each matrix, as float32; the deviation of a constant matrix is 0."""

    mean: Float[Tensor, " t"]
    deviation: Float[Tensor, " t"]


T = TypeVar("T")


def _once(look: Callable[[Field], T]) -> Callable[[Field], T]:
    """Looks at a field once, as long as it lives: a budget is met in several drafts."""
    seen: WeakKeyDictionary[Field, T] = WeakKeyDictionary()

    @wraps(look)
    def remembered(field: Field) -> T:
        if field not in seen:
            seen[field] = look(field)
        return seen[field]

    return remembered


@_once
def statistics(field: Field) -> Statistics:
    """What fitting normalises by, and the file holds."""
    pairs = []
    for info in field.anatomy.matrices:
        values = field.matrix(info.name).double()
        constant = values.min() == values.max()
        pairs.append((values.mean().item(), 0.0 if constant else values.std(correction=0).item()))
    mean, deviation = torch.tensor(pairs, dtype=torch.float32).reshape(-1, 2).unbind(1)
    return Statistics(mean, deviation)


@_once
def spectra(field: Field) -> list[NDArray[np.float64]]:
    """Singular values of each centred matrix, largest first."""
    result = []
    for info, mean in zip(field.anatomy.matrices, statistics(field).mean.double(), strict=True):
        gram = _gram(field.matrix(info.name).double() - mean)
        result.append(torch.linalg.eigvalsh(gram).flip(0).clamp_min(0).sqrt().numpy())
    return result


def normalised(matrix: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """A matrix brought to mean 0 and variance 1; a constant one to mean 0."""
    return (matrix - mean) / torch.where(deviation > 0, deviation, 1)


def start_places(places: LearnedPlaces, field: Field, found: Statistics, dims: tuple[int, ...]) -> float:
    """Sets places to the singular vectors, and returns what a product of two sines is to be multiplied by."""
    factors = [
        _factors(normalised(field.matrix(info.name).double(), mean, deviation), d)
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


def set_products(sets: Sequence[SirenSet], gain: float) -> None:
    """Sets one-layer functions to the sum of products of sines; each set takes the dimensions that it reads.

    Units beyond two for each dimension keep the sines they have, with weight 0.
    """
    with torch.no_grad():
        for siren in sets:
            unit = 1 / siren.shape.omega
            pairs = min(siren.shape.widths[0] // 2, siren.shape.row_axes)
            axis = torch.arange(pairs)
            minus, plus = 2 * axis, 2 * axis + 1
            for weight, sign in ((siren.row_weight, 1), (siren.col_weight, -1)):
                weight[:, : 2 * pairs] = 0
                weight[:, minus, axis] = sign * unit
                weight[:, plus, axis] = unit
            siren.bias[:, : 2 * pairs] = unit * pi / 2
            siren.out_weight.zero_()
            siren.out_weight[:, minus] = gain / 2
            siren.out_weight[:, plus] = -gain / 2
            siren.out_bias.zero_()


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
