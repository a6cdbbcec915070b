from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import menagerie, network_of, pico, stack
from torch import Tensor

from dna_ray.errors import BudgetError
from dna_ray.mining import coded
from dna_ray.mining.coding.analysis import Known, untransformed, with_transforms
from dna_ray.mining.coding.blocks import blocks
from dna_ray.mining.coding.classes import offset
from dna_ray.mining.coding.codebook import guess, learn
from dna_ray.mining.coding.counting import dequantise
from dna_ray.mining.coding.passes import Source, index, values_of
from dna_ray.mining.coding.trellis import trellis
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import read_dna, rebuild, write_dna
from dna_ray.mining.field import read_field
from dna_ray.mining.kind import Payload
from dna_ray.mining.measure import measure
from dna_ray.networks import Network
from dna_ray.tasks.sensitivity import Sensitivity

QUICK = MineConfig(kind="coded", effort=8)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _scaled(rows: int, cols: int, *, seed: int = 0) -> Tensor:
    """Gaussians with a scale for each row and each column."""
    return (
        _randn(rows, 1, seed=seed + 1).exp() * (0.3 * _randn(cols, seed=seed + 2)).exp() * _randn(rows, cols, seed=seed)
    )


def _correlated(rows: int, cols: int) -> Tensor:
    """Rows that lie near a plane."""
    return _randn(rows, 2) @ _randn(2, cols, seed=1) + 0.02 * _randn(rows, cols, seed=2)


def _sensitivity(rows: int, cols: int, *, seed: int = 0) -> Sensitivity:
    """Rows that count for more and for less, and inputs that depend on each other."""
    inputs = (_randn(4 * cols, cols, seed=seed) @ _randn(cols, cols, seed=seed + 1)).double()
    moments = inputs.T @ inputs
    counts = _randn(rows, seed=seed + 2).double().exp()
    return Sensitivity(counts.numpy(), (moments / moments.trace()).float().numpy())


def _calibrated(network: Network) -> dict[str, Sensitivity]:
    return {info.name: _sensitivity(*info.matrix_shape, seed=i) for i, info in enumerate(network.anatomy.matrices)}


def _weighed(network: Network, payload: Payload, known: Known) -> float:
    """What the errors of the matrices cost."""
    found, cost = _decoded(payload, network), 0.0
    for name, of in known.items():
        errors = (found[name].double() - network.read(name).double()).numpy()
        cost += float(of.rows @ np.einsum("ij,jk,ik->i", errors, of.moments, errors, optimize=True))
    return cost


def _fitted(network: Network, budget: int | None, config: MineConfig = QUICK, known: Known | None = None) -> Payload:
    return coded.fit(read_field(network), budget, config, known=known)


def _decoded(payload: Payload, network: Network) -> dict[str, Tensor]:
    return dict(coded.decode(payload, network.anatomy))


def _noise(network: Network, payload: Payload) -> float:
    """Squared error of the matrices over their energy."""
    found, names = _decoded(payload, network), [info.name for info in network.anatomy.matrices]
    errors = [(found[name].double() - network.read(name).double()).square().sum() for name in names]
    return float(sum(errors) / sum(network.read(name).double().square().sum() for name in names))


def _same(one: Payload, other: Payload) -> bool:
    return one.params == other.params and all(
        np.array_equal(one.sections[name], other.sections[name]) for name in {*one.sections, *other.sections}
    )


@pytest.mark.parametrize("step", [1.0, 0.1, 0.001])
def test_a_pass_foretells_the_error_of_what_is_rebuilt(step: float):
    field = read_field(network_of({"a": _scaled(300, 40), "b": _correlated(400, 12), "c": _scaled(30, 40, seed=3)}))
    matrices = field.anatomy.matrices

    def read(name: str) -> np.ndarray:
        return field.matrix(name).numpy()

    side = with_transforms(read, matrices, untransformed(read, matrices, {}), {}, step)
    for block in blocks(matrices):
        values = values_of(block, read, matrices, side, side.rotations(matrices))
        tally, indices = index(Source(values), block, side, step, guess().costs(), 8)
        learned = learn(tally.histogram, tally.sums)
        of = side.class_map(block, offset(step))
        error = values / np.float32(step) - dequantise(indices.astype(np.int32), of, learned.points(), trellis(8))
        assert tally.error(learned) == pytest.approx(np.square(error, dtype=np.float64).sum(), rel=1e-4)


