"""A scalar quantiser for numbers that look Gaussian, as the factors of trained matrices do.

[1] Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28, 1982.
[2] Max, "Quantizing for minimum distortion", IRE Trans. Inf. Theory 6, 1960.
"""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor

_SEARCHED = 1024  # values of a row that the search for its scale looks at
_SCALES = (0.7, 0.82, 0.91, 1.0, 1.1, 1.25)  # in units of its rms


def quantise(rows: Float[Tensor, "k n"], bits: int) -> UInt8[Tensor, "k n"]:
    """The codes of each row: indices into `gaussian_levels(bits)` at the scale that suits the row best.

    The scale itself is not returned: whoever multiplies the levels back refits it by least squares.
    """
    levels = gaussian_levels(bits)
    edges = (levels[1:] + levels[:-1]) / 2
    scale = _best_scale(rows[:, :: max(1, rows.shape[1] // _SEARCHED)].contiguous(), levels, edges)
    return torch.bucketize(rows / scale, edges, out_int32=True).to(torch.uint8)


def _best_scale(rows: Float[Tensor, "k n"], levels: Tensor, edges: Tensor) -> Float[Tensor, "k 1"]:
    """The multiple of each row's rms whose codes keep the most energy of the row, their gain refitted."""
    rms = rows.square().mean(1, keepdim=True).sqrt().clamp_min(1e-30)
    kept = []
    for scale in _SCALES:
        values = levels[torch.bucketize(rows / (rms * scale), edges, out_int32=True)]
        kept.append((values * rows).sum(1).square() / values.square().sum(1))
    return rms * torch.tensor(_SCALES)[torch.stack(kept).argmax(0)][:, None]


@cache
def gaussian_levels(bits: int) -> Float[Tensor, " levels"]:
    """The 2^bits levels that quantise a standard normal with the least squared error [1, 2], ascending."""
    return torch.from_numpy(_lloyd_max(bits).astype(np.float32))


@cache
def gaussian_distortion(bits: int) -> float:
    """Mean squared error of `gaussian_levels` on a standard normal; 1 for 0 bits."""
    if bits == 0:
        return 1.0
    levels = _lloyd_max(bits)
    mass, moment = _cells(levels)
    return float(1 - 2 * levels @ moment + levels**2 @ mass)


def _lloyd_max(bits: int) -> NDArray[np.float64]:
    """Lloyd's iteration from Panter and Dite's companding, which is within 1 % of its limit from the start."""
    levels = np.sqrt(3) * ndtri((np.arange(2**bits) + 0.5) / 2**bits)
    for _ in range(400):
        mass, moment = _cells(levels)
        levels = moment / mass
        levels = (levels - levels[::-1]) / 2
    return levels


def _cells(levels: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability, and first moment, of what a standard normal has nearest to each level."""
    edges = np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])
    return np.diff(ndtr(edges)), -np.diff(np.exp(-(edges**2) / 2)) / np.sqrt(2 * np.pi)
