import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dna_ray.mining import reference
from dna_ray.mining.reference import Spectrum

variances = st.lists(st.floats(1e-12, 1e6), min_size=1, max_size=8)


def of(values: list[float], weights: int = 10) -> Spectrum:
    return reference.pool(reference.uniform(value, weights) for value in values)


def noise_at(spectrum: Spectrum, bits: float) -> float:
    return reference.noise(spectrum, reference.water_level(spectrum, bits))


@pytest.mark.parametrize(("ratio", "r2"), [(16, 0.938), (22, 0.867), (32, 0.750), (44, 0.635)])
def test_equal_variances_give_the_closed_form(ratio: float, r2: float):
    assert 1 - noise_at(reference.uniform(0.3, 1000), 1000 * 32 / ratio) == pytest.approx(r2, abs=5e-4)


def test_two_variances_give_the_textbook_answer():
    spectrum = of([4.0, 1.0], weights=1)
    # One bit lowers the larger one to the smaller; the second bit is shared between them.
    assert noise_at(spectrum, 1) == pytest.approx(2 / 5)
    assert noise_at(spectrum, 2) == pytest.approx(1 / 5)
    assert noise_at(spectrum, 0.5) == pytest.approx(3 / 5)


@given(variances, st.floats(0, 200), st.floats(0, 200))
def test_more_bits_never_hurt(values: list[float], one: float, other: float):
    fewer, more = sorted((one, other))
    assert noise_at(of(values), more) <= noise_at(of(values), fewer) + 1e-12


@given(variances, st.floats(0, 100))
def test_bits_needed_is_the_inverse_of_the_noise(values: list[float], bits: float):
    spectrum = of(values)
    assert reference.bits_needed(spectrum, noise_at(spectrum, bits)) == pytest.approx(bits, abs=1e-6)


@given(variances, st.floats(0.5, 100))
def test_the_bits_of_all_variances_above_the_water_add_up(values: list[float], bits: float):
    spectrum = of(values)
    above = np.maximum(spectrum.octaves - reference.water_level(spectrum, bits), 0)
    assert np.sum(spectrum.counts * above) / 2 == pytest.approx(bits)


def test_the_reference_does_not_depend_on_the_scale_of_the_weights():
    ones, millionths = of([3.0, 1.0, 0.2]), of([3e-6, 1e-6, 0.2e-6])
    assert noise_at(ones, 20) == pytest.approx(noise_at(millionths, 20), rel=0.02)


def test_the_histogram_of_products_is_that_of_the_outer_product():
    rng = np.random.default_rng(0)
    rows, cols = rng.gamma(1.0, size=37), rng.gamma(2.0, size=53)
    rows, cols = rows / rows.mean(), cols / cols.mean()
    spectrum = reference.separable(rows, cols)
    every = reference.pool(reference.uniform(v, 1) for v in np.outer(rows, cols).ravel())
    assert spectrum.counts.sum() == 37 * 53
    assert spectrum.power == pytest.approx(37 * 53, rel=1e-3)  # the marginals keep the total
    assert noise_at(spectrum, 2000) == pytest.approx(noise_at(every, 2000), abs=1e-4)


def test_rows_of_zeros_cost_nothing():
    half = reference.separable(np.array([2.0, 0.0]), np.array([1.0, 1.0]))
    assert half.counts.sum() == 2
    assert noise_at(half, 2) == pytest.approx(0.25)


def test_a_tiny_row_does_not_blow_up_the_histogram():
    assert len(reference.separable(np.array([1e300, 1e-300]), np.array([1e300, 1e-300])).bins) <= 4


def test_without_variance_there_is_no_noise():
    nothing = reference.separable(np.zeros(3), np.zeros(4))
    assert reference.water_level(nothing, 100) == -np.inf
    assert noise_at(nothing, 100) == 0
    assert reference.bits_needed(nothing, 0.5) == 0


def test_exactness_needs_infinitely_many_bits():
    assert reference.bits_needed(of([1.0]), 0) == np.inf
    assert reference.bits_needed(of([1.0]), 1.5) == 0