@pytest.mark.parametrize("ratio", [4, 8, 22, 44])
@pytest.mark.parametrize("make", [lambda: stack(4, rows=96, cols=80), lambda: network_of({"a": _scaled(700, 90)})])
def test_a_budget_is_met_within_half_a_percent_and_never_exceeded(ratio: int, make):
    network = make()
    budget = network.anatomy.fp32_bytes // ratio
    assert 0.995 * budget <= _fitted(network, budget).nbytes <= budget


def test_gaussians_are_within_half_a_decibel_of_the_reference():
    network = network_of({name: _randn(320, 320, seed=i) for i, name in enumerate("abc")})
    field, budget = read_field(network), network.anatomy.fp32_bytes // 22
    payload = coded.fit(field, budget, MineConfig(kind="coded", effort=256))
    sizes = {name: section.nbytes for name, section in payload.sections.items()}
    found = measure(field, coded.decode(payload, network.anatomy), file_bytes=payload.nbytes, sections=sizes)
    assert -0.5 < found.gap_db < 0


def test_more_effort_leaves_less_error():
    network = network_of({"a": _scaled(400, 120)})
    noises = [_noise(network, _fitted(network, 9000, MineConfig(kind="coded", effort=n))) for n in (4, 16, 64, 256)]
    assert noises == sorted(noises, reverse=True)


def test_more_bytes_leave_less_error():
    network = stack(2)
    noises = [_noise(network, _fitted(network, budget)) for budget in (700, 1400, 2800, 5600, 11_200)]
    assert noises == sorted(noises, reverse=True)
    assert noises[-1] < 1e-6


