import pytest
import torch

from dna_ray.evolution.metric.founders import FOUNDERS
from dna_ray.evolution.metric.probes import ordinary, rank_hash, unkind
from dna_ray.evolution.metric.source import from_python


def hash_of(text: str) -> str:
    return rank_hash(from_python(text))


@pytest.mark.parametrize(
    "other",
    ["X1 * absW", "2 * absW * X1", "sqrt(absW * X1)", "log1p(absW * X1)", "sqr(W * X1)", "neg(inv_safe(absW * X1))"],
)
def test_programs_that_put_weights_in_one_order_have_one_hash(other: str):
    assert hash_of(other) == hash_of("absW * X1")


def test_programs_that_put_weights_in_other_orders_have_other_hashes():
    texts = ["absW", "W", "X1", "absW * X1", "absW * X2", "absW * Xmax", "neg(absW)", "depth", "row_l1", "row_l2"]
    texts += ["rank(absW)", "minmax(absW)", "zscore(absW)", "absW * depth", "absW * fan_in", "col_l1", "col_l2"]
    assert len({hash_of(text) for text in texts}) == len(texts)


def test_founders_differ():
    assert len({rank_hash(program) for program in FOUNDERS.values()}) == len(FOUNDERS)


def test_unkind_probes_hold_what_goes_wrong():
    weights = [probe.weight for probe in unkind()]
    assert any(not weight.any() for weight in weights)
    assert any(weight.abs().max() > 1e38 for weight in weights)
    assert any(0 < weight.abs().max() < torch.finfo(torch.float32).tiny for weight in weights)
    assert any(weight.max() < 0 for weight in weights)
    assert {1} <= {weight.shape[0] for weight in weights} & {weight.shape[1] for weight in weights}


def test_ordinary_probes_never_tie():
    for probe in ordinary():
        assert len(probe.weight.abs().unique()) == probe.layer.weights
