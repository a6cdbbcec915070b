import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dna_ray.mining.coding.classes import CLASSES, PER_OCTAVE, SHIFTED, UNIT, ClassMap, offset, scale_field, shifts


def _separable(rows: int, cols: int, *, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Gaussians with a scale for each row and each column, and log2 of those of the entries."""
    rng = np.random.default_rng(seed)
    octaves = rng.normal(0, 1.5, (rows, 1)) + rng.normal(0, 0.7, cols)
    return (np.exp2(octaves) * rng.standard_normal((rows, cols))).astype(np.float32), octaves


def test_the_scales_of_rows_and_columns_are_found():
    matrix, octaves = _separable(900, 1100)
    rows, cols = scale_field(matrix)
    found = (rows[:, None] + cols) / PER_OCTAVE
    assert np.abs(found - octaves).max() < 0.35  # octaves
    assert np.abs(found - octaves).mean() < 0.07
    assert np.median(cols) == 0


@given(octaves=st.integers(-90, 90))
def test_twice_the_weights_are_an_octave_more_in_every_row(octaves: int):
    matrix, _ = _separable(12, 9)
    rows, cols = scale_field(matrix)
    more_rows, same_cols = scale_field(matrix * np.float32(2.0**octaves))
    assert np.array_equal(more_rows, rows + PER_OCTAVE * octaves)
    assert np.array_equal(same_cols, cols)


def test_rows_and_columns_of_zeros_are_far_below_the_others():
    matrix, _ = _separable(30, 20)
    matrix[4], matrix[:, 7] = 0, 0
    rows, cols = scale_field(matrix)
    assert (rows[4], cols[7]) == (rows.min(), cols.min())
    assert np.sort(rows)[1] - rows[4] > 8 * PER_OCTAVE
    assert np.sort(cols)[1] - cols[7] > 8 * PER_OCTAVE


@pytest.mark.parametrize("factor", [2.0**20, 2.0**60, 2.0**-60])
def test_a_row_of_another_world_keeps_its_scale_or_is_silent(factor: float):
    matrix, _ = _separable(30, 20)
    plain = scale_field(matrix)[0]
    matrix[3] *= np.float32(factor)
    found = int(scale_field(matrix)[0][3] - plain[3])
    if factor > 1:
        assert abs(found - PER_OCTAVE * np.log2(factor)) <= 2
    else:
        assert found < -PER_OCTAVE * 10


@pytest.mark.parametrize("matrix", [np.zeros((5, 4)), np.ones((5, 4)), np.empty((0, 4)), np.full((1, 1), -3e38)])
def test_any_matrix_has_scales(matrix: NDArray[np.float64]):
    rows, cols = scale_field(matrix.astype(np.float32))
    assert (len(rows), len(cols)) == matrix.shape
    if matrix.any():
        assert abs(rows[0] + cols[0] - PER_OCTAVE * np.log2(abs(matrix[0, 0]))) <= 1


def test_a_step_twice_as_large_lowers_every_class_by_an_octave():
    assert offset(1.0) == UNIT
    for step in (1e-9, 0.3, 1.0, 7e5):
        assert offset(2 * step) == offset(step) - PER_OCTAVE


@given(
    rows=st.lists(st.tuples(st.integers(-500, 500), st.integers(0, 2)), min_size=1, max_size=8),
    cols=st.integers(1, 6),
    seed=st.integers(0, 9),
)
def test_classes_are_the_sums_of_rows_and_columns_within_their_range(rows: list[tuple[int, int]], cols: int, seed: int):
    scales = np.random.default_rng(seed).integers(-80, 80, (3, cols)).astype(np.int32)
    of = ClassMap(np.array([r for r, _ in rows], np.int32), scales, np.array([m for _, m in rows], np.int32))
    whole = of.whole()
    assert whole.shape == of.shape == (len(rows), cols)
    assert all(np.array_equal(of.column(c), whole[:, c]) for c in range(cols))
    assert whole.tolist() == [[min(max(r + int(s), 0), CLASSES - 1) for s in scales[m]] for r, m in rows]


def test_low_bits_are_stored_as_they_are_one_more_in_every_octave_of_the_highest_classes():
    assert not shifts()[:SHIFTED].any()
    assert shifts()[SHIFTED] == shifts()[SHIFTED + PER_OCTAVE - 1] == 1
    assert shifts()[SHIFTED + PER_OCTAVE] == 2
    assert (np.diff(shifts()) >= 0).all()
