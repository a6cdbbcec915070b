from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from coded_fixture import gaussians

from dna_ray.mining.coding import rate
from dna_ray.mining.coding.classes import ClassMap, offset, scale_field
from dna_ray.mining.coding.codebook import Codebook
from dna_ray.mining.coding.counting import Tally, tally
from dna_ray.mining.coding.passes import PRICE
from dna_ray.mining.coding.rate import CLOSE, Found
from dna_ray.mining.coding.trellis import trellis
from dna_ray.mining.coding.viterbi import quantise

ROWS, COLS = 256, 64
WEIGHTS = np.exp2(gaussians(ROWS, 1, seed=1)) * gaussians(ROWS, COLS)
SCALES = scale_field(WEIGHTS)
FINEST, COARSEST = 2.0**-18, 2.0**12


class _Passes:
    """Passes over one matrix, remembering at which steps."""

    def __init__(self) -> None:
        self.sampled: list[float] = []
        self.whole: list[float] = []

    def __call__(self, step: float, codebook: Codebook, every: int) -> Tally:
        (self.whole if every == 1 else self.sampled).append(step)
        values = np.ascontiguousarray(WEIGHTS[::every]) / np.float32(step)
        rows, cols = SCALES[0][::every] + np.int32(offset(step)), SCALES[1][None]
        of = ClassMap(rows, cols, np.zeros(len(values), np.int32))
        return tally(values, quantise(values, of, codebook.costs(), trellis(8), PRICE), of, trellis(8))


def _bytes(found: Found) -> float:
    seen = int(found.tally.histogram.sum())
    return found.learned.bits(found.tally.histogram) / 8 * ROWS * COLS / seen


def _error(found: Found) -> float:
    """Mean squared error of a weight."""
    return found.tally.error(found.learned) * found.step**2 / int(found.tally.histogram.sum())


def _over(spent: Callable[[Found], float], allowed: float) -> Callable[[Found], float]:
    return lambda found: float(np.log2(max(spent(found), 1e-9) / allowed))


@cache
def _searched(bits: float, start: float, every: int) -> tuple[Found, _Passes]:
    passes = _Passes()
    allowed = bits / 8 * ROWS * COLS
    return rate.search(passes, start, every, _over(_bytes, allowed), -0.8, FINEST, COARSEST), passes


@pytest.mark.parametrize("bits", [0.5, 1.5, 4.0, 9.0])
@pytest.mark.parametrize("start", [0.01, 1.0, 100.0])
def test_the_bytes_are_those_allowed(bits: float, start: float):
    found, _ = _searched(bits, start, 4)
    allowed = bits / 8 * ROWS * COLS
    over = float(np.log2(_bytes(found) / allowed))
    assert -max(2 * CLOSE, 16 / allowed) <= over <= 0  # a price more or less is a byte


def test_the_error_is_the_one_allowed_where_that_is_what_is_searched_for():
    for error in (0.3, 0.1, 0.001):
        found = rate.search(_Passes(), 1.0, 4, _over(_error, error), 1.6, FINEST, COARSEST)
        assert 0.995 * error <= _error(found) <= error


def test_what_is_found_says_how_it_was_found():
    found, passes = _searched(1.5, 1.0, 4)
    again = _Passes()(found.step, found.used, 1)
    assert np.array_equal(again.histogram, found.tally.histogram)
    assert found.step in passes.whole


def test_more_room_than_the_finest_step_takes_gives_the_finest_step():
    assert _searched(60.0, 1.0, 4)[0].step == FINEST


def test_less_room_than_the_coarsest_step_takes_gives_the_coarsest_step():
    found = rate.search(_Passes(), 1.0, 4, _over(_bytes, 1e-3), -0.8, FINEST, COARSEST)
    assert found.step == COARSEST
    assert found.tally.histogram[:, :, 1:].sum() == 0


def test_an_error_that_cannot_be_reached_gives_the_finest_step():
    found = rate.search(_Passes(), 1.0, 4, _over(_error, 1e-30), 1.6, FINEST, COARSEST)
    assert found.step == FINEST


def test_without_a_sample_the_whole_is_passed():
    found, passes = _searched(1.5, 1.0, 1)
    assert not passes.sampled
    assert _bytes(found) <= 1.5 / 8 * ROWS * COLS
