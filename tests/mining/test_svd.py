from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import menagerie, network_of, pico
from torch import Tensor

from dna_ray.errors import ArtifactError, BudgetError
from dna_ray.mining import svd
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import read_dna, rebuild, write_dna
from dna_ray.mining.field import read_field
from dna_ray.mining.kind import Payload
from dna_ray.networks import Network

CONFIG = MineConfig(kind="svd")


def _randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _decaying(rows: int, cols: int) -> Tensor:
    """A matrix with singular values 1, 1/2, 1/3 ..."""
    left, right = torch.linalg.qr(_randn(rows, cols))[0], torch.linalg.qr(_randn(cols, cols, seed=1))[0]
    return left / torch.arange(1, cols + 1) @ right


def _r2(network: Network, budget: int | None) -> float:
    payload = svd.fit(read_field(network), budget, CONFIG)
    sse = sst = 0.0
    for name, tensor in svd.decode(payload, network.anatomy):
        if network.anatomy.by_name[name].is_matrix:
            original = network.read(name)
            sse += float((original - tensor).square().sum())
            sst += float((original - original.mean()).square().sum())
    return 1 - sse / sst


@pytest.mark.parametrize("shape", [(400, 30), (30, 400), (2, 900), (312, 39), (64, 64), (3, 2)])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.25])
def test_budget_is_met_for_every_shape(shape: tuple[int, int], share: float):
    field = read_field(network_of({"a": _randn(*shape)}))
    budget = max(int(share * 4 * shape[0] * shape[1]), 6)
    payload = svd.fit(field, budget, CONFIG)
    smallest_step = 3 + sum(-(-side // 8) for side in shape)
    assert budget - smallest_step < payload.nbytes <= budget or len(payload.sections["svd.widths"]) == min(shape)


def test_bytes_are_spent_to_half_a_percent_on_several_matrices():
    network = network_of({name: _decaying(120, 60) for name in "abc"} | {"d": _randn(60, 200)})
    budget = network.anatomy.fp32_bytes // 12
    assert 0.995 * budget <= svd.fit(read_field(network), budget, CONFIG).nbytes <= budget


def test_more_bytes_rebuild_more():
    network = network_of({"a": _decaying(90, 40), "b": _randn(40, 40)})
    quality = [_r2(network, budget) for budget in (300, 600, 1200, 2400, 4800)]
    assert quality == sorted(quality)
    assert quality[-1] > 0.9


def test_it_beats_a_plain_truncation_in_eight_bits():
    """At 22x one 8-bit component of a 384 x 384 matrix takes 771 bytes, so a plain SVD keeps 34 of them."""
    matrix = _decaying(384, 384)
    energy = torch.linalg.svdvals(matrix).square()
    plain = float(energy[:34].sum() / energy.sum())
    assert 1 - _r2(network_of({"a": matrix}), 4 * 384 * 384 // 22) < 0.75 * (1 - plain)


def test_without_a_budget_everything_is_kept_in_eight_bits():
    assert _r2(network_of({"a": _randn(50, 20), "b": _decaying(30, 30)}), None) > 0.9995


def test_matrices_of_zeros_and_of_one_value_come_back():
    network = network_of({"ones": torch.full((9, 7), 3.0), "zeros": torch.zeros(5, 6)})
    decoded = dict(svd.decode(svd.fit(read_field(network), None, CONFIG), network.anatomy))
    assert torch.equal(decoded["zeros"], torch.zeros(5, 6))
    assert torch.allclose(decoded["ones"], network.read("ones"), rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-25, 1e-10, 1e10, 1e25])
def test_the_scale_of_a_matrix_does_not_matter(scale: float):
    matrix = _decaying(40, 30)
    payload = svd.fit(read_field(network_of({"a": scale * matrix})), 800, CONFIG)
    plain = svd.fit(read_field(network_of({"a": matrix})), 800, CONFIG)
    (_, decoded), (_, expected) = (next(svd.decode(p, network_of({"a": matrix}).anatomy)) for p in (payload, plain))
    assert torch.allclose(decoded / scale, expected, atol=0.02)


def test_every_dtype_shape_and_tie_comes_back_through_the_file(tmp_path: Path):
    network = menagerie()
    payload = svd.fit(read_field(network), None, CONFIG)
    write_dna(tmp_path / "x", network=network, kind="svd", payload=payload)
    for name, tensor in rebuild(read_dna(tmp_path / "x"), {"svd": svd.KIND}):
        original = network.read(name)
        assert (tensor.dtype, tensor.shape) == (original.dtype, original.shape)
        if original.is_floating_point():
            assert torch.allclose(tensor.double(), original.double(), atol=0.05)
        else:
            assert torch.equal(tensor, original)


def test_a_network_without_matrices_is_only_vectors():
    field = read_field(network_of({"a": _randn(9)}))
    for budget in (None, 100):
        assert [name for name, _ in svd.decode(svd.fit(field, budget, CONFIG), field.anatomy)] == ["a"]


def test_the_same_field_gives_the_same_bytes():
    first, second = (svd.fit(read_field(pico()), 400, CONFIG) for _ in range(2))
    assert all(np.array_equal(first.sections[name], second.sections[name]) for name in first.sections)


def test_a_budget_that_is_too_small_names_one_that_is_not():
    field = read_field(pico())
    with pytest.raises(BudgetError, match="at least 36 bytes here, the budget is 35") as caught:
        svd.fit(field, 35, CONFIG)
    assert svd.fit(field, caught.value.smallest, CONFIG).nbytes == caught.value.smallest


def test_sections_that_do_not_fit_together_are_refused():
    field = read_field(pico())
    sections = dict(svd.fit(field, 300, CONFIG).sections)
    forged = {
        "svd.ranks": np.full_like(sections["svd.ranks"], 9),
        "svd.widths": np.full_like(sections["svd.widths"], 0x88),
        "svd.scales": np.full_like(sections["svd.scales"], np.inf),
        "svd.norms": np.full_like(sections["svd.norms"], np.nan),
        "svd.codes": sections["svd.codes"][:-1],
    }
    for name, section in [*forged.items(), ("svd.codes", np.append(sections["svd.codes"], np.uint8(0)))]:
        with pytest.raises(ArtifactError, match="svd|codes|rank"):
            list(svd.decode(Payload({}, sections | {name: section}), field.anatomy))
