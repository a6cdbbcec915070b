from dataclasses import replace
from math import nan

import pytest
import small_subjects as small
import torch
from torch import nn

from dna_ray.errors import TaskError
from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.metric.founders import FOUNDERS
from dna_ray.evolution.subject.subject import prepare
from dna_ray.networks import Network


@pytest.fixture(params=small.KINDS)
def evaluator(request: pytest.FixtureRequest) -> Evaluator:
    of = small.subject(request.param)
    return Evaluator(of, small.space(of))


def figures(evaluations: list[Evaluation]) -> list[Evaluation]:
    return [replace(each, seconds=0.0) for each in evaluations]


def of_images(**options: object) -> Evaluator:
    of = small.subject("images")
    return Evaluator(of, small.space(of), **options)  # type: ignore[arg-type]


def test_a_third_goes_on_at_each_rung(evaluator: Evaluator):
    found = evaluator.evaluate(small.agents(evaluator.space) + [varied(evaluator)])
    assert sorted(each.rung for each in found) == [1] * 6 + [4, 4, 16]
    far = [each for each in found if each.rung > 1]
    assert max(each.losses[0] for each in far) <= min(each.losses[0] for each in found if each.rung == 1)


def varied(evaluator: Evaluator) -> Agent:
    return replace(small.agents(evaluator.space)[0], scope="row")


def test_results_are_the_same_in_any_order(evaluator: Evaluator):
    agents = small.agents(evaluator.space)
    assert figures(evaluator.evaluate(agents[::-1]))[::-1] == figures(evaluator.evaluate(agents))


def test_losses_are_the_same_in_any_company(evaluator: Evaluator):
    agents = small.agents(evaluator.space)
    together, alone = evaluator.evaluate(agents), [evaluator.evaluate([agent])[0] for agent in agents]
    assert all(each.rung == 16 for each in alone)
    for one, other in zip(together, alone, strict=True):
        assert one.losses == other.losses[: one.rung]
    assert figures(evaluator.evaluate_fully(agents)) == figures(alone)


def test_the_network_is_as_it_was(evaluator: Evaluator):
    before = small.state(evaluator.subject)
    genes = [{}, {"repair": "scale"}, {"repair": "batch-norm"}, {"basis": "svd"}, {"scope": "row"}, {"pattern": "n:4"}]
    agents = [replace(small.agents(evaluator.space)[1], **each) for each in genes]
    assert all(each.status == "ok" for each in evaluator.evaluate_fully(agents))
    assert small.same(small.state(evaluator.subject), before)


def test_kept_weights_are_those_of_the_budget(evaluator: Evaluator):
    for each in evaluator.evaluate(small.agents(evaluator.space)):
        assert each.kept == evaluator.space.budget.total


def test_multiply_adds_count_positions():
    evaluator = of_images()
    agent = small.agents(evaluator.space)[0]
    profile = evaluator.space.kept(agent)
    expected = sum(kept * layer.positions for kept, layer in zip(profile, evaluator.space.layers, strict=True))
    assert evaluator.evaluate([agent])[0].multiply_adds == expected


def test_turning_inputs_is_counted():
    evaluator = of_images()
    agent = small.agents(evaluator.space)[0]
    plain, turned = evaluator.evaluate([agent])[0], evaluator.evaluate([replace(agent, basis="svd")])[0]
    turns = sum(layer.cols**2 * layer.positions for layer in evaluator.space.layers)
    assert turned.multiply_adds == plain.multiply_adds + turns


def test_a_dense_agent_loses_nothing_in_either_basis(evaluator: Evaluator):
    space = small.space(evaluator.subject, sparsity=0.0)
    agent = small.agents(space)[0]
    dense = Evaluator(evaluator.subject, space)
    for basis in ("none", "svd"):
        assert dense.evaluate([replace(agent, basis=basis)])[0].loss == pytest.approx(0, abs=1e-6)


def test_a_forgetful_evaluator_says_the_same(evaluator: Evaluator):
    agents = small.agents(evaluator.space)
    forgetful = Evaluator(evaluator.subject, evaluator.space, memory=1)
    assert figures(forgetful.evaluate(agents)) == figures(evaluator.evaluate(agents))


def test_agents_of_one_genome_run_once(evaluator: Evaluator):
    agent = small.agents(evaluator.space)[0]
    child = replace(agent, parents=(agent.id,), operator="nothing")
    first, second = evaluator.evaluate([agent, child])
    assert (first.status, second.status) == ("ok", "duplicate")
    assert (second.agent, second.losses, second.kept) == (child.id, first.losses, first.kept)


