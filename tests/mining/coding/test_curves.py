import numpy as np
import pytest
import torch

from dna_ray.mining.coding.curves import OMEGA, CurvesShape, curves, product, train_curves
from dna_ray.tasks.threads import threads_of_torch

SHAPE = CurvesShape(10, 3)


def _parameters(shape: CurvesShape = SHAPE, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(shape.parameters)).astype(np.float16)


def _waves(rows: int, cols: int, *periods: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    angle = 2 * np.pi * torch.outer(torch.arange(rows) / rows, torch.tensor(periods))
    return torch.cat([angle.sin(), angle.cos()], 1) @ torch.randn(2 * len(periods), cols, generator=generator)


def _left(matrix: torch.Tensor, parameters: np.ndarray, shape: CurvesShape) -> float:
    """Share of the energy that no combination of the curves reaches."""
    functions = torch.from_numpy(curves(parameters, shape, len(matrix))).float()
    found = functions @ torch.linalg.lstsq(functions, matrix).solution
    return float((matrix - found).square().sum() / matrix.square().sum())


def test_curves_are_two_sine_layers_of_the_index():
    frequency, phase, weight, bias = np.split(_parameters().astype(np.float64), [10, 20, 50])
    for i in (0, 6, 40):
        x = (2 * i + 1) / 41 - 1
        inner = np.sin(OMEGA * (frequency * x + phase))
        expected = np.sin(OMEGA * (inner @ weight.reshape(10, 3) + bias))
        assert curves(_parameters(), SHAPE, 41)[i] == pytest.approx(expected, abs=1e-12)


def test_a_long_axis_is_evaluated_in_parts_to_the_same_values():
    wide = CurvesShape(256, 2)
    found = curves(_parameters(wide), wide, 5000)
    assert found.shape == (5000, 2)
    assert (np.abs(found) <= 1).all()
    again = curves(_parameters(wide), wide, 5000)
    assert np.array_equal(found, again)


def test_a_product_is_that_of_matrices_in_the_order_of_its_terms():
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((7, 5)), rng.standard_normal((5, 9))
    assert np.allclose(product(left, right), left @ right, atol=1e-12)
    total = np.zeros((7, 9))
    for k in range(5):
        total += np.outer(left[:, k], right[k])
    assert np.array_equal(product(left, right), total)


@pytest.mark.parametrize("periods", [(1.5,), (1.0, 7.7, 61.2)])
def test_training_finds_waves_slow_and_fast(periods: tuple[float, ...]):
    matrix, shape = _waves(256, 40, *periods), CurvesShape(20, 6)
    assert _left(matrix, train_curves(matrix, shape, seed=0), shape) < 0.02


def test_training_sees_what_the_file_will_hold():
    matrix = _waves(512, 30, 90.3, 4.1)
    parameters = train_curves(matrix, SHAPE, seed=0)
    assert parameters.dtype == np.float16
    assert parameters.size == SHAPE.parameters


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_threads():
    matrix, found = _waves(100, 20, 2.2, 9.0), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with threads_of_torch(1):
                found.append(train_curves(matrix, SHAPE, seed=5))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], train_curves(matrix, SHAPE, seed=6))


def test_more_units_than_frequencies_are_no_trouble():
    matrix, shape = _waves(32, 4, 1.0), CurvesShape(72, 4)
    assert _left(matrix, train_curves(matrix, shape, seed=0), shape) < 0.02
