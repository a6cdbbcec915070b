from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_layers import normal, some_layers, statistics_of

from dna_ray.errors import FieldError, InputError, RecipeError
from dna_ray.evolution.sparsity import profile
from dna_ray.evolution.sparsity.budget import Budget, Profile, in_multiply_adds, in_weights
from dna_ray.evolution.sparsity.curves import ErrorCurve, error_curve
from dna_ray.evolution.sparsity.layers import Layer
from dna_ray.evolution.sparsity.masks import rank
from dna_ray.evolution.sparsity.wina import wanda


def _importances(layers: tuple[Layer, ...]) -> list[torch.Tensor]:
    return [normal(layer.rows, layer.cols, seed=n).abs() ** (n + 1) for n, layer in enumerate(layers)]


def _curves(layers: tuple[Layer, ...]) -> list[ErrorCurve]:
    return [
        error_curve(normal(layer.rows, layer.cols, seed=n), statistics_of(normal(4, layer.cols)), points=33)
        for n, layer in enumerate(layers)
    ]


RULES: dict[str, Callable[[tuple[Layer, ...], Budget], Profile]] = {
    "uniform": profile.uniform,
    "erk": profile.erk,
    "owl": lambda layers, budget: profile.owl(layers, budget, _importances(layers)),
    "water-filling": lambda layers, budget: profile.water_filling(layers, budget, _curves(layers)),
    "linear": lambda layers, budget: profile.scheduled(layers, budget, profile.linear(1, 0)),
    "cosine": lambda layers, budget: profile.scheduled(layers, budget, profile.cosine(0.2, 1)),
}


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=30)
@given(layers=some_layers(largest=40), sparsity=st.floats(0, 0.9))
def test_every_rule_spends_the_same_budget(rule: str, layers: tuple[Layer, ...], sparsity: float):
    budget = in_weights(layers, sparsity)
    found = RULES[rule](layers, budget)
    assert sum(found) == budget.total
    assert all(1 <= kept <= layer.weights for kept, layer in zip(found, layers, strict=True))

    work = in_multiply_adds(layers, sparsity)
    left = work.total - work.spent(RULES[rule](layers, work))
    assert 0 <= left < max(layer.positions for layer in layers)


@settings(max_examples=40)
@given(some_layers(largest=12), st.floats(0, 0.9))
def test_scope_global_keeps_the_top_of_all_layers(layers: tuple[Layer, ...], sparsity: float):
    budget, importances = in_weights(layers, sparsity), _importances(layers)
    importances[0] = importances[0].round()  # ties
    kept = profile.global_top(layers, budget, importances)
    masks = [rank(each, scope="global").mask(k) for k, each in zip(kept, importances, strict=True)]
    every = torch.cat([each.flatten() for each in importances])
    naive = sorted(range(len(every)), key=lambda place: (-float(every[place]), place))[: budget.total]
    assert sorted(naive) == torch.cat([mask.flatten() for mask in masks]).nonzero().flatten().tolist()


def _layer(depth: float = 0.0, *, rows: int = 10, cols: int = 100, kernel: tuple[int, ...] = ()) -> Layer:
    return Layer("", "ffn_in", depth, rows, cols, 1, kernel)


def test_uniform_keeps_the_same_share_of_every_layer():
    layers = (_layer(), _layer(rows=40), _layer(cols=20))
    assert profile.uniform(layers, in_weights(layers, 0.9)) == (100, 400, 20)


def test_erk_keeps_as_many_weights_as_a_layer_has_sides():
    layers = (_layer(rows=10, cols=90, kernel=(3, 3)), _layer(rows=200, cols=100), _layer(rows=200, cols=400))
    sides = (10 + 10 + 3 + 3, 300, 600)
    assert profile.erk(layers, Budget(9260, (1,) * 3, tuple(x.weights for x in layers))) == tuple(s * 10 for s in sides)
    full = profile.erk(layers, in_weights(layers, 0.3))
    assert full[0] == 900  # kept whole
    assert full[2] > full[1]


