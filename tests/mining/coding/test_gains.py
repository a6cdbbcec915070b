import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_networks import network_of

from dna_ray.errors import ArtifactError
from dna_ray.mining import coded
from dna_ray.mining.coding.gains import FURTHEST, PER_OCTAVE, Gains, even_gains, feedback_of, gains_of
from dna_ray.mining.coding.integers import encode_integers
from dna_ray.mining.coding.side import COL_GAINS, LEVELS, ROW_GAINS, read_side
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import read_dna, write_dna
from dna_ray.mining.field import read_field
from dna_ray.mining.kind import Payload
from dna_ray.networks import Network
from dna_ray.tasks.sensitivity import Sensitivity

DAMPING = 0.01  # of the mean second moment, as in the code


def _moments(cols: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Correlated second moments of trace 1."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((4 * cols, cols)) @ rng.standard_normal((cols, cols)) * np.exp(rng.normal(size=cols))
    moments = inputs.T @ inputs
    return (moments / np.trace(moments)).astype(np.float32)


def _sensitivity(rows: int, cols: int, *, seed: int = 0) -> Sensitivity:
    return Sensitivity(np.exp(np.random.default_rng(seed).normal(size=rows)), _moments(cols, seed=seed))


def _damped(moments: NDArray[np.float32]) -> NDArray[np.float64]:
    return moments + DAMPING * float(np.trace(moments)) / len(moments) * np.eye(len(moments))


def _orthogonal(size: int) -> NDArray[np.float32]:
    return np.linalg.qr(np.random.default_rng(5).standard_normal((size, size)))[0].astype(np.float32)


def test_undo_is_the_inverse_of_apply():
    gains = gains_of(_sensitivity(30, 12))
    values = np.random.default_rng(1).standard_normal((30, 12), np.float32)
    np.testing.assert_allclose(gains.undo(gains.apply(values)), values, rtol=1e-6)
    np.testing.assert_allclose(gains.apply(gains.undo(values)), values, rtol=1e-6)


def test_rows_from_the_middle_get_their_own_gains():
    gains = gains_of(_sensitivity(30, 12))
    values = np.random.default_rng(1).standard_normal((30, 12), np.float32)
    assert np.array_equal(gains.apply(values[7:19], 7), gains.apply(values)[7:19])
    assert np.array_equal(gains.undo(values[7:19], 7), gains.undo(values)[7:19])


def test_errors_that_count_the_same_have_even_gains():
    gains = gains_of(Sensitivity(np.full(9, 4.0), np.eye(16, dtype=np.float32) / 16))
    assert set(gains.rows.tolist()) == {PER_OCTAVE}  # sqrt(4): an octave
    assert set(gains.cols.tolist()) == {-2 * PER_OCTAVE}  # sqrt(1 / 16): two octaves down; the damping is too small
    even = even_gains((9, 16), PER_OCTAVE)
    assert np.array_equal(even.apply(np.ones((9, 16))), np.full((9, 16), 2.0))


def test_a_row_that_counts_four_times_as_much_is_scaled_by_two():
    gains = gains_of(Sensitivity(np.array([1.0, 4.0, 16.0]), _moments(5)))
    assert np.diff(gains.rows).tolist() == [PER_OCTAVE, PER_OCTAVE]


def test_feedback_is_strictly_upper_triangular():
    of = _sensitivity(20, 24)
    feedback = feedback_of(of, None, gains_of(of).cols)
    assert not np.tril(feedback).any()
    assert np.triu(feedback, 1).any()
    assert feedback.dtype == np.float32


@pytest.mark.parametrize("axes", [None, _orthogonal(24)], ids=["as it is", "turned"])
def test_feedback_and_gains_make_up_the_damped_moments(axes: NDArray[np.float32] | None):
    of = _sensitivity(20, 24)
    moments = of.moments if axes is None else axes.T @ of.moments @ axes
    cols = gains_of(of, axes).cols
    unit_upper = np.eye(24) + feedback_of(of, axes, np.zeros(24, np.int32))
    inverse = np.linalg.inv(unit_upper)
    diagonal = inverse @ _damped(moments) @ inverse.T
    scale = float(np.diag(diagonal).min())
    np.testing.assert_allclose(diagonal - np.diag(np.diag(diagonal)), 0, atol=1e-3 * scale)
    octaves = np.log2(np.diag(diagonal)) / 2
    assert np.abs(cols / PER_OCTAVE - octaves).max() <= 0.5 / PER_OCTAVE + 1e-3
    scales = np.exp2(cols / PER_OCTAVE)
    scaled = feedback_of(of, axes, cols)
    np.testing.assert_allclose(scaled / scales * scales[:, None], unit_upper - np.eye(24), rtol=1e-5, atol=1e-7)


def test_moments_are_turned_with_the_matrix():
    of, axes = _sensitivity(20, 24), _orthogonal(24)
    turned = Sensitivity(of.rows, axes.T @ of.moments @ axes)
    assert np.abs(gains_of(of, axes).cols - gains_of(turned).cols).max() <= 1  # on an edge, rounding decides
    cols = np.zeros(24, np.int32)
    np.testing.assert_allclose(feedback_of(of, axes, cols), feedback_of(turned, None, cols), atol=1e-3)


def test_without_correlation_nothing_is_fed():
    of = Sensitivity(np.ones(4), np.diag(np.float32([0.5, 0.3, 0.2])))
    assert not feedback_of(of, None, gains_of(of).cols).any()


def test_extremes_are_clipped():
    gains = gains_of(Sensitivity(np.array([1e-300, 1.0, 1e300]), _moments(4)))
    assert gains.rows.tolist() == [-FURTHEST, 0, FURTHEST]
    assert even_gains((1, 1), 10**6).rows.tolist() == [FURTHEST]
    assert even_gains((1, 1), -(10**6)).rows.tolist() == [-FURTHEST]


def test_moments_of_one_direction_alone_are_no_matter():
    direction = np.random.default_rng(0).standard_normal(16)
    single = np.outer(direction, direction).astype(np.float32)
    for moments in (single / np.trace(single), np.zeros((16, 16), np.float32)):
        of = Sensitivity(np.ones(3), moments)
        assert np.isfinite(feedback_of(of, None, gains_of(of).cols)).all()


def test_whatever_gains_say_values_stay_finite():
    most = Gains(np.full(3, -FURTHEST, np.int32), np.full(4, -FURTHEST, np.int32))
    huge = np.full((3, 4), 1e36, np.float32)
    assert np.isfinite(most.undo(huge)).all()
    assert np.isfinite(most.undo(-huge)).all()


SMALL = network_of(
    {name: torch.randn(30, 8, generator=torch.Generator().manual_seed(i)) for i, name in enumerate("ab")}
)
GAINED = {name: _sensitivity(30, 8, seed=i) for i, name in enumerate("ab")}


@pytest.fixture(scope="module")
def payload() -> Payload:
    return coded.fit(read_field(SMALL), 700, MineConfig(kind="coded", effort=8), known=GAINED)


def _with(payload: Payload, name: str, values: NDArray[np.generic]) -> Payload:
    return Payload(payload.params, {**payload.sections, name: values})


def _finite(payload: Payload, network: Network = SMALL) -> bool:
    return all(torch.isfinite(tensor).all() for _, tensor in coded.decode(payload, network.anatomy))


def test_gains_go_through_the_file(payload: Payload, tmp_path: Path):
    write_dna(tmp_path / "x", network=SMALL, kind="coded", payload=payload)
    matrices = SMALL.anatomy.matrices
    before, after = read_side(payload, matrices), read_side(read_dna(tmp_path / "x").payload, matrices)
    for one, other, known in zip(before.gains, after.gains, GAINED.values(), strict=True):
        assert np.array_equal(one.rows, other.rows)
        assert np.array_equal(one.cols, other.cols)
        assert np.array_equal(one.rows, gains_of(known).rows)


@pytest.mark.parametrize("level", [FURTHEST, -FURTHEST])
def test_a_file_that_names_the_furthest_gains_is_some_network(payload: Payload, level: int):
    rows, cols = encode_integers(np.zeros(60, np.int32)), encode_integers(np.full(16, level, np.int32))
    forged = _with(_with(payload, ROW_GAINS, rows), COL_GAINS, cols)
    assert _finite(_with(forged, LEVELS, np.full(2, level, np.int16)))


@pytest.mark.parametrize("level", [FURTHEST + 1, -FURTHEST - 1, 2000, -2000])
@pytest.mark.parametrize("name", [ROW_GAINS, COL_GAINS, LEVELS])
def test_a_file_that_names_gains_further_than_that_is_refused(payload: Payload, name: str, level: int):
    count = {ROW_GAINS: 60, COL_GAINS: 16, LEVELS: 2}[name]
    forged = np.zeros(count, np.int32)
    forged[-1] = level
    section = forged.astype(np.int16) if name == LEVELS else encode_integers(forged)
    quiet = _with(_with(payload, ROW_GAINS, encode_integers(np.zeros(60, np.int32))), LEVELS, np.zeros(2, np.int16))
    with pytest.raises(ArtifactError, match="a gain is beyond all measure; this DNA was not written by dna_ray"):
        read_side(_with(quiet, name, section), SMALL.anatomy.matrices)


@pytest.mark.parametrize("name", [ROW_GAINS, COL_GAINS, LEVELS])
def test_gains_with_a_flipped_bit_cut_or_missing_are_refused_or_a_network(payload: Payload, name: str):
    section = payload.sections[name]
    without = {key: values for key, values in payload.sections.items() if key != name}
    forged = [Payload(payload.params, without), _with(payload, name, section[:-1])]
    for bit in range(8 * section.nbytes):
        raw = np.frombuffer(section.tobytes(), np.uint8).copy()
        raw[bit // 8] ^= np.uint8(1 << bit % 8)
        forged.append(_with(payload, name, raw.view(section.dtype)))
    for each in forged:
        with contextlib.suppress(ArtifactError):
            assert _finite(each)
