from math import inf

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from small_layers import normal, statistics_of
from torch import nn

from dna_ray.errors import InputError, RecipeError
from dna_ray.evolution.judging import bounds
from dna_ray.evolution.judging.bounds import Bound, Promise
from dna_ray.evolution.sparsity.masks import rank
from dna_ray.evolution.sparsity.statistics import gather
from dna_ray.evolution.sparsity.wina import compute_wina_mask, wanda

SEEDS = st.integers(0, 10**6)
SIDES = st.integers(1, 24)
SPARSITIES = st.floats(0, 0.99)


@given(SIDES, SIDES, st.integers(1, 300), SPARSITIES, SEEDS, st.booleans())
def test_the_error_of_a_layer_is_known_without_a_forward_pass(
    rows: int, cols: int, positions: int, sparsity: float, seed: int, rectified: bool
):
    weight, x = normal(rows, cols, seed=seed), normal(positions, cols, seed=seed + 1) * 3 + 1
    x = x.relu() if rectified else x
    sparse = torch.where(compute_wina_mask(x, weight, sparsity), weight, 0)
    found = bounds.layer_error(weight, sparse, statistics_of(x), x)
    assert found.promise is Promise.EQUAL
    assert found.bound == pytest.approx(found.measured, rel=1e-6, abs=1e-12)
    assert found.holds


def test_what_is_gathered_in_a_network_tells_the_error_of_its_layers():
    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 32), nn.ReLU(), nn.Conv1d(4, 4, 1))[:4]
    x = normal(3000, 64)
    found = gather(model, ["0.weight", "2.weight"], x.split(500), model).statistics
    for place, inputs in (("0.weight", x), ("2.weight", model[:2](x).detach())):
        weight = model.get_parameter(place).detach()
        mask = rank(wanda(weight, found[place])).mask(weight.numel() // 5)
        error = bounds.layer_error(weight, torch.where(mask, weight, 0), found[place], inputs)
        assert abs(error.ratio - 1) < 1e-6


def test_the_error_of_a_depthwise_convolution_is_no_promise():
    module = nn.Conv2d(4, 4, 3, groups=4)
    statistics = gather(module, ["weight"], [normal(3, 4, 9, 9)], module).statistics["weight"]
    weight = module.weight.detach().flatten(1)
    assert bounds.layer_error(weight, weight / 2, statistics, normal(5, 9)).promise is Promise.FORMULA


@given(SIDES, SIDES, st.integers(1, 100), SPARSITIES, SEEDS)
def test_the_error_of_dropped_inputs_is_exact_in_the_svd_basis(
    rows: int, cols: int, positions: int, sparsity: float, seed: int
):
    weight, x = normal(rows, cols, seed=seed), normal(positions, cols, seed=seed + 1)
    found = bounds.activation_error_in_svd_basis(weight, x, sparsity)
    scale = float((x.double() @ weight.double().T).square().sum(1).mean())
    assert found.bound == pytest.approx(found.measured, rel=1e-9, abs=1e-20 + 1e-13 * scale)


def test_in_the_basis_of_the_network_the_formula_can_be_far_off():
    weight, x = torch.ones(4, 8) + 0.1 * normal(4, 8), normal(200, 8).abs()
    found = bounds.activation_error(weight, x, 0.5)
    assert found.promise is Promise.FORMULA
    assert found.ratio < 0.5
    assert found.holds  # for it promises nothing


@given(st.integers(1, 400), st.floats(0, 1), st.floats(0.5, 0.999))
def test_so_much_disagreement_would_have_shown(samples: int, share: float, confidence: float):
    """At the limit, to see so few differ has the probability 1 - confidence."""
    differing = round(share * samples)
    found = bounds.disagreement(differing, samples, confidence=confidence)
    assert found.measured == differing / samples
    assert found.holds
    if differing < samples:
        assert binom.cdf(differing, samples, found.bound) == pytest.approx(1 - confidence, rel=1e-6)
    else:
        assert found.bound == 1


def test_three_hundred_without_a_difference_say_one_percent():
    assert bounds.disagreement(0, 299).bound == pytest.approx(0.00997, abs=1e-5)


@given(SIDES, SIDES, SEEDS, st.sampled_from([0, 1024]))
def test_a_spectral_norm_is_bounded_from_above(rows: int, cols: int, seed: int, exact: int):
    matrix = normal(rows, cols, seed=seed)
    norm = float(torch.linalg.matrix_norm(matrix.double(), 2))
    found = bounds.spectral_norm_bound(matrix, exact_up_to=exact)
    assert norm <= found
    if exact:
        assert found == pytest.approx(norm, rel=1e-9)


def test_a_ratio_says_how_loose_a_bound_is():
    assert Bound(6.0, 2.0).ratio == 3
    assert Bound(0.0, 0.0).ratio == 1
    assert Bound(1.0, 0.0).ratio == inf
    assert not Bound(1.0, 2.0).holds
    assert not Bound(2.0, 1.0, Promise.EQUAL).holds


def test_an_estimate_says_that_it_is_no_guarantee():
    found = bounds.estimated_error([1.0, 3.0, 0.0], [25.0, 25.0, 0.0])
    assert found.value == pytest.approx(0.4)
    assert str(found) == "0.4 (an estimate, not a guarantee: attention is not globally Lipschitz)"


def test_bad_input_is_refused_in_one_line():
    weight, x = normal(4, 6), normal(5, 6)
    with pytest.raises(InputError, match=r"\(4, 6\) cannot be compared with one \(4, 5\)"):
        bounds.expected_error(weight, normal(4, 5), statistics_of(x))
    with pytest.raises(InputError, match=r"6 inputs cannot be judged by moments \(5, 5\)"):
        bounds.expected_error(weight, weight, statistics_of(normal(5, 5)))
    for inputs in (normal(5, 5), normal(0, 6), normal(6)):
        with pytest.raises(InputError, match="do not fit a weight"):
            bounds.activation_error(weight, inputs, 0.5)
    with pytest.raises(RecipeError, match="sparsity is 2"):
        bounds.activation_error(weight, x, 2)
    for differing, samples, confidence in ((2, 1, 0.95), (-1, 5, 0.95), (0, 0, 0.95), (0, 5, 1.0)):
        with pytest.raises(InputError, match="no limit for"):
            bounds.disagreement(differing, samples, confidence=confidence)
