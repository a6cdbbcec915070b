import json
import math
import warnings
from collections.abc import Callable, Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.mining import measure as measuring
from dna_ray.mining.fidelity import PSNR_BANDS, R2_BANDS, Fidelity, band
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.measure import measure
from dna_ray.mining.measures import Measures
from dna_ray.networks import from_state_dict, load

Damage = Callable[[Tensor], Tensor]


def weights(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, scale: float = 1.0, mean: float = 0.0) -> Tensor:
        return (mean + scale * torch.randn(*shape, generator=generator)).to(dtype)

    return {
        "layer.0.attention.self.query.weight": normal(24, 16),
        "layer.0.attention.self.query.bias": normal(24),
        "layer.1.attention.self.query.weight": normal(24, 16, scale=0.02, mean=5.0),
        "layer.1.intermediate.dense.weight": normal(39, 16, scale=0.1),
        "LayerNorm.weight": normal(16, scale=0.01, mean=1.0),
        "position_ids": torch.arange(7),
    }


@pytest.fixture(scope="module")
def field() -> Field:
    return tiny(weights())


def tiny(state: Mapping[str, Tensor]) -> Field:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # most names here are of no family
        return read_field(from_state_dict(state, name="tiny", config={"model_type": "bert"}))


def measured(field: Field, damage: Damage, *, file_bytes: int = 1000, **sections: int) -> Measures:
    def rebuilt(name: str) -> Tensor:
        tensor = field.read(name)
        return damage(tensor).to(tensor.dtype) if tensor.is_floating_point() else tensor

    return measure(field, rebuilt, file_bytes=file_bytes, sections=sections)


def noisy(tensor: Tensor, share: float = 0.1) -> Tensor:
    noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1))
    return tensor + share * tensor.float().std() * noise


def test_an_exact_rebuild_has_r2_one_and_says_so(field: Field):
    measures = measured(field, torch.clone)
    assert measures.exact
    assert measures.achieved.r2 == 1
    assert measures.achieved.snr_db == math.inf
    assert {tensor.psnr_db for tensor in measures.tensors} == {math.inf}
    assert all(vector.achieved.r2 == 1 for vector in measures.vectors)
    assert measures.structure_bits is None


def test_the_mean_of_each_tensor_explains_nothing(field: Field):
    measures = measured(field, lambda tensor: tensor.double().mean().expand(tensor.shape))
    assert measures.achieved.r2 == pytest.approx(0, abs=1e-6)
    assert all(tensor.achieved.r2 == pytest.approx(0, abs=1e-4) for tensor in measures.tensors)


def test_a_large_mean_does_not_flatter(field: Field):
    """Against zeros, the matrix of mean 5 and deviation 0.02 would have R2 0.99998 of its mean alone."""
    measures = measured(field, lambda tensor: tensor * 0.999)
    [shifted] = [tensor for tensor in measures.tensors if tensor.name.startswith("layer.1.attention")]
    assert shifted.achieved.r2 < 0.95


def test_figures_are_those_of_numpy(field: Field):
    measures = measured(field, noisy)
    for tensor in measures.tensors:
        before = field.read(tensor.name).double().numpy()
        after = noisy(field.read(tensor.name)).double().numpy()
        mse, variance, spread = ((after - before) ** 2).mean(), before.var(), before.max() - before.min()
        assert tensor.achieved.mse == pytest.approx(mse)
        assert tensor.achieved.r2 == pytest.approx(1 - mse / variance)
        assert tensor.achieved.snr_db == pytest.approx(10 * math.log10(variance / mse))
        assert tensor.range_sigma == pytest.approx(spread / before.std())
        assert tensor.psnr_db == pytest.approx(10 * math.log10(spread**2 / mse))


def test_psnr_is_snr_plus_the_range_in_sigmas(field: Field):
    for tensor in measured(field, noisy).tensors:
        assert tensor.psnr_db == pytest.approx(tensor.achieved.snr_db + 20 * math.log10(tensor.range_sigma))


def test_only_matrices_are_pooled(field: Field):
    spoilt = measured(field, lambda tensor: tensor if tensor.ndim == 2 else tensor + 100)
    assert spoilt.achieved.r2 == 1
    assert not spoilt.exact
    assert {vector.kind for vector in spoilt.vectors} == {"norm", "bias"}
    assert all(vector.achieved.r2 < 0 for vector in spoilt.vectors)