def test_the_same_weights_give_the_same_bytes_with_any_number_of_threads(threads: None):
    network = network_of({"a": _scaled(700, 50), "b": _correlated(300, 20)})
    found = []
    for number in (1, 1, 2):
        torch.set_num_threads(number)
        found.append(_fitted(network, 6000))
    assert _same(found[0], found[1])
    assert _same(found[0], found[2])
    one, two = (_decoded_with(number, found[0], network) for number in (1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def _decoded_with(number: int, payload: Payload, network: Network) -> dict[str, Tensor]:
    torch.set_num_threads(number)
    return _decoded(payload, network)


def test_without_a_budget_a_weight_takes_a_bit_and_a_half():
    network = network_of({"a": _scaled(400, 200)})
    assert 8 * _fitted(network, None).nbytes == pytest.approx(1.5 * 400 * 200, rel=0.005)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precision_are_coded_as_well(dtype: torch.dtype):
    matrix = _scaled(90, 40)
    network, single = network_of({"a": matrix.to(dtype)}), network_of({"a": matrix})
    payload = _fitted(network, 2500)
    assert _decoded(payload, network)["a"].dtype == dtype
    assert _noise(network, payload) == pytest.approx(_noise(single, _fitted(single, 2500)), rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_largest_values_of_a_dtype_stay_finite(dtype: torch.dtype):
    matrix = torch.finfo(dtype).max * torch.sign(_randn(30, 20)).to(dtype)
    network = network_of({"a": matrix})
    found = _decoded(_fitted(network, 4000), network)["a"]
    assert torch.isfinite(found).all()
    assert torch.equal(torch.sign(found), torch.sign(matrix))


def test_tied_tensors_are_coded_once_and_rebuilt_tied(tmp_path: Path):
    matrix, other = _scaled(60, 20), _scaled(30, 20, seed=5)
    tied = network_of({"a": matrix, "b": other, "c": matrix}, tied={"c": "a"})
    payload = _fitted(tied, 1500)
    assert _same(payload, _fitted(network_of({"a": matrix, "b": other}), 1500))
    write_dna(tmp_path / "x", network=tied, kind="coded", payload=payload)
    tensors = dict(rebuild(read_dna(tmp_path / "x"), {"coded": coded.KIND}))
    assert tensors["c"] is tensors["a"]


def test_every_dtype_shape_and_tie_comes_back_through_the_file(tmp_path: Path):
    network = menagerie()
    write_dna(tmp_path / "x", network=network, kind="coded", payload=_fitted(network, 2500))
    for name, tensor in rebuild(read_dna(tmp_path / "x"), {"coded": coded.KIND}):
        original = network.read(name)
        assert (tensor.dtype, tensor.shape) == (original.dtype, original.shape)
        if original.is_floating_point():
            assert torch.allclose(tensor.double(), original.double(), atol=0.1)
        else:
            assert torch.equal(tensor, original)


def test_a_tall_matrix_of_correlated_columns_gets_a_transform_of_its_own():
    network = network_of({"a": _correlated(500, 16), "b": _randn(500, 16, seed=7), "c": _randn(500, 20)})
    payload = _fitted(network, 4000)
    assert payload.params["turned"] == [0, -1, -1]
    alone, white = (network_of({"a": network.read(name)}) for name in "ab")
    assert _noise(alone, _fitted(alone, 1500)) < _noise(white, _fitted(white, 1500)) / 4


def test_matrices_that_are_not_tall_share_a_transform_where_it_pays():
    mixing = _randn(16, 2) @ _randn(2, 16, seed=1) + 0.02 * torch.eye(16)
    matrices = {f"{i:02}": _randn(24, 16, seed=i) @ mixing for i in range(20)}
    assert _fitted(network_of(matrices | {"x": _randn(30, 9)}), 4000).params["turned"] == [0] * 20 + [-1]


def test_white_matrices_get_none():
    assert set(_fitted(stack(3, rows=60, cols=12), 3000).params["turned"]) == {-1}


@pytest.mark.parametrize("scale", [1e-25, 1e-10, 1e10, 1e25])
def test_the_scale_of_the_weights_does_not_matter(scale: float):
    network, scaled = (network_of({"a": factor * _scaled(80, 30)}) for factor in (1.0, scale))
    assert _noise(scaled, _fitted(scaled, 1200)) == pytest.approx(_noise(network, _fitted(network, 1200)), rel=0.1)


def test_a_network_of_zeros_takes_next_to_nothing():
    network = network_of({"a": torch.zeros(40, 30), "b": torch.zeros(300, 7)})
    payload = _fitted(network, 1000)
    assert payload.nbytes < 100
    assert not any(tensor.any() for tensor in _decoded(payload, network).values())


@pytest.mark.parametrize("factor", [1e4, 1e8, 1e20, 1e-20])
@pytest.mark.parametrize("budget", [2000, 8000])
def test_a_row_of_another_world_comes_back_with_the_others(factor: float, budget: int):
    matrix = _randn(40, 30)
    matrix[7] *= factor
    network = network_of({"a": matrix})
    found = _decoded(_fitted(network, budget), network)["a"]
    assert float((found - matrix)[7].norm() / matrix[7].norm()) < (0.5 if factor > 1 else 1.1)
    assert float((found - matrix).norm() / matrix.norm()) < 0.5 if factor > 1 else 1.1


def test_a_network_whose_columns_are_mostly_zeros_is_coded_too():
    pruned = _randn(50, 40)
    pruned[:, :30] = 0
    network = network_of({"a": pruned, "b": _randn(60, 25, seed=1), "c": pruned.T.contiguous()})
    payload = _fitted(network, 2000)
    assert _noise(network, payload) < 0.2
    assert not _decoded(payload, network)["a"][:, :30].any()


@pytest.mark.parametrize("budget", [500, 620, 740, 860])
def test_a_small_network_at_a_small_budget_is_not_given_up(budget: int):
    network = network_of({"a": _scaled(40, 12), "b": _scaled(30, 7, seed=5)})
    payload = _fitted(network, budget)
    assert payload.nbytes <= budget
    assert _noise(network, payload) < 0.5


@pytest.mark.parametrize("shape", [(2, 2), (2, 900), (900, 2), (3, 5), (33, 31), (2, 3, 5, 7)])
def test_every_shape_is_coded_at_its_budget(shape: tuple[int, ...]):
    network = network_of({"a": _randn(*shape)}, kinds={"a": "convolution"})
    try:
        payload = _fitted(network, network.anatomy.fp32_bytes // 4)
    except BudgetError as error:
        payload = _fitted(network, error.smallest)
    assert _decoded(payload, network)["a"].shape == shape


def test_a_network_without_matrices_is_only_vectors():
    network = network_of({"a": _randn(9)})
    for budget in (None, 100):
        assert list(_decoded(_fitted(network, budget), network)) == ["a"]


def test_a_budget_that_is_too_small_names_one_that_is_not():
    network = pico()
    with pytest.raises(BudgetError, match="at least .* bytes here, the budget is 35; raise it") as caught:
        _fitted(network, 35)
    smallest = caught.value.smallest
    payload = _fitted(network, smallest)
    assert payload.nbytes <= smallest
    assert not any(_decoded(payload, network)[info.name].any() for info in network.anatomy.matrices)


def _mixed() -> Network:
    """Two lengths of row; one matrix gets a transform of its own."""
    return network_of({"a": _scaled(200, 96), "b": _correlated(500, 16), "c": _scaled(120, 96, seed=3)})


@pytest.mark.parametrize("ratio", [8, 22])
def test_a_calibrated_fit_meets_its_budget_too(ratio: int):
    network = _mixed()
    budget = network.anatomy.fp32_bytes // ratio
    payload = _fitted(network, budget, known=_calibrated(network))
    assert 0.995 * budget <= payload.nbytes <= budget
    assert any(name.endswith("_gains") for name in payload.sections)


def test_a_calibrated_fit_is_decoded_to_the_same_anatomy(tmp_path: Path):
    network = menagerie()
    write_dna(tmp_path / "x", network=network, kind="coded", payload=_fitted(network, 3500, known=_calibrated(network)))
    for name, tensor in rebuild(read_dna(tmp_path / "x"), {"coded": coded.KIND}):
        original = network.read(name)
        assert (tensor.dtype, tensor.shape) == (original.dtype, original.shape)
        assert original.is_floating_point() or torch.equal(tensor, original)


def test_calibrated_errors_weigh_less_in_as_many_bytes_and_are_larger():
    network = network_of({"a": _randn(100, 160), "b": _randn(160, 60, seed=1)})
    known, budget = _calibrated(network), network.anatomy.fp32_bytes // 12
    free, calibrated = _fitted(network, budget), _fitted(network, budget, known=known)
    assert _weighed(network, calibrated, known) < 0.85 * _weighed(network, free, known)
    assert _noise(network, calibrated) > _noise(network, free)


def test_rows_that_count_for_more_are_rebuilt_with_smaller_errors():
    network = network_of({"a": _randn(200, 64)})
    of = Sensitivity(np.repeat([1.0, 100.0], 100), np.eye(64, dtype=np.float32) / 64)
    found = _decoded(_fitted(network, 4000, known={"a": of}), network)["a"]
    errors = (found - network.read("a")).square().mean(1)
    assert errors[100:].mean() < errors[:100].mean() / 10


def test_matrices_that_calibration_does_not_know_are_coded_as_finely_as_the_average():
    field = read_field(
        network_of({"a": _scaled(90, 40), "b": 50 * _scaled(70, 40, seed=4), "c": _scaled(60, 30, seed=7)})
    )
    known = {"a": _sensitivity(90, 40), "c": _sensitivity(60, 30, seed=1)}
    found = untransformed(lambda name: field.matrix(name).numpy(), field.anatomy.matrices, known)
    a, b, c = (each.scales.mean for each in found)
    assert b == pytest.approx((90 * 40 * a + 60 * 30 * c) / (90 * 40 + 60 * 30), abs=2)
    gains = found[1].gains
    assert gains is not None
    assert len(set(gains.rows.tolist())) == len(set(gains.cols.tolist())) == 1


def test_a_calibration_that_knows_nothing_changes_no_byte():
    network = stack(2)
    assert _same(_fitted(network, 1400), _fitted(network, 1400, known={}))


def test_calibrated_bytes_do_not_depend_on_the_number_of_threads_or_the_order_of_what_is_known(threads: None):
    network, found = _mixed(), []
    known = _calibrated(network)
    for number, order in ((1, [*known]), (2, [*known][::-1])):
        torch.set_num_threads(number)
        found.append(_fitted(network, 14_000, known={name: known[name] for name in order}))
    assert _same(*found)


def test_a_calibrated_budget_that_is_too_small_names_the_one_of_data_free():
    network = pico()
    with pytest.raises(BudgetError) as free:
        _fitted(network, 35)
    with pytest.raises(BudgetError) as calibrated:
        _fitted(network, 35, known=_calibrated(network))
    assert calibrated.value.smallest == free.value.smallest
    assert _fitted(network, free.value.smallest, known=_calibrated(network)).nbytes <= free.value.smallest
