import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_networks import network_of

from dna_ray.errors import ArtifactError
from dna_ray.mining.coding.analysis import Scales, untransformed, with_transforms, without_transforms
from dna_ray.mining.coding.classes import scale_field
from dna_ray.mining.coding.curves import CurvesShape
from dna_ray.mining.coding.mean import MEANS, Mean, Means, MeanShape, read_means
from dna_ray.mining.coding.mean_training import fit_means
from dna_ray.mining.coding.side import Side
from dna_ray.mining.kind import Payload
from dna_ray.networks import TensorInfo

Matrix = NDArray[np.float32]
STEP = 0.1


def _noise(rows: int, cols: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32)


def _waves(rows: int, cols: int) -> Matrix:
    """Smooth along the rows: every column is a sum of two waves of its own; with a little noise."""
    angle = np.pi * np.outer(np.arange(rows) / rows, [3, 10])
    smooth = np.sin(angle) @ _noise(2, cols) + np.cos(angle) @ _noise(2, cols, 1)
    return (smooth + 0.05 * _noise(rows, cols, 2)).astype(np.float32)


def _surface(rows: int, cols: int) -> Matrix:
    row, col = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, cols), indexing="ij")
    return (np.sin(5 * row + 3 * col) + np.cos(7 * col) + 0.05 * _noise(rows, cols)).astype(np.float32)


def _infos(matrices: Mapping[str, Matrix]) -> Sequence[TensorInfo]:
    return network_of({name: torch.from_numpy(matrix) for name, matrix in matrices.items()}).anatomy.matrices


def _fitted(matrices: Mapping[str, Matrix], step: float = STEP) -> tuple[Means, Side, Side]:
    """The means, and how everything is coded with and without them."""
    read, infos = matrices.__getitem__, _infos(matrices)
    plain = untransformed(read, infos, {})
    side = with_transforms(read, infos, plain, {}, step)
    means, after = fit_means(read, infos, without_transforms(plain), side, step, seed=0)
    return means, after, side


def _bytes(side: Side, step: float = STEP) -> float:
    return sum(Scales(*own).bits(step) for own in zip(side.rows, side.cols, strict=True)) / 8 + side.nbytes


def _payload(means: Means) -> Payload:
    return Payload(means.params(), means.sections())


@pytest.mark.parametrize(
    "matrix",
    [_waves(110, 150), np.ascontiguousarray(_waves(110, 150).T), _surface(120, 90)],
    ids=["rows", "cols", "both"],
)
def test_a_smooth_matrix_has_a_mean_that_takes_most_of_it(matrix: Matrix):
    means, after, before = _fitted({"smooth": matrix, "white": _noise(90, 110)})
    assert [mean.shape.matrix for mean in means.kept] == [0]
    assert means.smooth == (0,)
    assert np.var(matrix - means.of(0)) < 0.3 * np.var(matrix)
    assert means.of(1) is None
    saved = _bytes(before) - _bytes(after) - means.nbytes
    assert saved > 0.05 * _bytes(before)
    assert saved == pytest.approx(means.kept[0].saves, abs=1)


def test_a_mean_that_makes_its_own_transform_useless_replaces_it():
    means, after, before = _fitted({"a": _waves(900, 24), "b": _noise(500, 16)}, step=0.05)
    assert before.turned == (0, -1)
    assert len(means.kept) == 1
    assert after.turned == (-1, -1)
    assert after.bases == ()
    assert _bytes(after, 0.05) + means.nbytes < _bytes(before, 0.05)


@pytest.mark.parametrize("step", [0.01, 0.3])
def test_no_step_is_worse_with_means_than_without(step: float):
    matrices = {"a": _waves(100, 60), "b": _noise(60, 60), "c": _surface(70, 50)}
    means, after, before = _fitted(matrices, step)
    assert _bytes(after, step) + means.nbytes <= _bytes(before, step)


def test_noise_gets_none():
    means, after, before = _fitted({"a": _noise(200, 60), "b": _noise(60, 60, 1)})
    assert (means.kept, means.smooth) == ((), ())
    assert after is before
    assert means.sections() == {}
    assert means.params() == {"smooth": []}


@pytest.mark.parametrize("scale", [1e-36, 1e33])
def test_the_scale_of_the_weights_does_not_matter(scale: float):
    matrix = np.float32(scale) * _waves(150, 110)
    means, _, _ = _fitted({"a": matrix}, STEP * scale)
    left = (matrix - means.of(0)).astype(np.float64) / scale
    assert np.isfinite(left).all()
    assert np.var(left) < 0.3 * np.var(matrix.astype(np.float64) / scale)


def test_what_is_coded_is_the_matrix_less_what_a_reader_adds():
    matrices = {"a": _waves(90, 70), "b": _noise(30, 20)}
    means, _, _ = _fitted(matrices)
    read = means.residual(matrices.__getitem__, _infos(matrices))
    found = read_means(_payload(means), _infos(matrices))
    assert np.array_equal(read("a"), matrices["a"] - found.of(0))
    assert np.array_equal(read("b"), matrices["b"])


