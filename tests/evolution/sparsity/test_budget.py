from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_layers import some_layers

from dna_ray.errors import RecipeError
from dna_ray.evolution.sparsity.budget import (
    Budget,
    apportion,
    from_levels,
    in_multiply_adds,
    in_weights,
    kept_of,
    to_levels,
)
from dna_ray.evolution.sparsity.layers import Layer

SPARSITIES = st.floats(0, 0.9)


def _wanted(layers: tuple[Layer, ...], seed: int) -> list[float]:
    return np.random.default_rng(seed).exponential(size=len(layers)).tolist()


@given(some_layers(), SPARSITIES, st.integers(0, 10**6))
def test_a_budget_in_weights_is_met_exactly(layers: tuple[Layer, ...], sparsity: float, seed: int):
    budget = in_weights(layers, sparsity)
    profile = apportion(_wanted(layers, seed), budget)
    assert sum(profile) == budget.total == ceil((1 - sparsity) * sum(layer.weights for layer in layers))
    assert all(1 <= kept <= layer.weights for kept, layer in zip(profile, layers, strict=True))


@given(some_layers(), SPARSITIES, st.integers(0, 10**6))
def test_a_budget_in_multiply_adds_is_met_to_less_than_one_weight_of_the_largest_layer(
    layers: tuple[Layer, ...], sparsity: float, seed: int
):
    budget = in_multiply_adds(layers, sparsity)
    profile = apportion(_wanted(layers, seed), budget)
    left = budget.total - budget.spent(profile)
    assert 0 <= left < max(layer.positions for layer in layers)
    assert all(1 <= kept <= layer.weights for kept, layer in zip(profile, layers, strict=True))


@given(some_layers(), SPARSITIES, st.data())
def test_levels_spend_the_budget_too_and_come_back(layers: tuple[Layer, ...], sparsity: float, data: st.DataObject):
    budget = in_weights(layers, sparsity)
    levels = data.draw(st.lists(st.integers(0, 64), min_size=len(layers), max_size=len(layers)))
    profile = from_levels(levels, budget)
    assert sum(profile) == budget.total
    back = to_levels(profile, budget, portions=1000)
    assert sum(back) == 1000
    assert from_levels(to_levels(profile, budget, portions=budget.total), budget) == profile


def _layers(*weights: int, positions: tuple[int, ...] = ()) -> tuple[Layer, ...]:
    places = positions or (1,) * len(weights)
    return tuple(
        Layer(f"{n}", "ffn_in", 0.0, 1, cols, place)
        for n, (cols, place) in enumerate(zip(weights, places, strict=True))
    )


def test_a_level_more_here_and_less_there_moves_one_portion():
    budget = in_weights(_layers(1000, 1000, 1000), 0.8)
    assert from_levels((2, 2, 2), budget) == (200, 200, 200)
    assert from_levels((3, 2, 1), budget) == (300, 200, 100)
    in_work = in_multiply_adds(_layers(1000, 1000, positions=(1, 10)), 0.8)
    assert from_levels((1, 1), in_work) == (1000, 120)  # the first is full, the second gets what it leaves


def test_a_layer_that_is_full_leaves_the_rest_to_the_others_in_proportion():
    assert apportion((10, 1, 2), in_weights(_layers(100, 1000, 1000), 1 - 700 / 2100)) == (100, 200, 400)


def test_remainders_go_to_the_largest_and_ties_to_the_first():
    assert apportion((1, 1, 1), Budget(8, (1, 1, 1), (9, 9, 9))) == (3, 3, 2)
    assert apportion((1.0, 1.4, 1.6), Budget(8, (1, 1, 1), (9, 9, 9))) == (2, 3, 3)


def test_what_is_wanted_nowhere_fills_up_when_the_others_are_full():
    assert apportion((1, 0, 0), Budget(12, (1, 1, 1), (4, 9, 9))) == (4, 4, 4)
    assert apportion((0, 0), Budget(6, (1, 1), (4, 8))) == (2, 4)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_sparsity_outside_its_range_is_refused_in_one_line(sparsity: float):
    with pytest.raises(RecipeError, match=r"sparsity is .*at least 0, below 1$"):
        kept_of(10, sparsity)


def test_what_is_kept_is_the_formula_as_floats_evaluate_it():
    assert [kept_of(10, each) for each in (0.0, 0.5, 0.55, 0.99)] == [10, 5, 5, 1]
    assert kept_of(2359296, 0.7) == ceil((1 - 0.7) * 2359296)


def test_a_budget_that_leaves_a_layer_nothing_is_refused():
    with pytest.raises(RecipeError, match="budget of 2 is too small for 3 layers"):
        in_weights(_layers(100, 100, 100), 0.994)


@pytest.mark.parametrize("wanted", [(1.0, -1.0), (1.0, float("nan")), (float("inf"), 1.0)])
def test_shares_that_cannot_be_are_refused(wanted: tuple[float, ...]):
    with pytest.raises(RecipeError, match="negative or non-finite"):
        apportion(wanted, Budget(5, (1, 1), (4, 4)))