def test_an_agent_of_another_network_fails_and_the_others_go_on(evaluator: Evaluator):
    stranger = Agent((1, 2), (("*", FOUNDERS["wina"]),))
    agents = [stranger, *small.agents(evaluator.space)]
    found = evaluator.evaluate(agents)
    assert found[0].failed
    assert "2 levels" in found[0].reason
    assert figures(found[1:]) == figures(evaluator.evaluate(agents[1:]))


def test_no_agents_no_evaluations(evaluator: Evaluator):
    assert evaluator.evaluate([]) == []


def test_a_network_that_answers_nan_fails():
    of = prepare(small.network("images"), small.settings())
    last = [module for module in of.model.modules() if isinstance(module, nn.Linear)][-1]
    last.bias.data = torch.full_like(last.bias, nan)
    evaluator = Evaluator(of, small.space(of))
    found = evaluator.evaluate(small.agents(evaluator.space))
    assert all(each.failed and "NaN" in each.reason for each in found)


@pytest.mark.parametrize("signal", ["kl", "loss", "cosine"])
def test_every_signal_finds_more_weights_better(signal: str):
    of = prepare(small.network("texts"), small.settings(signal=signal))
    losses = []
    for sparsity in (0.1, 0.9):
        space = small.space(of, sparsity)
        losses.append(Evaluator(of, space).evaluate_fully(small.agents(space))[1].loss)
    assert losses[0] < losses[1] or signal == "loss"  # of a random network labels are guessed either way


def test_repair_by_scale_lowers_the_error_of_each_layer():
    evaluator = of_images()
    agent = small.agents(small.space(evaluator.subject, 0.8))[0]
    from dna_ray.evolution.judging.bounds import expected_error

    profile = small.space(evaluator.subject, 0.8).kept(agent)
    plain = evaluator.pruner.prune(agent, profile).matrices
    mended = evaluator.pruner.prune(replace(agent, repair="scale"), profile).matrices
    for name, dense in evaluator.subject.matrices.items():
        statistics = evaluator.subject.statistics[name]
        assert expected_error(dense, mended[name], statistics) <= expected_error(dense, plain[name], statistics)


def zeros(network: Network) -> float:
    """A task of one's own: the share of weights that are zero."""
    infos = network.anatomy.matrices
    return sum(int((network.read(info.name) == 0).sum()) for info in infos) / network.anatomy.weights


def test_an_own_task_sees_the_sparse_network_once():
    evaluator = of_images(task=zeros)
    found = evaluator.evaluate(small.agents(evaluator.space))
    layers = sum(layer.weights for layer in evaluator.space.layers)
    expected = (layers - evaluator.space.budget.total) / evaluator.subject.network.anatomy.weights
    assert [each.losses for each in found] == [(pytest.approx(expected),)] * len(found)


def test_an_own_task_may_return_metrics():
    evaluator = of_images(task=lambda network: {"accuracy": 0.5, "loss": (1.25, 0.1)})
    assert evaluator.evaluate(small.agents(evaluator.space)[:1])[0].losses == (1.25,)


def spoil(network: Network) -> float:
    network.read(network.anatomy.matrices[0].name).zero_()
    return 1.0


def spoil_and_raise(network: Network) -> float:
    spoil(network)
    raise ValueError("too late\nfor this")


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (lambda network: nan, "its loss is nan"),
        (lambda network: "good", "returned 'good'"),
        (lambda network: {"accuracy": 1.0}, "with a 'loss'"),
        (lambda network: True, "returned True"),
        (spoil, "changed the network"),
        (spoil_and_raise, "ValueError: too late for this"),
    ],
)
def test_an_own_task_that_fails_says_why_in_one_line(task: object, reason: str):
    evaluator = of_images(task=task)
    before = small.state(evaluator.subject)
    found = evaluator.evaluate(small.agents(evaluator.space)[:2])
    assert all(each.failed and reason in each.reason and "\n" not in each.reason for each in found)
    assert small.same(small.state(evaluator.subject), before)


def test_a_network_that_a_task_changed_is_put_right_for_the_next_agent():
    calls = []

    def once(network: Network) -> float:
        calls.append(float(sum(network.read(info.name).abs().sum() for info in network.anatomy if info.floating)))
        return spoil_head(network) if len(calls) == 1 else 1.0

    def spoil_head(network: Network) -> float:
        network.read("classifier.1.weight").zero_()
        return 1.0

    evaluator = of_images(task=once)
    agent = small.agents(evaluator.space)[0]
    assert evaluator.evaluate([agent])[0].failed
    assert evaluator.evaluate([agent])[0].status == "ok"
    assert calls[0] == calls[1]


def test_a_task_that_is_not_there_is_named():
    of = prepare(small.network("images"), small.settings(signal="no_such_module:loss"))
    with pytest.raises(TaskError, match="no_such_module"):
        Evaluator(of, small.space(of))
