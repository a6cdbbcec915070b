"""Codes in the loop: weights that still move, and what a decoder will see of them.

A latent is a matrix as it is coded (turned, scaled by its gains) in units of the step. Rounding is that of the encoder,
by the same step, tables and trellis, so what is learned is what will be in the file; gradients pass through it
(straight-through estimator, Bengio et al. 2013). Gains make errors count the same in every latent, so one learning
rate, in steps, serves all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dna_ray.mining.coding.blocks import Block, Part
from dna_ray.mining.coding.classes import offset
from dna_ray.mining.coding.codebook import Codebook
from dna_ray.mining.coding.counting import dequantise
from dna_ray.mining.coding.feedback import Fed, quantise_fed
from dna_ray.mining.coding.mean import Means
from dna_ray.mining.coding.passes import PRICE
from dna_ray.mining.coding.side import Side
from dna_ray.mining.coding.trellis import trellis
from dna_ray.mining.coding.viterbi import Costs, quantise

Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Codes:
    """How matrices become codes, all settled: nothing here changes while weights are learned.

    Attributes:
        side: Transforms, gains and scales.
        means: What was taken away before.
        rotations: The bases of `side` as matrices.
        step: The step.
        codebook: Tables and points.
        states: Of the trellis.
    """

    side: Side
    means: Means
    rotations: Sequence[Values]
    step: float
    codebook: Codebook
    states: int

    @cached_property
    def _costs(self) -> Costs:
        return self.codebook.costs()

    @cached_property
    def _points(self) -> Values:
        return self.codebook.points()

    def latent(self, number: int, matrix: Values) -> Values:
        """(rows, cols) weights of the matrix at this place -> latents."""
        basis, mean = self.side.turned[number], self.means.of(number)
        left = matrix if mean is None else matrix - mean
        turned = left @ self.rotations[basis] if basis >= 0 else left
        scaled = self.side.gains[number].apply(turned) if self.side.gains else turned
        return np.ascontiguousarray(scaled / np.float32(self.step), np.float32)

    def weights(self, number: int, latent: Values) -> Values:
        """The inverse of `latent`."""
        values = latent * np.float32(self.step)
        if self.side.gains:
            values = self.side.gains[number].undo(values)
        basis, mean = self.side.turned[number], self.means.of(number)
        matrix = values @ self.rotations[basis].T if basis >= 0 else values
        return np.ascontiguousarray(matrix if mean is None else matrix + mean, np.float32)

    def gradient(self, number: int, gradient: Values) -> Values:
        """The gradient of weights -> that of latents."""
        basis = self.side.turned[number]
        turned = gradient @ self.rotations[basis] if basis >= 0 else gradient
        scaled = self.side.gains[number].undo(turned) if self.side.gains else turned
        return np.ascontiguousarray(scaled * np.float32(self.step), np.float32)

    def rounded(self, number: int, latent: Values, feedback: Values | None, first: int = 0) -> Values:
        """What a decoder sees of the rows from `first` on: each row has a path of its own.

        Args:
            feedback: What rows are fed by; None: they are not.
        """
        of = self.side.class_map(_rows(number, latent, first), offset(self.step))
        if feedback is None:
            indices = quantise(latent, of, self._costs, trellis(self.states), PRICE)
        else:
            fed = [Fed(0, len(latent), feedback)]
            _, indices = quantise_fed(latent, of, self._costs, trellis(self.states), PRICE, fed)
        return dequantise(indices, of, self._points, trellis(self.states))


def _rows(number: int, latent: Values, first: int) -> Block:
    return Block(latent.shape[1], (Part(number, first, first + len(latent)),))
