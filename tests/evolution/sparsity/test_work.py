import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from small_layers import some_layers

from dna_ray.errors import RecipeError
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.budget import apportion, in_weights
from dna_ray.evolution.sparsity.layers import Layer
from dna_ray.evolution.sparsity.profile import uniform
from dna_ray.evolution.sparsity.work import work_limit


def dense(layers: tuple[Layer, ...]) -> int:
    return sum(layer.weights * layer.positions for layer in layers)


def work(layers: tuple[Layer, ...], kept: tuple[int, ...]) -> int:
    return sum(layer.positions * each for layer, each in zip(layers, kept, strict=True))


@given(some_layers(), st.floats(0.05, 0.9), st.floats(0.01, 1), st.integers(0, 10**6))
def test_a_profile_saves_what_was_asked_for_and_spends_the_same_weights(
    layers: tuple[Layer, ...], sparsity: float, share: float, seed: int
):
    budget = in_weights(layers, sparsity)
    skip = share * (1 - work(layers, uniform(layers, budget)) / dense(layers))
    assume(0 < skip < 1)
    limit = work_limit(layers, budget, dense=dense(layers), skip=skip * (1 - 1e-9))
    assume(limit)
    before = apportion(np.random.default_rng(seed).exponential(size=len(layers)).tolist(), budget)
    after = limit.within(before)
    assert dense(layers) - work(layers, after) >= round(skip * (1 - 1e-9) * dense(layers))
    assert sum(after) == budget.total
    for layer, one, kept, other in zip(layers, before, after, limit.even, strict=True):
        assert min(one, other) <= kept <= max(one, other) <= layer.weights
    if work(layers, before) <= limit.most:
        assert after == before
    else:
        assert limit.most - work(layers, after) < sum(layer.positions for layer in layers), "no further than it takes"
    assert limit.within(after) == after


def two(skip: float, sparsity: float = 0.5) -> Space:
    """A layer whose weights serve nine positions of an image, and one whose weights serve one."""
    first = Layer("first", "convolution", 0.0, 10, 10, positions=9, kernel=(1, 1))
    layers = (first, replace(first, name="second", depth=1.0, positions=1))
    budget = in_weights(layers, sparsity)
    return Space(layers=layers, budget=budget, work=work_limit(layers, budget, dense=1000, skip=skip))


@pytest.mark.parametrize(
    ("skip", "expected"), [(0.0, (90, 10)), (0.18, (90, 10)), (0.26, (80, 20)), (0.257, (80, 20)), (0.5, (50, 50))]
)
def test_levels_are_moved_toward_the_uniform_profile_as_far_as_it_takes(skip: float, expected: tuple[int, int]):
    space = two(skip)
    assert space.profile((90, 10)) == space.projected((900, 100)) == space.levels((90, 10)) == expected
    assert space.projected((10, 90)) == (10, 90), "this one computes little"


@pytest.mark.parametrize("skip", [0.51, 0.9])
def test_more_than_zeros_in_all_layers_alike_save_is_refused(skip: float):
    with pytest.raises(RecipeError, match=re.escape("spread evenly, save 0.5000 of the multiply-adds; ask for less")):
        two(skip)


@pytest.mark.parametrize("skip", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(skip: float):
    with pytest.raises(RecipeError, match="at least 0, below 1"):
        two(skip)
