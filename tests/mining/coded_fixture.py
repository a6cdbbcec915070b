"""Blocks of numbers in units of the step, as the parts of the kind `coded` take them."""

import numpy as np
from numpy.typing import NDArray

from dna_ray.mining.coding.classes import PER_OCTAVE, UNIT, ClassMap
from dna_ray.mining.coding.codebook import Codebook, guess, learn
from dna_ray.mining.coding.counting import Tally, tally
from dna_ray.mining.coding.passes import PRICE
from dna_ray.mining.coding.trellis import Trellis
from dna_ray.mining.coding.viterbi import quantise


def gaussians(rows: int, cols: int, *, sigma: float = 1.0, seed: int = 0) -> NDArray[np.float32]:
    """Independent Gaussians."""
    return (sigma * np.random.default_rng(seed).standard_normal((rows, cols))).astype(np.float32)


def class_of(sigma: float) -> int:
    """The class of entries of this scale, in steps."""
    return UNIT + round(PER_OCTAVE * float(np.log2(sigma)))


def one_class(shape: tuple[int, int], of: int = UNIT) -> ClassMap:
    """Every entry of a matrix in one class."""
    rows, cols = shape
    return ClassMap(np.full(rows, of, np.int32), np.zeros((1, cols), np.int32), np.zeros(rows, np.int32))


def counted(indices: NDArray[np.int32], of: ClassMap, trellis: Trellis) -> Tally:
    """A tally of indices that were made without values: each stands for itself on the grid of quantizer 0."""
    return tally(2 * indices.astype(np.float32), indices, of, trellis)


def coded_gaussians(
    rows: int, cols: int, *, sigma: float, trellis: Trellis, seed: int = 0
) -> tuple[NDArray[np.int32], ClassMap, Tally, Codebook]:
    """Indices of Gaussians with their classes, what they count, and the codebook learned from that."""
    of, values = one_class((rows, cols), class_of(sigma)), gaussians(rows, cols, sigma=sigma, seed=seed)
    indices = quantise(values, of, guess().costs(), trellis, PRICE)
    found = tally(values, indices, of, trellis)
    return indices, of, found, learn(found.histogram, found.sums)
