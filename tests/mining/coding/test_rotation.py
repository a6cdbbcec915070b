import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from dna_ray.mining.coding.rotation import principal_axes, quantise_rotation, rotation

Matrix = NDArray[np.float64]


def _axes(size: int, seed: int = 0) -> Matrix:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


def _off_orthogonal(matrix: Matrix) -> float:
    return float(np.abs(matrix.T @ matrix - np.eye(len(matrix))).max(initial=0))


def _off(found: Matrix, axes: Matrix) -> float:
    """The largest angle, in radians, between axes that should be one but for the sign."""
    return float(np.arccos(np.clip(np.abs(np.sum(found * axes, axis=0)), 0, 1)).max())


@given(
    size=st.integers(2, 14), fineness=st.sampled_from([1.0, 128.0, 4096.0]), largest=st.integers(0, 31), data=st.data()
)
@settings(max_examples=80, deadline=None)
def test_any_integers_make_an_orthogonal_matrix(size: int, fineness: float, largest: int, data: st.DataObject):
    elements = st.integers(-(1 << largest), (1 << largest) - 1)
    integers = data.draw(arrays(np.int32, size * (size - 1) // 2, elements=elements))
    assert _off_orthogonal(rotation(integers, size, fineness)) < 1e-12


@pytest.mark.parametrize("size", [1, 2, 3, 17, 64])
def test_it_takes_half_as_many_integers_as_entries(size: int):
    integers = quantise_rotation(_axes(size), 128)
    assert integers.shape == (size * (size - 1) // 2,)
    assert np.abs(integers).max(initial=0) <= 128
    assert rotation(integers, size, 128).shape == (size, size)


def test_the_finer_the_integers_the_nearer_the_axes():
    axes = _axes(24)
    off = [_off(rotation(quantise_rotation(axes, fineness), 24, fineness), axes) for fineness in (8, 64, 512, 4096)]
    assert off[0] < 0.5
    assert all(finer < coarser / 4 for coarser, finer in zip(off, off[1:], strict=False))


def test_the_largest_fineness_gives_the_axes_back():
    axes = _axes(24, seed=1)
    found = rotation(quantise_rotation(axes, 1e9), 24, 1e9)
    signs = np.sign(np.sum(found * axes, axis=0))
    assert np.abs(found * signs - axes).max() < 1e-7


@pytest.mark.parametrize("axes", [np.eye(6), -np.eye(6), np.eye(6)[::-1], np.eye(6)[:, [1, 0, 3, 2, 5, 4]]])
def test_unit_vectors_in_any_order_need_no_fineness(axes: Matrix):
    assert _off(rotation(quantise_rotation(axes, 1), 6, 1), axes) < 1e-7


def test_principal_axes_are_those_of_most_energy_first():
    axes, energy = _axes(10), np.exp2(-np.arange(10.0))
    found, turned = principal_axes(axes * energy @ axes.T)
    assert np.allclose(found, energy, atol=1e-12)
    assert _off(turned, axes) < 1e-6


def test_a_matrix_of_zeros_has_axes_too():
    energy, axes = principal_axes(np.zeros((5, 5)))
    assert not energy.any()
    assert _off_orthogonal(rotation(quantise_rotation(axes, 128), 5, 128)) < 1e-12
