import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_layers import some_layers
from synthetic import curves, founders_of, space_of

from dna_ray.evolution.agent import Agent, metrics_of
from dna_ray.evolution.metric.founders import FOUNDERS
from dna_ray.evolution.search.operators import OPERATORS, operators_of
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.budget import in_multiply_adds, in_weights

OF_LEVELS = {name for name in OPERATORS if name.startswith(("level", "guided", "group", "profile"))}


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    layers = draw(some_layers(largest=60))
    budget = draw(st.sampled_from([in_weights, in_multiply_adds]))(layers, draw(st.floats(0, 0.9)))
    return Space(
        layers=layers,
        budget=budget,
        curves=draw(st.sampled_from([(), curves(layers)])),
        patterns=("unstructured", "column", "n:4"),
        bases=("none", "svd"),
        repairs=("none", "scale"),
        mutation_rate=draw(st.floats(0, 1)),
    )


def _two(space: Space, rng: np.random.Generator) -> list[Agent]:
    some = [rng.integers(0, limit * cost, endpoint=True).tolist() for limit, cost in _sizes(space)]
    other = [limit * cost for limit, cost in _sizes(space)]
    metrics = [metrics_of({"*": program}) for program in list(FOUNDERS.values())[:2]]
    return [Agent(space.projected(levels), metric) for levels, metric in zip((some, other), metrics, strict=True)]


def _sizes(space: Space) -> list[tuple[int, int]]:
    return list(zip(space.budget.limits, space.budget.costs, strict=True))


@settings(max_examples=60, deadline=None)
@given(spaces(), st.integers(0, 10**6))
def test_any_chain_of_operators_spends_the_budget_exactly(space: Space, seed: int):
    rng = np.random.default_rng(seed)
    agents = _two(space, rng)
    names = operators_of(space)
    for _ in range(12):
        pair = [agents[place] for place in rng.integers(len(agents), size=2).tolist()]
        agents.append(OPERATORS[names[int(rng.integers(len(names)))]].make(pair, space, rng))
    for agent in agents:
        profile = space.kept(agent)
        left = space.budget.total - space.budget.spent(profile)
        assert 0 <= left < max(space.budget.costs)  # of a budget in weights nothing is left
        assert all(1 <= kept <= limit for kept, limit in zip(profile, space.budget.limits, strict=True))


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_is_a_function_of_its_arguments_and_names_its_parents(name: str):
    space = space_of()
    parents = founders_of(space)[:2]
    one, same = (OPERATORS[name].make(parents, space, np.random.default_rng(5)) for _ in range(2))
    assert one == same
    if one is parents[0]:  # nothing has changed
        return
    assert one.operator == name
    assert one.parents[0] == parents[0].id
    assert set(one.parents) <= {parent.id for parent in parents}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_changes_what_it_is_named_for_and_nothing_else(name: str):
    space, rng = space_of(), np.random.default_rng(0)
    parents = founders_of(space)[:2]
    for _ in range(20):
        child = OPERATORS[name].make(parents, space, rng)
        if name in OF_LEVELS:
            assert (child.metrics, child.scope) == (parents[0].metrics, parents[0].scope)
        else:
            assert child.levels == parents[0].levels


@pytest.mark.parametrize("name", sorted(OF_LEVELS - {"profile-crossover", "profile-mix"}))
def test_a_move_of_levels_gives_another_genome(name: str):
    space, rng = space_of(), np.random.default_rng(0)
    parents = founders_of(space)[1:3]
    assert OPERATORS[name].make(parents, space, rng).genome != parents[0].genome


def test_a_guided_switch_lowers_the_error_that_it_looks_at():
    space, rng = space_of(), np.random.default_rng(1)
    parents = founders_of(space)[:1]
    before = _error(parents[0], space)
    better = [_error(OPERATORS["guided-switch"].make(parents * 2, space, rng), space) < before for _ in range(50)]
    assert sum(better) >= 40  # a large switch may overshoot


def _error(agent: Agent, space: Space) -> float:
    return sum(curve.at(kept) for curve, kept in zip(space.curves, space.kept(agent), strict=True))


def test_a_flip_takes_what_the_space_allows_and_keeps_genes_together():
    space = Space(layers=space_of().layers, budget=space_of().budget, patterns=("unstructured", "n:4"))
    agent, seen = founders_of(space)[0], set()
    rng = np.random.default_rng(2)
    for _ in range(40):
        agent = OPERATORS["gene-flip"].make((agent, agent), space, rng)
        seen.add((agent.scope, agent.pattern))
    assert seen == {("layer", "unstructured"), ("row", "unstructured"), ("layer", "n:4")}


def test_ablations_leave_no_operator_of_their_gene():
    space = space_of()
    still = Space(layers=space.layers, budget=space.budget, curves=space.curves, profile_gene=False)
    assert not OF_LEVELS & set(operators_of(still))
    fixed = Space(layers=space.layers, budget=space.budget, metric_gene=False, scopes=("layer",))
    assert set(operators_of(fixed)) == OF_LEVELS - {"guided-switch"}
    assert set(operators_of(space)) == set(OPERATORS)