def test_a_mean_does_not_depend_on_the_number_of_threads():
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            means, _, _ = _fitted({"a": _surface(80, 90)})
            found.append((means.params(), means.sections()[MEANS].tobytes(), means.of(0).tobytes()))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_a_mean_is_told_in_one_line():
    matrices = {"a": _waves(150, 110), "b": _noise(60, 60), "c": np.cumsum(_noise(40, 3), 0)}
    means, _, _ = _fitted(matrices, 0.3)
    kept = f"a (mean kept, saves {means.kept[0].saves / 1000:.1f} kB)"
    assert means.describe(_infos(matrices)) == f"smooth: {kept}, c (a mean would not pay)"
    assert Means().describe(_infos(matrices)) == "no tensor is smooth: nothing trained"


ROWS, COLS = CurvesShape(4, 2), CurvesShape(3, 5)


def _small(rows: CurvesShape | None = ROWS, cols: CurvesShape | None = COLS) -> tuple[Means, Sequence[TensorInfo]]:
    """Means of a 40 x 30 and a 20 x 50 matrix, of random numbers."""
    rng, kept = np.random.default_rng(0), []
    for place, size in ((0, (40, 30)), (2, (20, 50))):
        shape = MeanShape(place, rows, cols, size)
        kept.append(Mean(shape, rng.standard_normal(sum(shape.numbers)).astype(np.float16), -3, 7))
    return Means(tuple(kept), (0, 2)), _infos({"a": _noise(40, 30), "b": _noise(9, 9), "c": _noise(20, 50)})


@pytest.mark.parametrize(("rows", "cols"), [(ROWS, COLS), (ROWS, None), (None, COLS)])
def test_means_and_back_are_the_same(rows: CurvesShape | None, cols: CurvesShape | None):
    means, infos = _small(rows, cols)
    found = read_means(_payload(means), infos)
    assert found.params() == means.params()
    for place in range(3):
        one, other = means.of(place), found.of(place)
        assert (one is None) == (other is None) == (place == 1)
        assert one is None or (np.array_equal(one, other) and one.shape == infos[place].matrix_shape)
    assert found.kept[0].values().dtype == np.float32


def test_a_file_without_means_has_none():
    assert read_means(Payload({}, {}), _infos({"a": _noise(4, 4)})).kept == ()


def _first(**changed: Any) -> list[dict[str, Any]]:
    one, two = _small()[0].params()["means"]
    return [{name: value for name, value in {**one, **changed}.items() if value != "gone"}, two]


FORGED: list[Any] = [
    *(None, {}, "means", 3, [3], [None], [[]], [{}], [{}] * 4),
    *(_first(**{name: "gone"}) for name in ("matrix", "exponent", "saves")),
    *(_first(matrix=value) for value in (-1, 1 << 70, 3, 2, 0.0, True, "0", None)),
    *(_first(exponent=value) for value in (-161, 100, 1 << 70, 1.0, True, "1", None)),
    *(_first(saves=value) for value in (1.5, "1", None, [])),
    *(_first(rows=value) for value in (4, [], [4], [4, 2, 1], [4, 0], [0, 2], [4, -2], [4.0, 2], [True, 2], "42")),
    *(_first(rows=value) for value in ([1 << 40, 2], [257, 2], [4, 65], [4, 31], [5, 2], [4, 3])),
    *(_first(cols=value) for value in ([3, 41], [3, 64], [200, 60], [1, 1], {"inner": 3})),
    _first(rows="gone", cols="gone"),
    _first(extra=1),
    _first()[:1],
    _first()[::-1],
    [*_first(), _first()[0]],
]


@pytest.mark.parametrize("forged", FORGED, ids=[f"{i}" for i in range(len(FORGED))])
def test_forged_means_are_refused_in_one_line(forged: Any):
    means, infos = _small()
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError) as caught:
            read_means(Payload({"means": forged}, means.sections()), infos)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(value: float):
    means, infos = _small()
    numbers = means.sections()[MEANS].copy()
    numbers[5] = value
    with pytest.raises(ArtifactError, match="not finite"):
        read_means(Payload(means.params(), {MEANS: numbers}), infos)


@pytest.mark.parametrize("change", [lambda a: a[:-1], lambda a: np.append(a, a[:1]), lambda a: a.astype("f4")])
def test_numbers_of_another_count_or_dtype_are_refused(change: Any):
    means, infos = _small()
    with pytest.raises(ArtifactError, match=MEANS):
        read_means(Payload(means.params(), {MEANS: change(means.sections()[MEANS])}), infos)


def test_the_largest_mean_that_can_be_is_finite():
    shape = MeanShape(0, CurvesShape(1, 64), CurvesShape(1, 64), (100, 90))
    largest = np.full(sum(shape.numbers), np.finfo(np.float16).max)
    params = {"means": [{"matrix": 0, "rows": [1, 64], "cols": [1, 64], "exponent": 99, "saves": 0}]}
    found = read_means(Payload(params, {MEANS: largest}), _infos({"a": _noise(100, 90)})).of(0)
    assert np.isfinite(found).all()


def test_a_mean_is_made_in_parts_no_larger_than_its_matrix_in_memory():
    shape = MeanShape(0, CurvesShape(256, 2), None, (60_000, 2))
    mean = Mean(shape, np.ones(sum(shape.numbers), np.float16), 0)
    tracemalloc.start()
    try:
        mean.values()
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_scales_after_a_mean_are_those_of_what_is_left():
    matrices = {"a": _waves(90, 70)}
    means, after, _ = _fitted(matrices)
    left = means.residual(matrices.__getitem__, _infos(matrices))("a")
    assert all(np.array_equal(*pair) for pair in zip(scale_field(left), (after.rows[0], after.cols[0]), strict=True))
