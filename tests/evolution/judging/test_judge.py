from dataclasses import replace

import pytest
import small_subjects as small

from dna_ray.errors import TaskError
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.judging.judge import Judge, accuracy_difference, cosine_difference
from dna_ray.evolution.judging.latency import Latency, latency
from dna_ray.evolution.judging.layer_errors import bounds_of
from dna_ray.evolution.sparsity.pruner import Pruner
from dna_ray.evolution.subject.subject import prepare


@pytest.fixture(params=small.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_dense_network_agrees_with_itself(kind: str):
    of = small.subject(kind)
    found = Judge(of, small.space(of)).judge_dense()
    assert found.cosine.value == pytest.approx(1)
    assert found.disagreement is not None
    assert found.disagreement.measured == 0 < found.disagreement.bound
    assert found.accuracy is not None
    assert found.skipped == 0
    assert found.kept == found.weights
    assert found.nbytes == found.dense_nbytes
    difference = accuracy_difference(found, found)
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_a_sparse_network_is_judged_in_pairs_with_the_dense_one(kind: str):
    of = small.subject(kind)
    space = small.space(of, 0.7)
    judge, before = Judge(of, space), small.state(of)
    dense, found = judge.judge_dense(), judge.judge(small.agents(space)[1])
    assert small.same(small.state(of), before)
    assert found.kept == space.budget.total
    assert found.nbytes < found.dense_nbytes
    assert 0 < found.skipped < 1
    assert found.disagreement is not None
    assert found.disagreement.holds
    difference = cosine_difference(found, dense)
    assert difference.low < difference.value < difference.high < 0
    assert found.accuracy is not None
    assert dense.accuracy is not None
    assert accuracy_difference(found, dense).value == pytest.approx(found.accuracy.value - dense.accuracy.value)


def test_the_test_split_is_judged_in_single_precision_however_races_are_run(kind: str):
    exact = small.subject(kind)
    fast = prepare(small.network(kind), small.settings(precision="bfloat16"))
    space = small.space(exact, 0.7)
    agent = small.agents(space)[1]
    one, other = (Evaluator(each, space).evaluate_fully([agent])[0] for each in (exact, fast))
    assert one.losses != other.losses
    assert one.loss == pytest.approx(other.loss, rel=0.1)
    assert Judge(fast, space).judge(agent).cosines.equal(Judge(exact, space).judge(agent).cosines)


def test_uniform_sparsity_skips_as_large_a_share_of_the_multiply_adds_of_its_layers():
    of = small.subject("images")
    space = small.space(of, 0.5)
    found = Judge(of, space).judge(small.agents(space)[0])
    own = sum(layer.weights * layer.positions for layer in of.layers)
    assert 0 < own < of.multiply_adds, "the first convolution stays dense, and counts"
    assert found.skipped == pytest.approx(0.5 * own / of.multiply_adds, abs=0.01)


def test_what_was_judged_on_different_examples_is_not_compared():
    of = small.subject("images")
    found = Judge(of, small.space(of)).judge_dense()
    assert found.right is not None
    half = replace(found, right=found.right[::2], cosines=found.cosines[::2])
    with pytest.raises(TaskError, match="in pairs"):
        accuracy_difference(found, half)
    with pytest.raises(TaskError, match="paired"):
        cosine_difference(found, half)


@pytest.mark.parametrize("genes", [{}, {"repair": "scale"}, {"basis": "svd"}])
def test_layer_errors_are_what_is_measured(kind: str, genes: dict[str, str]):
    of = small.subject(kind)
    space, before = small.space(of, 0.6), small.state(of)
    agent = replace(small.agents(space)[1], **genes)
    pruned = Pruner(of.layers, of.matrices, of.statistics).prune(agent, space.kept(agent))
    found = bounds_of(of, pruned)
    assert small.same(small.state(of), before)
    assert list(found.errors) == [layer.name for layer in of.layers]
    for name, each in found.errors.items():
        assert each.bound == pytest.approx(each.measured, rel=1e-6, abs=1e-12 * found.energies[name])
    assert found.share(found.worst) == max(map(found.share, found.errors))
    assert "not a guarantee" in str(found.network)


def test_latency_is_measured_and_the_network_is_as_it_was():
    of = small.subject("texts")
    space, before = small.space(of, 0.9), small.state(of)
    agent = small.agents(space)[0]
    pruner = Pruner(of.layers, of.matrices, of.statistics)
    found = latency(of, pruner.prune(agent, space.kept(agent)), rounds=1)
    assert found.layers == len(of.layers)
    assert small.same(small.state(of), before)
    turned = replace(agent, basis="svd")
    assert latency(of, pruner.prune(turned, space.kept(turned)), rounds=1).sparse is None


@pytest.mark.parametrize(
    ("dense", "sparse", "words"),
    [
        (2.0, 1.0, "2.00x (1e+03 ms sparse, 2e+03 ms dense)"),
        (0.1, 0.1, "no speed-up on this device (100 ms sparse, 100 ms dense)"),
        (0.1, None, "no speed-up on this device: no layer with a sparse kernel"),
    ],
)
def test_latency_says_so_where_nothing_is_faster(dense: float, sparse: float | None, words: str):
    assert str(Latency(dense, sparse, 1, 8)) == words