def test_owl_gives_more_to_depths_with_outliers_within_its_spread():
    layers = (_layer(0.0), _layer(0.0), _layer(0.5), _layer(1.0))
    importances = [torch.ones(10, 100) for _ in layers]
    importances[0][:, :5] = 100
    importances[3][:, :1] = 100
    kept = profile.owl(layers, in_weights(layers, 0.7), importances, spread=0.1)
    assert kept[0] == kept[1]  # one depth
    assert kept[0] > kept[3] > kept[2]
    assert (max(kept) - min(kept)) / 1000 == pytest.approx(0.2, rel=0.1)
    same = profile.owl(layers, in_weights(layers, 0.7), [torch.ones(10, 100)] * 4)
    assert same == profile.uniform(layers, in_weights(layers, 0.7))


def test_water_filling_finds_the_least_error_that_there_is():
    layers = tuple(_layer(rows=2, cols=4) for _ in range(3))
    weights, inputs = [normal(2, 4, seed=n) * 3**n for n in range(3)], statistics_of(normal(50, 4))
    curves = [error_curve(weight, inputs) for weight in weights]
    budget = in_weights(layers, 0.5)
    kept = profile.water_filling(layers, budget, curves)

    def error(each: Profile) -> float:
        return sum(curve.at(k) for curve, k in zip(curves, each, strict=True))

    every = [each for each in product(range(1, 9), repeat=3) if sum(each) == budget.total]
    assert error(kept) == pytest.approx(min(map(error, every)), rel=1e-12)


def test_water_filling_takes_the_lower_hull_of_a_curve_that_is_not_convex():
    cliff = ErrorCurve(np.array([1, 50, 99, 100]), np.array([10.0, 9.9, 9.8, 0.0]))
    slope = ErrorCurve(np.array([1, 100]), np.array([5.0, 0.0]))
    layers = (_layer(rows=1), _layer(rows=1))
    assert profile.water_filling(layers, Budget(101, (1, 1), (100, 100)), [cliff, slope]) == (100, 1)


def test_a_dearer_layer_gets_less_where_the_budget_is_in_multiply_adds():
    layers = tuple(Layer("", "convolution", 0.0, 10, 90, positions, (3, 3)) for positions in (1, 64))
    curves = [error_curve(normal(10, 90), statistics_of(normal(50, 90)))] * 2
    kept = profile.water_filling(layers, in_multiply_adds(layers, 0.5), curves)
    assert kept[0] > 850 > 450 > kept[1]


def test_an_error_curve_is_the_error_of_the_best_masks():
    weight, inputs = normal(6, 7), statistics_of(normal(50, 7) * torch.arange(1, 8))
    curve = error_curve(weight, inputs)
    table = rank(wanda(weight, inputs))
    assert curve.kept.tolist() == list(range(1, 43))
    for kept in (1, 20, 42):
        lost = torch.where(table.mask(kept), 0, weight).double().square() * inputs.rms.double().square()
        assert curve.at(kept) == pytest.approx(float(lost.sum()), rel=1e-12)
    assert (np.diff(curve.error) <= 0).all()
    assert curve.error[-1] == 0


@pytest.mark.parametrize("schedule", [profile.linear(0.2, 0.6), profile.cosine(0.2, 0.6)])
def test_a_schedule_goes_from_its_first_share_to_its_last(schedule: profile.Schedule):
    assert [schedule(depth) for depth in (0.0, 0.5, 1.0)] == pytest.approx([0.2, 0.4, 0.6])
    assert 0.2 < schedule(0.25) < 0.4
    layers = tuple(_layer(depth) for depth in (0.0, 0.5, 1.0))
    assert profile.scheduled(layers, in_weights(layers, 0.6), schedule) == (200, 400, 600)


def test_what_cannot_be_is_refused_in_one_line():
    layers = (_layer(),)
    with pytest.raises(RecipeError, match="spread is -1"):
        profile.owl(layers, in_weights(layers, 0.5), _importances(layers), spread=-1)
    with pytest.raises(FieldError, match="importance is NaN"):
        profile.global_top(layers, in_weights(layers, 0.5), [torch.full((10, 100), torch.nan)])
    deep = (Layer("", "convolution", 0.0, 10, 100, 9),)
    with pytest.raises(RecipeError, match="give the budget in weights"):
        profile.global_top(deep, in_multiply_adds(deep, 0.5), _importances(deep))
    with pytest.raises(InputError, match="7 inputs cannot be judged by statistics of 6"):
        error_curve(normal(6, 7), statistics_of(normal(4, 6)))
    with pytest.raises(InputError, match="not finite"):
        error_curve(torch.full((6, 7), torch.nan), statistics_of(normal(4, 7)))
