"""The blocks of a network on their way from values to streams, wherever each is worked on."""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dna_ray.mining.coding import rate
from dna_ray.mining.coding.blocks import blocks
from dna_ray.mining.coding.codebook import Codebook
from dna_ray.mining.coding.counting import Tally
from dna_ray.mining.coding.passes import Read, Runner, Values, count, index, source_of, values_of, write
from dna_ray.mining.coding.rate import Found
from dna_ray.mining.coding.side import Side
from dna_ray.networks import TensorInfo

_SAMPLE = 1 << 21  # weights that the search for a step begins with
_BYTES_SLOPE = -0.8  # of log2 bytes against log2 step, roughly
_ERROR_SLOPE = 1.6  # of log2 squared error against log2 step, roughly
_STREAM_BYTES = 8  # that the estimate adds for each stream: the coder's last words


Feedback = Callable[[int], Values | None]


class Encoder:
    """Searches for the step, remembering the indices of the last pass over everything.

    Args:
        read: Returns a matrix by name, in float32.
        side: Scales and transforms of all matrices.
        feedback: What the rows of the matrix at a place are fed by; None: they are not.
        states: Of the trellis.
        scope: The finest and the coarsest step.
        start: A step to begin with.
        runner: Where blocks are worked on.
    """

    def __init__(
        self,
        read: Read,
        matrices: Sequence[TensorInfo],
        side: Side,
        feedback: Feedback,
        states: int,
        scope: tuple[float, float],
        start: float,
        runner: Runner,
    ) -> None:
        self._side, self._states, self._runner = side, states, runner
        self.scope, self._step = scope, start
        self._blocks = blocks(matrices)
        self._weights = sum(block.rows * block.cols for block in self._blocks)
        rotations = side.rotations(matrices)
        self._held = []
        for block in self._blocks:
            values = partial(values_of, block, read, matrices, side, rotations)
            fed = {part.matrix: matrix for part in block.parts if (matrix := feedback(part.matrix)) is not None}
            self._held.append(runner.hold(partial(source_of, values, block, fed)))
        self._last: tuple[float, Codebook, list[Any]] | None = None

    def within_bytes(self, room: float) -> Found:
        """The finest step at which streams and codebook take no more than `room` bytes, by estimate."""

        def spent(found: Found) -> float:
            streams = found.learned.bits(found.tally.histogram) / 8 * self._scale(found)
            return log2((streams + _STREAM_BYTES * len(self._blocks) + found.learned.nbytes) / max(room, 1))

        return self._search(spent, _BYTES_SLOPE)

    def within_error(self, error: float) -> Found:
        """The coarsest step at which the squared error over all weights is no more than `error`."""

        def spent(found: Found) -> float:
            made = found.tally.error(found.learned) * found.step**2 * self._scale(found)
            return log2(max(made, 1e-300) / error)

        return self._search(spent, _ERROR_SLOPE)

    def streams(self, found: Found) -> list[NDArray[np.uint32]]:
        """The streams at that step, for the codebook that was learned there."""
        if self._last is None or self._last[:2] != (found.step, found.used):
            self._go(found.step, found.used, 1)
        held = self._last[2] if self._last else []
        items = [
            (indices, block, self._side, found.step, found.learned, self._states)
            for block, indices in zip(self._blocks, held, strict=True)
        ]
        return [words for words, _ in self._runner.map(write, items)]

    def _search(self, spent: Callable[[Found], float], slope: float) -> Found:
        every = max(1, self._weights // _SAMPLE)
        found = rate.search(self._go, self._step, every, spent, slope, *self.scope)
        self._step = found.step
        return found

    def _scale(self, found: Found) -> float:
        return self._weights / max(int(found.tally.histogram.sum()), 1)

    def _go(self, step: float, codebook: Codebook, every: int) -> Tally:
        costs = codebook.costs()
        common = [
            (held, block, self._side, step, costs, self._states)
            for block, held in zip(self._blocks, self._held, strict=True)
        ]
        if every > 1:
            passed = self._runner.map(count, [(*item, every) for item in common])
        else:
            passed = self._runner.map(index, common)
            self._last = step, codebook, [indices for _, indices in passed]
        return reduce(Tally.__add__, (tally for tally, _ in passed))
