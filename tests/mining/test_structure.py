import json
from dataclasses import replace
from math import isfinite, log2

import numpy as np
import pytest
import torch
from small_networks import menagerie, network_of, stack
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.mining import coded
from dna_ray.mining.charges import charges
from dna_ray.mining.coding.curves import CurvesShape
from dna_ray.mining.coding.mean import Mean, Means, MeanShape
from dna_ray.mining.coding.side import read_side
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.kind import Payload
from dna_ray.mining.measure import measure
from dna_ray.mining.measures import Measures
from dna_ray.mining.structure import CALIBRATED, Structure, find_structure
from dna_ray.networks import Network
from dna_ray.tasks.sensitivity import Sensitivity

QUICK = MineConfig(kind="coded", effort=8)
NONE = Means()


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scaled(rows: int, cols: int) -> Tensor:
    """Gaussians with a scale for each row."""
    return randn(rows, 1, seed=1).exp() * randn(rows, cols)


def correlated(rows: int, cols: int) -> Tensor:
    """Rows that lie near a plane."""
    return randn(rows, 2) @ randn(2, cols, seed=1) + 0.05 * randn(rows, cols, seed=2)


def mixed() -> Network:
    """Three streams' worth of kinds: one with scales, one with a transform, one that is white, and vectors."""
    tensors = {"a": scaled(200, 24), "b": correlated(400, 24), "c": randn(90, 24, seed=5), "d": randn(80, 30, seed=6)}
    kinds = {"a": "ffn_in", "b": "word_embedding", "c": "query", "d": "ffn_in"}
    return network_of({**tensors, "norm": randn(24, seed=7)}, kinds=kinds)


def measured(field: Field, payload: Payload, means: Means = NONE) -> Measures:
    """As the file would be, if `means` were in it."""
    sections = {name: section.nbytes for name, section in payload.sections.items()}
    rebuilt = dict(coded.decode(payload, field.anatomy))
    rebuilt |= {info.name: rebuilt[info.tied_to] for info in field.anatomy if info.tied_to is not None}
    for i, info in enumerate(field.anatomy.matrices):
        if (mean := means.of(i)) is not None:
            rebuilt[info.name] = rebuilt[info.name] + torch.from_numpy(mean)
    return measure(field, rebuilt.__getitem__, file_bytes=payload.nbytes + 999, sections=sections)


def found(network: Network, budget: int) -> tuple[Structure, Payload, Measures]:
    field = read_field(network)
    payload = coded.fit(field, budget, QUICK)
    measures = measured(field, payload)
    structure = find_structure(field, payload, measures.tensors)
    assert structure is not None
    return structure, payload, measures


def of_matrices(payload: Payload) -> int:
    """Bits of all sections but those of vectors."""
    return 8 * sum(section.nbytes for name, section in payload.sections.items() if not name.startswith("vectors."))


@pytest.fixture(scope="module")
def mixture() -> tuple[Structure, Payload, Measures]:
    return found(mixed(), 4500)


def test_the_parts_of_every_kind_add_up_to_what_the_file_takes_less_than_iid_gaussians(mixture):
    structure, _, _ = mixture
    assert [kind.kind for kind in structure.kinds] == ["word_embedding", "ffn_in", "query"]
    for row in structure.rows:
        assert sum(row.parts.values()) == pytest.approx(row.iid - row.file, abs=1e-6)
        assert row.net == row.iid - row.file


def test_all_kinds_together_take_every_byte_of_the_matrices_sections(mixture):
    structure, payload, measures = mixture
    assert structure.total.file == pytest.approx(of_matrices(payload))
    assert structure.total.weights == measures.achieved.weights
    assert structure.exact == 0


def test_iid_gaussians_take_half_a_bit_for_each_halving_of_the_error(mixture):
    structure, _, measures = mixture
    expected = sum(t.achieved.weights / 2 * log2(t.sst / t.sse) for t in measures.tensors)
    assert structure.total.iid == pytest.approx(expected)
    assert structure.total.iid >= measures.iid_bits  # those may share their error out


def test_each_part_is_found_where_it_is(mixture):
    structure, payload, _ = mixture
    assert payload.params["turned"] == [-1, 0, -1, -1]
    embedding, ffn, query = (kind.per_weight for kind in structure.kinds)
    assert embedding["transform"] > 1
    assert ffn["transform"] == query["transform"] == 0
    assert ffn["scales"] > 0.3
    assert query["scales"] < 0.05


