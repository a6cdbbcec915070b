import numpy as np
import pytest

from dna_ray.mining.allocation import allocate


def _spent(cost: np.ndarray, chosen: np.ndarray) -> int:
    return int(cost[np.arange(len(chosen)), chosen].sum())


@pytest.mark.parametrize("budget", [0, 1, 7, 50, 333, 2000, 10**6])
@pytest.mark.parametrize("seed", range(5))
def test_budget_is_met_and_hardly_anything_is_left(budget: int, seed: int):
    rng = np.random.default_rng(seed)
    error = rng.exponential(size=(60, 1)) * np.array([[1, 0.36, 0.12, 0.03, 0.01]])
    cost = rng.integers(3, 9, (60, 1)) * np.arange(5)
    chosen = allocate(error, cost, budget)
    assert _spent(cost, chosen) <= budget
    left = budget - _spent(cost, chosen)
    next_step = cost[:, 1] - cost[:, 0]
    assert (chosen == 4).all() or left < next_step[chosen < 4].min()


def test_bytes_go_where_they_save_most():
    error = np.array([[100.0, 1.0], [10.0, 1.0], [0.0, 0.0]])
    assert allocate(error, np.array([[0, 5]] * 3), 5).tolist() == [1, 0, 0]


def test_nothing_is_as_good_as_everything_allowed():
    error = np.random.default_rng(0).exponential(size=(8, 1)) * np.array([[1.0, 0.4, 0.1]])
    cost = np.tile(np.array([[0, 3, 5]]), (8, 1))
    found = allocate(error, cost, 17)
    grid = np.stack(np.meshgrid(*[range(3)] * 8), -1).reshape(-1, 8)
    allowed = grid[cost[0][grid].sum(1) <= 17]
    best = error[np.arange(8), allowed].sum(1).min()
    assert error[np.arange(8), found].sum() <= 1.15 * best


def test_no_items_need_no_bytes():
    assert allocate(np.empty((0, 3)), np.empty((0, 3), np.int64), 0).size == 0
