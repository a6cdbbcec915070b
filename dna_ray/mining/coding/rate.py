"""The step that meets a budget: secant steps on a sample of the rows, then on all of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dna_ray.mining.coding.classes import offset
from dna_ray.mining.coding.codebook import Codebook, guess, learn
from dna_ray.mining.coding.counting import Tally

CLOSE = 0.002  # log2 of spent over allowed: near enough
_PASSES = 12  # over everything, at most; two or three are usual
_SAMPLED_PASSES = 8
_SETTLED = 4  # passes after which a codebook hardly changes any more
_FURTHEST = 2.0  # octaves that a step may change by at once
_FLATTEST, _STEEPEST = 0.1, 4.0  # of log2 spent against log2 step

Pass = Callable[[float, Codebook, int], Tally]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A step, and what a pass at it counted.

    Attributes:
        used: The codebook that the pass weighed with; the same step and codebook give the same indices.
        learned: The codebook of what it found.
    """

    step: float
    used: Codebook
    tally: Tally
    learned: Codebook


def search(
    go: Pass, step: float, every: int, spent: Callable[[Found], float], slope: float, finest: float, coarsest: float
) -> Found:
    """The step at which what is spent is not above what is allowed, and hardly below.

    First a sample of the rows is passed over and over, each time with the codebook of the pass before, until step and
    codebook agree. With that codebook held, what a step spends is a function of the step alone, and secants find it.
    Classes that move with the step take their tables along, or there would be a jump wherever they do.

    Args:
        go: (step, codebook, n) -> what a pass over every n-th row counted.
        step: Where to begin.
        every: n for the sample.
        spent: log2 of what a pass spends over what is allowed, scaled up where it saw a sample.
        slope: Roughly of `spent` against log2 of the step: below 0 for bytes, above 0 for errors.
        finest: Smallest step.
        coarsest: Largest step.

    Returns:
        The nearest that is allowed; where none is, the step at the end of the range that spends least.
    """
    line = _Line(slope, finest, coarsest)
    found = _measure(go, step, guess(), every)
    for turn in range(_SAMPLED_PASSES):
        over = spent(found)
        step = line.root(found.step, over)
        if step in (finest, coarsest) or (turn >= _SETTLED and abs(over) < CLOSE / 2):
            break
        found = _measure(go, step, found.learned, every)
    book, classes = found.learned, offset(found.step)
    line = _Line(slope, finest, coarsest)
    best: tuple[float, Found] | None = None
    for _ in range(_PASSES):
        found = _measure(go, step, book.moved(offset(step) - classes), 1)
        over = spent(found)
        if over <= 0 and (best is None or over > best[0]):
            best = over, found
        if -CLOSE <= over <= 0 or step in (finest, coarsest):
            break
        step = line.root(found.step, over + CLOSE / 4)
    return best[1] if best else _measure(go, coarsest if slope < 0 else finest, book, 1)


class _Line:
    """A secant through the last two points, for as long as its slope is plausible, within what is known."""

    def __init__(self, slope: float, finest: float, coarsest: float) -> None:
        self._slope, self._sign = slope, np.sign(slope)
        self._last: tuple[float, float] | None = None
        self._range = float(np.log2(finest)), float(np.log2(coarsest))
        self._bracket = list(self._range)

    def root(self, step: float, height: float) -> float:
        """The step where the line through this point, and the one before, is zero."""
        here = float(np.log2(step))
        if self._last and abs(here - self._last[0]) > 1e-4:
            slope = abs((height - self._last[1]) / (here - self._last[0]))
            self._slope = float(self._sign * np.clip(slope, _FLATTEST, _STEEPEST))
        self._last = here, height
        above = height * self._sign < 0  # the root lies at a larger step
        self._bracket[0 if above else 1] = here
        low, high = self._bracket if self._bracket[0] < self._bracket[1] else self._range
        there = here - float(np.clip(height / self._slope, -_FURTHEST, _FURTHEST))
        if not low < there < high and (low, high) != self._range:
            there = (low + high) / 2 if low > self._range[0] and high < self._range[1] else there
        return float(np.exp2(np.clip(there, *self._range)))


def _measure(go: Pass, step: float, codebook: Codebook, every: int) -> Found:
    tally = go(step, codebook, every)
    return Found(step, codebook, tally, learn(tally.histogram, tally.sums))
