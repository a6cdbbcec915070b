import numpy as np
import pytest
from numpy.typing import NDArray

from dna_ray.mining.coding.classes import scale_field
from dna_ray.mining.field import read_field
from dna_ray.mining.smoothness import SHORTEST, Smoothness, smoothness
from dna_ray.networks import load

Matrix = NDArray[np.float32]
NEITHER = Smoothness(rows=False, cols=False)


def _noise(rows: int, cols: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32)


def _waves(rows: int, cols: int) -> Matrix:
    """Smooth along the rows: every column is a sum of three slow waves of its own."""
    angle = np.pi * np.outer(np.arange(rows) / rows, [2, 5, 7])
    return (np.sin(angle) @ _noise(3, cols) + np.cos(angle) @ _noise(3, cols, 1)).astype(np.float32)


def _found(matrix: Matrix, seed: int = 0) -> Smoothness:
    return smoothness(matrix, *scale_field(matrix), seed=seed)


@pytest.mark.parametrize("shape", [(400, 60), (2000, 40), (32, 300), (100, 1500)])
def test_waves_along_one_axis_are_found_on_that_axis(shape: tuple[int, int]):
    waves = _waves(*shape) + 0.5 * _noise(*shape, seed=2)
    assert _found(waves) == Smoothness(rows=True, cols=False)
    assert _found(np.ascontiguousarray(waves.T)) == Smoothness(rows=False, cols=True)


def test_a_surface_is_smooth_along_both():
    row, col = np.meshgrid(np.linspace(-1, 1, 90), np.linspace(-1, 1, 70), indexing="ij")
    surface = (np.sin(5 * row + 3 * col) + np.cos(7 * col)).astype(np.float32)
    assert _found(surface + 0.3 * _noise(90, 70)) == Smoothness(rows=True, cols=True)


def test_scales_do_not_hide_waves():
    scales = np.exp(2 * _noise(400, 1)) * np.exp(_noise(1, 60, 1))
    assert _found(scales * _waves(400, 60)).rows


def test_fewer_than_one_in_a_hundred_noises_pass():
    shapes = [(40, 30), (64, 64), (33, 200), (300, 32), (500, 3)]
    passed = [bool(_found(_noise(*shapes[seed % 5], seed), seed)) for seed in range(600)]
    assert sum(passed) < 6


@pytest.mark.parametrize("degrees", [1, 2, 3])
def test_nor_do_noises_with_heavy_tails(degrees: int):
    rng = np.random.default_rng(degrees)
    passed = [bool(_found(rng.standard_t(degrees, (60, 50)).astype(np.float32), seed)) for seed in range(100)]
    assert sum(passed) < 2


def test_rows_that_are_alike_in_any_order_are_not_smooth():
    assert _found(2 * _noise(1, 50) + _noise(300, 50, 1)) == NEITHER
    assert _found(_noise(300, 1) @ _noise(1, 50, 1) + 0.1 * _noise(300, 50, 2)) == NEITHER


def test_waves_in_another_order_are_not_smooth():
    assert _found(np.random.default_rng(0).permutation(_waves(400, 60))) == NEITHER


def test_short_axes_constants_and_zeros_are_not_smooth():
    assert _found(_waves(SHORTEST - 1, 20)) == NEITHER
    assert _found(np.ones((50, 40), np.float32)) == NEITHER
    assert _found(np.zeros((50, 40), np.float32)) == NEITHER


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_the_weights_does_not_matter(scale: float):
    assert _found(np.float32(scale) * _waves(200, 30)).rows


def test_of_a_trained_network_the_position_embeddings_pass_and_nothing_else():
    field = read_field(load("sample:minilm"))
    passed = {info.name: found for info in field.anatomy.matrices if (found := _found(field.matrix(info.name).numpy()))}
    assert passed == {"embeddings.position_embeddings.weight": Smoothness(rows=True, cols=False)}


def test_the_same_seed_finds_the_same():
    matrix = _waves(60, 8) + 2 * _noise(60, 8, 3)
    assert len({_found(matrix, seed=4) for _ in range(3)}) == 1
