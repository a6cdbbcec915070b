import numpy as np
import pytest
from coded_fixture import gaussians, one_class
from numpy.typing import NDArray

from dna_ray.mining.coding.classes import ClassMap, offset, scale_field
from dna_ray.mining.coding.codebook import guess, learn
from dna_ray.mining.coding.counting import dequantise, tally
from dna_ray.mining.coding.feedback import Fed, quantise_fed
from dna_ray.mining.coding.gains import feedback_of, gains_of
from dna_ray.mining.coding.passes import PRICE
from dna_ray.mining.coding.trellis import Trellis, trellis
from dna_ray.mining.coding.viterbi import quantise
from dna_ray.tasks.sensitivity import Sensitivity

COSTS, POINTS = guess().costs(), guess().points()
TRELLIS = trellis(8)
APART = 64  # columns, more than are settled together

Values = NDArray[np.float32]


def _fed(values: Values, *fed: Fed, of: ClassMap | None = None) -> tuple[Values, NDArray[np.int32]]:
    return quantise_fed(values, of or one_class(values.shape), COSTS, TRELLIS, PRICE, fed)


def _rebuilt(indices: NDArray[np.int32]) -> Values:
    """What a decoder makes of whole rows."""
    return dequantise(indices, one_class(indices.shape), POINTS, TRELLIS)


def _bits(indices: NDArray[np.int32], through: Trellis = TRELLIS) -> float:
    """What indices cost, by the tables that they were chosen by."""
    bits, state = 0.0, np.zeros(len(indices), np.uint8)
    classes = one_class(indices.shape).whole()
    for c in range(indices.shape[1]):
        magnitude = np.abs(indices[:, c])
        bits += float(COSTS.bits[classes[:, c], state & 1, np.minimum(magnitude, COSTS.bits.shape[2] - 1)].sum())
        state = through.following[state, magnitude & 1]
    return bits


def _matrix(cols: int, *, apart: int = 1, size: float = 0.2, seed: int = 3) -> Values:
    return np.triu(size * gaussians(cols, cols, seed=seed), apart).astype(np.float32)


def _correlated(rows: int, cols: int) -> Sensitivity:
    """Inputs that depend on each other; all rows count the same."""
    inputs = gaussians(4 * cols, cols, seed=1) @ gaussians(cols, cols, seed=2)
    moments = inputs.T @ inputs
    return Sensitivity(np.ones(rows), moments / np.trace(moments))


def test_fed_errors_weigh_less_at_the_same_step_and_about_the_same_rate():
    of, matrix = _correlated(100, 300), gaussians(100, 300)
    gains = gains_of(of)
    scaled, feedback = gains.apply(matrix), feedback_of(of, None, gains.cols)
    step = float(scaled.std()) / 2
    rows, cols = scale_field(scaled)
    classes = ClassMap(rows + np.int32(offset(step)), cols[None], np.zeros(100, np.int32))
    values = scaled / np.float32(step)

    def coded(*fed: Fed) -> tuple[float, float]:
        """Bits, and what errors weigh."""
        targets, indices = _fed(values, *fed, of=classes)
        counted = tally(targets, indices, classes, TRELLIS)
        errors = (matrix - gains.undo(dequantise(indices, classes, POINTS, TRELLIS) * step)).astype(np.float64)
        weighed = np.einsum("ij,jk,ik->", errors, of.moments, errors, optimize=True)
        return learn(counted.histogram, counted.sums).bits(counted.histogram), float(weighed)

    (plain_bits, plain), (fed_bits, fed) = coded(), coded(Fed(0, 100, feedback))
    assert fed < 0.6 * plain
    assert fed_bits < 1.1 * plain_bits


@pytest.mark.parametrize("cols", [70, 160, 333])
def test_targets_are_values_and_what_a_decoder_will_see_amiss_to_their_left(cols: int):
    values, matrix = gaussians(40, cols, sigma=1.5), _matrix(cols, apart=APART)
    targets, indices = _fed(values, Fed(0, 40, matrix))
    errors = values - _rebuilt(indices)
    np.testing.assert_allclose(targets, values + errors @ matrix, atol=1e-4)
    assert not np.array_equal(targets[:, APART:], values[:, APART:])


def test_what_nothing_is_fed_to_keeps_its_values_and_costs_hardly_more_than_the_cheapest_path():
    """Paths are settled group by group, so they are not quite the cheapest."""
    values = gaussians(60, 300)
    targets, indices = _fed(values, Fed(0, 60, np.zeros((300, 300), np.float32)))
    assert np.array_equal(targets, values)
    whole = quantise(values, one_class(values.shape), COSTS, TRELLIS, PRICE)

    def paid(indices: NDArray[np.int32]) -> float:
        return float(np.square(values - _rebuilt(indices)).sum()) + PRICE * _bits(indices)

    assert paid(whole) <= paid(indices) < 1.06 * paid(whole)
    assert np.mean(whole == indices) > 0.7


def test_a_row_that_is_one_group_is_quantised_as_it_is():
    values = gaussians(40, 8)
    targets, indices = _fed(values, Fed(0, 40, _matrix(8)))
    assert np.array_equal(targets, values)
    assert np.array_equal(indices, quantise(values, one_class(values.shape), COSTS, TRELLIS, PRICE))


def test_rows_are_fed_by_their_own_matrix_or_not_at_all():
    values = gaussians(50, 200)
    one, other = Fed(5, 20, _matrix(200)), Fed(30, 50, _matrix(200, seed=4))
    targets, indices = _fed(values, one, other)
    for rows, matrix in ((slice(0, 5), None), (slice(20, 30), None), (slice(5, 20), one), (slice(30, 50), other)):
        own = values[rows]
        alone = _fed(own) if matrix is None else _fed(own, Fed(0, len(own), matrix.matrix))
        assert np.array_equal(alone[1], indices[rows])
        np.testing.assert_allclose(alone[0], targets[rows], atol=1e-5)
    assert np.array_equal(targets[20:30], values[20:30])


def test_values_are_left_as_they_were():
    values = gaussians(20, 150)
    before = values.copy()
    _fed(values, Fed(0, 20, _matrix(150)))
    assert np.array_equal(values, before)


def test_classes_are_those_of_each_column():
    rng = np.random.default_rng(0)
    of = ClassMap(
        rng.integers(20, 44, 30).astype(np.int32),
        rng.integers(-8, 9, (2, 140)).astype(np.int32),
        np.repeat([0, 1], 15).astype(np.int32),
    )
    values, matrix = gaussians(30, 140), _matrix(140, apart=APART)
    targets, indices = _fed(values, Fed(0, 30, matrix), of=of)
    errors = values - dequantise(indices, of, POINTS, TRELLIS)
    np.testing.assert_allclose(targets, values + errors @ matrix, atol=1e-4)


@pytest.mark.parametrize("shape", [(0, 40), (1, 1), (3, 32), (3, 33), (2, 128), (2, 129)])
def test_every_shape_is_fed(shape: tuple[int, int]):
    values = gaussians(*shape)
    targets, indices = _fed(values, Fed(0, shape[0], _matrix(shape[1])))
    assert targets.shape == indices.shape == shape
    assert (np.abs(targets - _rebuilt(indices)) < 4).all()