def test_kinds_pool_their_matrices(field: Field):
    measures = measured(field, noisy)
    query = next(kind for kind in measures.kinds if kind.kind == "query")
    parts = [tensor for tensor in measures.tensors if tensor.kind == "query"]
    assert query.tensors == 2
    assert query.achieved.sse == pytest.approx(sum(part.sse for part in parts))
    assert sum(kind.reference.sse for kind in measures.kinds) == pytest.approx(measures.reference.sse)


def test_bytes_and_ratios_are_those_of_the_file(field: Field):
    measures = measured(field, noisy, file_bytes=1000, places=600, functions=150)
    values = 24 * 16 + 24 + 24 * 16 + 39 * 16 + 16
    assert measures.sections == {"places": 600, "functions": 150, "header": 250}
    assert measures.ratio == (values * 4 + 7 * 8) / 1000
    assert measures.ratio_fp16 == (values * 2 + 7 * 8) / 1000
    assert measures.bits_per_weight == 8000 / (2 * 24 * 16 + 39 * 16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_floating_dtype_is_measured(dtype: torch.dtype):
    assert measured(tiny(weights(dtype)), torch.clone).exact
    assert 0.9 < measured(tiny(weights(dtype)), noisy).achieved.r2 < 1


def test_another_dtype_or_zero_is_not_bit_identical():
    field = tiny({"a.weight": torch.zeros(2, 2), "b.weight": torch.eye(3)})
    assert not measure(field, lambda name: -field.read(name), file_bytes=9, sections={}).exact
    double = measure(field, lambda name: field.read(name).double(), file_bytes=9, sections={})
    assert double.achieved.r2 == 1
    assert not double.exact


def test_a_constant_matrix_is_one_if_exact_and_otherwise_zero():
    field = tiny({"a.weight": torch.full((4, 4), 0.1), "b.weight": torch.randn(4, 4)})
    exact, damaged = measured(field, torch.clone), measured(field, lambda tensor: tensor + 0.5)
    assert [tensor.achieved.r2 for tensor in exact.tensors] == [1, 1]
    assert damaged.tensors[0].achieved.r2 == 0
    assert damaged.tensors[0].range_sigma == 0
    assert damaged.achieved.sse == pytest.approx(32 * 0.25)  # its error is not lost from the pool
    assert damaged.range_sigma_median == damaged.tensors[1].range_sigma


def test_a_network_without_matrices_has_no_pooled_figures():
    measures = measured(tiny({"a.bias": torch.randn(8), "scale": torch.tensor(2.0)}), lambda tensor: tensor + 1)
    assert "r2" not in measures.metrics()
    assert measures.worst is None
    assert Measures.from_json(measures.to_json()) == measures


def test_the_order_of_the_rebuilt_tensors_does_not_matter(field: Field):
    pairs = [(info.name, noisy(field.read(info.name))) for info in field.anatomy if info.floating]
    pairs.append(("position_ids", field.read("position_ids")))
    assert measure(field, reversed(pairs), file_bytes=9, sections={}) == measure(
        field, pairs, file_bytes=9, sections={}
    )


def test_small_chunks_give_the_same_figures(field: Field, monkeypatch: pytest.MonkeyPatch):
    whole = measured(field, noisy)
    monkeypatch.setattr(measuring, "CHUNK", 50)
    parts = measured(field, noisy)
    assert parts.achieved.sse == pytest.approx(whole.achieved.sse)
    assert parts.reference.r2 == pytest.approx(whole.reference.r2)
    assert parts.errors == whole.errors


def test_histograms_count_every_matrix_weight(field: Field):
    measures = measured(field, noisy)
    for histogram in (measures.errors, measures.values):
        assert sum(histogram.counts) + histogram.beyond == measures.achieved.weights


def test_measures_and_json_and_back_is_the_identity(field: Field):
    for measures in (measured(field, noisy, places=10), measured(field, torch.clone)):
        assert Measures.from_json(json.loads(json.dumps(measures.to_json(), allow_nan=False))) == measures


def test_damaged_json_is_refused(field: Field):
    value = measured(field, noisy).to_json()
    for name in ("tensors", "file_bytes", "errors"):
        with pytest.raises(ArtifactError, match="measure the DNA again"):
            Measures.from_json({key: part for key, part in value.items() if key != name})
    with pytest.raises(ArtifactError):
        Measures.from_json(value | {"tensors": [{"name": "x"}]})


def test_metrics_are_finite_and_flat(field: Field):
    for damage in (torch.clone, noisy, torch.zeros_like):
        assert all(math.isfinite(value) for value in measured(field, damage).metrics().values())


def test_a_missing_foreign_misshapen_or_infinite_tensor_is_named(field: Field):
    name = "layer.0.attention.self.query.weight"
    pairs = {info.name: field.read(info.name) for info in field.anatomy}
    wrong = {
        "missing": {key: tensor for key, tensor in pairs.items() if key != name},
        "another network": pairs | {name + ".foreign": torch.zeros(1)},
        r"rebuilt as \(16, 24\)": pairs | {name: pairs[name].T},
        "1 rebuilt values are not finite": pairs | {name: _with_nan(pairs[name])},
    }
    for message, tensors in wrong.items():
        with pytest.raises(ArtifactError, match=name + ".*" + message):
            measure(field, tensors.items(), file_bytes=9, sections={})


def _with_nan(tensor: Tensor) -> Tensor:
    spoilt = tensor.clone()
    spoilt[3, 3] = math.nan
    return spoilt


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 400), st.integers(0, 99))
def test_the_reference_lies_between_the_iid_one_and_exactness(rows: int, cols: int, file_bytes: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(rows, cols, generator=generator) * torch.rand(rows, 1, generator=generator)
    measures = measured(tiny({"a.weight": matrix}), noisy, file_bytes=file_bytes)
    assert measures.iid.r2 <= measures.reference.r2 + 0.02 <= 1.02


def test_structure_is_what_is_saved_against_gaussians_of_one_variance():
    """White noise coded at 1.5 bits a weight with the error that theory allows saves nothing."""
    field = tiny({"a.weight": torch.randn(200, 200, generator=torch.Generator().manual_seed(0))})
    measures = measured(field, lambda tensor: noisy(tensor, 2**-1.5), file_bytes=200 * 200 * 3 // 16)
    assert measures.structure_bits == pytest.approx(0, abs=0.02)
    assert measures.gap_db == pytest.approx(0, abs=0.2)


def test_bands_are_those_of_the_usual_table():
    assert [band(value, R2_BANDS) for value in (0.96, 0.95, 0.85, 0.5)] == ["excellent", "good", "fair", "poor"]
    assert [band(value, PSNR_BANDS) for value in (41, 35, 25, 10)] == ["excellent", "good", "fair", "poor"]


def test_nothing_measured_is_nothing_lost():
    assert Fidelity(0, 0.0, 0.0).r2 == 1
    assert Fidelity(0, 0.0, 0.0).mse == 0


@pytest.fixture(scope="module")
def minilm() -> Field:
    network = load("sample:minilm")
    return Field(network.anatomy, network.read, network.fingerprint)


@pytest.fixture(scope="module")
def coarse(minilm: Field) -> Measures:
    """All-MiniLM with its matrices at four levels, a scale for each row: 2 bits a weight at 22x would be too large."""
    return measured(minilm, _four_levels, file_bytes=round(minilm.anatomy.fp32_bytes / 22))


def _four_levels(tensor: Tensor) -> Tensor:
    if tensor.ndim != 2:
        return tensor
    step = 0.9957 * tensor.std(1, keepdim=True)
    return (torch.floor(tensor / step) + 0.5).clamp(-1.5, 1.5) * step


def test_the_reference_of_minilm_is_the_published_one(coarse: Measures):
    assert coarse.reference.r2 == pytest.approx(0.891, abs=0.003)
    assert coarse.iid.r2 == pytest.approx(0.877, abs=0.003)


@pytest.mark.parametrize(("ratio", "r2"), [(15, 0.958), (44, 0.697)])
def test_the_reference_of_minilm_follows_the_ratio(minilm: Field, ratio: float, r2: float):
    nothing = measured(minilm, torch.clone, file_bytes=round(minilm.anatomy.fp32_bytes / ratio))
    assert nothing.reference.r2 == pytest.approx(r2, abs=0.003)


def test_four_levels_of_minilm_reach_what_a_gaussian_would(coarse: Measures):
    """The best quantiser of four levels leaves 0.1175 of a Gaussian's variance (Max 1960)."""
    assert coarse.achieved.r2 == pytest.approx(1 - 0.1175, abs=0.01)
    assert len(coarse.tensors) == 40
    assert coarse.bits_per_weight == pytest.approx(32 / 22, rel=0.01)
    assert coarse.range_sigma_median > 10