def test_on_white_noise_the_coder_loses_about_what_its_trellis_does_and_nothing_is_found():
    network = network_of({"a": randn(900, 200)})
    structure, _, _ = found(network, 900 * 200 * 2 // 8)
    figures = structure.total.per_weight
    assert figures["scales"] == pytest.approx(0, abs=0.03)
    assert figures["transform"] == 0
    assert -0.15 < figures["coder"] < 0  # a scalar quantizer would lose 0.25


def test_scales_save_the_mean_logarithm_that_they_level():
    matrix = scaled(600, 150)
    structure, _, _ = found(network_of({"a": matrix}), 600 * 150 * 6 // 8)
    power = matrix.double().square().mean(1)
    expected = float((power.mean().log2() - power.log2().mean()) / 2)
    assert structure.total.per_weight["scales"] == pytest.approx(expected, abs=0.05)


def test_matrices_of_one_stream_are_charged_as_if_they_were_alone():
    field = read_field(network_of({"a": randn(300, 40), "b": 8 * randn(300, 40, seed=1)}))
    payload = coded.fit(field, 9000, QUICK)
    matrices = field.anatomy.matrices
    taken = charges(payload, read_side(payload, matrices), NONE, matrices)
    assert len(payload.params["words"]) == 1
    assert (taken.coder[1] - taken.coder[0]) / (300 * 40) == pytest.approx(3, abs=0.2)
    assert float(taken.all.sum()) == pytest.approx(of_matrices(payload))


def test_a_mean_in_the_file_is_a_part_of_its_own():
    shape = MeanShape(1, CurvesShape(6, 3), None, (400, 24))
    mean = Mean(shape, (10 * randn(sum(shape.numbers))).half().numpy(), 0)
    means, white = Means((mean,)), {"a": randn(90, 24, seed=1), "b": randn(400, 24)}
    left = coded.fit(read_field(network_of(white)), 4000, QUICK)
    smooth = read_field(network_of({**white, "b": white["b"] + torch.from_numpy(mean.values())}))
    payload = Payload({**left.params, **means.params()}, {**left.sections, **means.sections()})
    structure = find_structure(smooth, payload, measured(smooth, left, means).tensors)
    without = find_structure(read_field(network_of(white)), left, measured(read_field(network_of(white)), left).tensors)
    assert structure is not None
    assert without is not None
    assert without.parts == ("scales", "transform", "coder")
    assert structure.parts == ("mean", *without.parts)
    assert structure.total.file == pytest.approx(of_matrices(payload))
    assert sum(structure.total.parts.values()) == pytest.approx(structure.total.net, abs=1e-6)
    assert structure.total.parts["mean"] == pytest.approx(
        structure.total.iid - without.total.iid - 8 * means.sections()["coded.means"].nbytes, rel=0.01
    )
    for part in without.parts:
        assert structure.total.parts[part] == pytest.approx(without.total.parts[part], abs=30)


def test_what_a_calibrated_file_spends_on_errors_that_weigh_more_is_called_so():
    matrix = randn(300, 24)
    field = read_field(network_of({"a": matrix}))
    weights = Sensitivity(randn(300, seed=1).double().exp().numpy(), np.diag(np.full(24, 1 / 24)).astype(np.float32))
    payload = coded.fit(field, 2500, QUICK, known={"a": weights})
    structure = find_structure(field, payload, measured(field, payload).tensors)
    assert structure is not None
    assert structure.parts == ("scales", "transform", CALIBRATED)
    assert structure.total.file == pytest.approx(of_matrices(payload))
    assert sum(structure.total.parts.values()) == pytest.approx(structure.total.net, abs=1e-6)
    assert structure.total.per_weight["scales"] == pytest.approx(0, abs=0.3)  # gains are no scales of the weights


def test_matrices_without_an_error_are_left_out_and_counted(mixture):
    _, payload, measures = mixture
    field = read_field(mixed())
    exact = [replace(tensor, sse=0.0) if tensor.name == "a" else tensor for tensor in measures.tensors]
    structure = find_structure(field, payload, exact)
    assert structure is not None
    assert structure.exact == 1
    assert structure.total.weights == measures.achieved.weights - 200 * 24
    assert find_structure(field, payload, [replace(tensor, sse=0.0) for tensor in exact]) is None


@pytest.mark.parametrize(
    "network",
    [
        menagerie(),
        stack(2),
        network_of({"a": torch.zeros(40, 30), "b": torch.full((50, 30), 0.3), "c": randn(60, 30)}),
        network_of({"a": 5 + 0.01 * randn(60, 30)}),
        network_of({"a": randn(60, 30).double() * 1e10}),
    ],
    ids=["menagerie", "stack", "constants", "offset", "float64"],
)
def test_every_network_has_finite_figures_that_add_up(network: Network):
    structure, _, _ = found(network, 2800)
    for row in structure.rows:
        assert all(isfinite(bits) for bits in row.per_weight.values())
        assert sum(row.parts.values()) == pytest.approx(row.net, abs=1e-6)


def test_a_network_without_matrices_has_none():
    field = read_field(network_of({"a": randn(9)}))
    assert find_structure(field, coded.fit(field, None, QUICK), ()) is None


def test_structure_goes_through_json(mixture):
    structure, _, _ = mixture
    written = json.loads(json.dumps(structure.to_json()))
    assert Structure.from_json(written) == structure
    assert written["per_weight"]["all"] == structure.total.per_weight
    for damaged in ({}, {**written, "kinds": [{"kind": "query"}]}, {**written, "exact": "many"}):
        with pytest.raises(ArtifactError, match="mine again"):
            Structure.from_json(damaged)
