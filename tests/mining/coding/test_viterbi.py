from collections.abc import Iterator
from itertools import pairwise

import numba
import numpy as np
import pytest
import torch
from coded_fixture import class_of, gaussians, one_class
from numpy.typing import NDArray

from dna_ray.mining.coding.classes import CLASSES, UNIT, ClassMap
from dna_ray.mining.coding.codebook import MAGNITUDES, guess
from dna_ray.mining.coding.passes import PRICE
from dna_ray.mining.coding.threads import share_threads
from dna_ray.mining.coding.trellis import STATES, Trellis, trellis
from dna_ray.mining.coding.viterbi import quantise

COSTS = guess().costs()


@pytest.fixture
def threads() -> Iterator[None]:
    before, of_torch = numba.get_num_threads(), torch.get_num_threads()
    yield
    numba.set_num_threads(before)
    torch.set_num_threads(of_torch)


def _path(
    values: NDArray[np.float32], indices: NDArray[np.int32], of: ClassMap, through: Trellis, start: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """What rows of indices cost, by the definition, and the state that each ends in."""
    cost, state = np.zeros(len(indices)), np.full(len(indices), start, np.uint8)
    classes = of.whole()
    for c in range(values.shape[1]):
        own, magnitude = (classes[:, c], state & 1), np.abs(indices[:, c])
        points = COSTS.points[(*own, magnitude)]
        cost += (np.abs(values[:, c]) - points.astype(np.float64)) ** 2 + PRICE * COSTS.bits[(*own, magnitude)]
        state = through.following[state, magnitude & 1]
    return cost, state


def _cheapest(row: NDArray[np.float32], of: int, through: Trellis, start: int = 0) -> float:
    """Of all rows of magnitudes from 0 to 7."""
    every = np.indices((8,) * len(row), np.int32).reshape(len(row), -1).T
    values = np.broadcast_to(row, every.shape)
    return float(_path(values, every, one_class(every.shape, of), through, start)[0].min())


@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0, 2.0])
def test_the_path_found_is_the_cheapest_of_all_paths(sigma: float):
    values, of = gaussians(40, 4, sigma=sigma), one_class((40, 4), class_of(sigma))
    indices = quantise(values, of, COSTS, trellis(4), PRICE)
    found, _ = _path(values, indices, of, trellis(4))
    assert np.allclose(found, [_cheapest(row, class_of(sigma), trellis(4)) for row in values], rtol=1e-5)


@pytest.mark.parametrize("start", [1, 2, 3])
def test_a_row_goes_on_from_the_state_that_it_is_given(start: int):
    values, of = gaussians(20, 5, seed=start), one_class((20, 5))
    states = np.full(20, start, np.uint8)
    indices = quantise(values, of, COSTS, trellis(4), PRICE, states)
    found, ends = _path(values, indices, of, trellis(4), start)
    assert np.allclose(found, [_cheapest(row, UNIT, trellis(4), start) for row in values], rtol=1e-5)
    assert np.array_equal(states, ends)


def test_two_halves_of_a_row_make_one_path():
    values, of = gaussians(50, 40), one_class((50, 20))
    states = np.zeros(50, np.uint8)
    halves = [quantise(np.ascontiguousarray(v), of, COSTS, trellis(32), PRICE, states) for v in np.hsplit(values, 2)]
    found, ends = _path(values, np.hstack(halves), one_class((50, 40)), trellis(32))
    whole, _ = _path(values, quantise(values, one_class((50, 40)), COSTS, trellis(32), PRICE), one_class((50, 40)),
                     trellis(32))  # fmt: skip
    assert np.array_equal(states, ends)
    assert whole.sum() < found.sum() < 1.1 * whole.sum()


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_more_states_cost_less(sigma: float):
    values, of = gaussians(256, 64, sigma=sigma), one_class((256, 64), class_of(sigma))
    costs = [
        _path(values, quantise(values, of, COSTS, trellis(states), PRICE), of, trellis(states))[0].mean()
        for states in STATES
    ]
    assert all(more < 1.003 * fewer for fewer, more in pairwise(costs))
    assert costs[-1] < 0.995 * costs[0]


def test_rows_do_not_know_of_each_other():
    values, of = gaussians(70, 30), ClassMap(*_mixed(70, 30, matrices=3))
    order = np.random.default_rng(1).permutation(70)
    turned = ClassMap(of.rows[order], of.cols, of.matrix[order])
    indices = quantise(values, of, COSTS, trellis(16), PRICE)
    assert np.array_equal(quantise(values[order], turned, COSTS, trellis(16), PRICE), indices[order])


def test_the_number_of_threads_does_not_matter(threads: None):
    values, of = gaussians(300, 50), ClassMap(*_mixed(300, 50, matrices=2))
    found = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        share_threads()
        found.append(quantise(values, of, COSTS, trellis(8), PRICE))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_the_path_of_the_opposite_values_is_the_opposite():
    values, of = gaussians(40, 30, sigma=2), one_class((40, 30), class_of(2))
    indices = quantise(values, of, COSTS, trellis(32), PRICE)
    assert np.array_equal(quantise(-values, of, COSTS, trellis(32), PRICE), -indices)


@pytest.mark.parametrize("of", [0, UNIT, CLASSES - 1])
def test_zeros_become_zeros(of: int):
    states = np.zeros(33, np.uint8)
    indices = quantise(np.zeros((33, 70), np.float32), one_class((33, 70), of), COSTS, trellis(32), PRICE, states)
    assert not indices.any()
    assert not states.any()


@pytest.mark.parametrize("of", [0, UNIT, 80, CLASSES - 1])
@pytest.mark.parametrize("value", [2.0 * MAGNITUDES, 1e3, 1e6, 2.0**29])
def test_a_value_beyond_the_tables_gets_the_index_next_to_it(of: int, value: float):
    values = gaussians(3, 9)
    values[0, 4], values[1, 0], values[2, 8] = value, -value, value
    indices = quantise(values, one_class((3, 9), of), COSTS, trellis(4), PRICE)
    found = np.array([indices[0, 4], -indices[1, 0], indices[2, 8]])
    assert (np.abs(2.0 * found - value) <= 4).all()


@pytest.mark.parametrize("value", [2.0**31, 1e12, 3e38])
def test_a_value_beyond_all_indices_gets_the_largest(value: float):
    values = np.array([[0.5, value, -value]], np.float32)
    indices = quantise(values, one_class((1, 3)), COSTS, trellis(4), PRICE)
    assert abs(int(indices[0, 1]) - (1 << 29)) <= 1
    assert abs(int(indices[0, 2]) + (1 << 29)) <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1), (32, 1), (33, 2), (0, 5), (5, 0)])
def test_every_shape_is_quantised(shape: tuple[int, int]):
    values, of = gaussians(*shape), one_class(shape)
    indices = quantise(values, of, COSTS, trellis(8), PRICE)
    assert indices.shape == shape
    assert (np.abs(2 * indices - values) < 4).all()


def _mixed(rows: int, cols: int, *, matrices: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    rng = np.random.default_rng(2)
    scales = rng.integers(20, 44, rows), rng.integers(-8, 9, (matrices, cols)), rng.integers(0, matrices, rows)
    rows_, cols_, matrix = (each.astype(np.int32) for each in scales)
    return rows_, cols_, np.sort(matrix)
