"""SIRENs of one coordinate: several smooth functions of a row's, or a column's, index.

Two sine layers, `sin(omega (W sin(omega (f x + p)) + b))`. The index is brought to x in [-1, 1]. They are trained to
span what the rows of a matrix are made of: whatever linear map comes after them is always the best one, and so is no
part of the search (variable projection [1]). Frequencies start where the matrix has its energy.

[1] Golub, Pereyra. The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
    separate. SIAM Journal on Numerical Analysis, 1973.
"""

from dataclasses import dataclass
from math import cos, pi, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor

from dna_ray.mining.siren import as_stored

OMEGA = 30.0
_STEPS = 400
_LR = 1e-2
_HIGHEST = 1 << 12  # half periods along the axis: fp16 holds no higher frequency well enough
_RIDGE = 1e-3  # of the least squares: keeps near-copies of a function from cancelling each other
_CHUNK = 1 << 18  # values of the first layer in memory at a time

Values = NDArray[np.float64]
Half = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class CurvesShape:
    """`inner` sines of the index, and `outer` sines of sums of them."""

    inner: int
    outer: int

    @property
    def parameters(self) -> int:
        return 2 * self.inner + (self.inner + 1) * self.outer


def curves(parameters: Half, shape: CurvesShape, length: int) -> Values:
    """(length, outer): the functions at every index.

    Sums are taken term by term, in one order: the same bits with any number of threads, and whatever a library's
    products do; only the sine may differ in its last bit between machines.
    """
    frequency, phase, weight, bias = _parts(parameters.astype(np.float64), shape)
    x = (2 * np.arange(length) + 1) / length - 1
    found = np.empty((length, shape.outer))
    height = max(1, _CHUNK // shape.inner)
    for first in range(0, length, height):
        part = slice(first, first + height)
        inner = np.sin(OMEGA * (x[part, None] * frequency + phase))
        found[part] = np.sin(OMEGA * (product(inner, weight) + bias))
    return found


def product(left: Values, right: Values) -> Values:
    """left @ right, each sum in the order of its terms."""
    total = np.zeros((len(left), right.shape[1]))
    for k in range(left.shape[1]):
        total += left[:, k, None] * right[k]
    return total


def train_curves(matrix: Tensor, shape: CurvesShape, *, seed: int) -> Half:
    """Parameters with which linear combinations of the curves come nearest to the columns of `matrix`."""
    generator = torch.Generator().manual_seed(seed)
    target = _leading(matrix, 2 * shape.outer + 16, generator)
    energy = float(matrix.square().sum())
    x = ((2 * torch.arange(len(matrix)) + 1) / len(matrix) - 1).unsqueeze(1)
    parameters = [values.requires_grad_() for values in _start(matrix, shape, generator)]
    optimizer = torch.optim.Adam(parameters, betas=(0.9, 0.99))
    ridge = _RIDGE * torch.eye(shape.outer)
    for step in range(_STEPS):
        frequency, phase, weight, bias = (as_stored(values) for values in parameters)
        inner = torch.sin(OMEGA * (x * frequency + phase))
        outer = torch.sin(OMEGA * (inner @ weight + bias))
        onto = outer.T @ target
        loss = 1 - (onto * torch.linalg.solve(outer.T @ outer + ridge, onto)).sum() / energy
        for group in optimizer.param_groups:
            group["lr"] = _LR / OMEGA * (0.01 + 0.99 * (1 + cos(pi * step / _STEPS)) / 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.cat([values.detach().flatten() for values in parameters]).half().numpy()


def _parts(parameters: Values, shape: CurvesShape) -> tuple[Values, Values, Values, Values]:
    """Frequencies and phases [inner], weights [inner, outer] and biases [outer], as they lie in the file."""
    n, m = shape.inner, shape.outer
    frequency, phase, weight, bias = np.split(parameters, [n, 2 * n, 2 * n + n * m])
    return frequency, phase, weight.reshape(n, m), bias


def _start(matrix: Tensor, shape: CurvesShape, generator: torch.Generator) -> list[Tensor]:
    """A sine and a cosine at each peak of the spectrum along the rows, and a second layer as a SIREN has it."""
    energy = np.square(dct(matrix.numpy(), axis=0, norm="ortho")).sum(1)[:_HIGHEST]
    around = np.concatenate([[0], energy, [0]])
    is_peak = (energy >= around[:-2]) & (energy >= around[2:])
    order = np.lexsort((-energy, ~is_peak))  # peaks first; of those, as of the others, the highest first
    waves = torch.from_numpy(np.resize(order[: (shape.inner + 1) // 2], (shape.inner + 1) // 2).astype(np.float32))
    angle = torch.stack([waves, waves], 1).flatten()[: shape.inner] * (pi / 2)
    quarter = torch.arange(shape.inner) % 2 * (pi / 2)
    bound = sqrt(6 / shape.inner) / OMEGA
    return [
        angle / OMEGA,
        torch.remainder(angle + quarter, 2 * pi) / OMEGA,
        torch.empty(shape.inner, shape.outer).uniform_(-bound, bound, generator=generator),
        torch.empty(shape.outer).uniform_(-bound, bound, generator=generator),
    ]


def _leading(matrix: Tensor, rank: int, generator: torch.Generator) -> Tensor:
    """(rows, rank): the matrix, turned so that few columns hold nearly all of what matters; by subspace iteration."""
    if matrix.shape[1] <= rank:
        return matrix
    axes = torch.randn(matrix.shape[1], rank, generator=generator)
    for _ in range(3):
        axes = torch.linalg.qr(matrix.T @ (matrix @ axes)).Q
    return matrix @ axes
