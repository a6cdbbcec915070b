from math import ceil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_layers import normal, statistics_of
from torch import Tensor

from dna_ray.errors import DnaRayError, FieldError, InputError, RecipeError
from dna_ray.evolution.sparsity.masks import rank
from dna_ray.evolution.sparsity.wina import SCORES, compute_wina_mask, wina_activation

SMALL = st.integers(-3, 3).map(float)  # exact in any order of sums, with ties


def _matrix(rows: st.SearchStrategy[int], cols: int) -> st.SearchStrategy[Tensor]:
    return rows.flatmap(
        lambda n: st.lists(st.lists(SMALL, min_size=cols, max_size=cols), min_size=n, max_size=n).map(torch.tensor)
    )


INPUTS_AND_WEIGHTS = st.integers(1, 6).flatmap(
    lambda cols: st.tuples(_matrix(st.sampled_from([1, 2, 4]), cols), _matrix(st.integers(1, 5), cols))
)
SPARSITIES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.6, 0.7, 0.9, 0.99])


@settings(max_examples=60)
@given(INPUTS_AND_WEIGHTS, SPARSITIES)
def test_a_wina_mask_is_that_of_a_naive_loop(drawn: tuple[Tensor, Tensor], sparsity: float):
    x, weight = drawn
    batch, cols = x.shape
    rows = len(weight)
    scores = {}
    for i in range(rows):
        for j in range(cols):
            mean = sum(abs(float(x[b, j])) for b in range(batch)) / batch
            scores[i, j] = abs(float(weight[i, j])) * mean
    top = sorted(scores, key=lambda place: (-scores[place], place))[: ceil((1 - sparsity) * (rows * cols))]
    mask = compute_wina_mask(x, weight, sparsity)
    assert mask.dtype == torch.bool
    assert {(i, j) for i, j in scores if mask[i, j]} == set(top)


def test_tokens_of_texts_count_as_inputs():
    x, weight = normal(4, 5, 6), normal(3, 6)
    assert torch.equal(compute_wina_mask(x, weight, 0.5), compute_wina_mask(x.flatten(0, 1), weight, 0.5))


def test_half_precision_and_gradients_change_nothing_but_the_numbers():
    x, weight = normal(8, 6).half(), normal(4, 6).half().requires_grad_()
    assert torch.equal(compute_wina_mask(x, weight, 0.5), compute_wina_mask(x.float(), weight.float(), 0.5))


@settings(max_examples=60)
@given(INPUTS_AND_WEIGHTS, SPARSITIES)
def test_each_token_keeps_the_inputs_that_pull_most(drawn: tuple[Tensor, Tensor], sparsity: float):
    x, weight = drawn
    kept = ceil((1 - sparsity) * x.shape[1])
    for token, left in zip(x, wina_activation(x, weight, sparsity), strict=True):
        pull = token.abs() * weight.norm(dim=0)
        naive = sorted(range(len(token)), key=lambda j: (-float(pull[j]), j))[:kept]
        expected = torch.zeros_like(token)
        expected[naive] = token[naive]
        assert torch.equal(left, expected)


def test_activations_keep_their_shape_and_dtype():
    x = normal(2, 3, 8).half()
    left = wina_activation(x, normal(4, 8).half(), 0.5)
    assert left.shape == x.shape
    assert left.dtype == x.dtype
    assert (left != 0).sum(-1).tolist() == [[4] * 3] * 2


@pytest.mark.parametrize("mode", SCORES)
def test_scores_of_weights_are_their_formulas(mode: str):
    x, weight = normal(100, 6) * torch.arange(1, 7), normal(4, 6)
    size = {"wina": x.abs().mean(0), "wanda": x.square().mean(0).sqrt()}[mode]
    assert torch.allclose(SCORES[mode](weight, statistics_of(x)), weight.abs() * size)


def test_a_wina_mask_is_the_top_of_its_scores():
    x, weight = normal(100, 6), normal(4, 6)
    table = rank(SCORES["wina"](weight, statistics_of(x)))
    assert torch.equal(compute_wina_mask(x, weight, 0.5), table.mask(12))


BAD: dict[str, tuple[Tensor, Tensor, float, type[DnaRayError], str]] = {
    "sparsity": (normal(2, 6), normal(4, 6), 1.0, RecipeError, "sparsity is 1.0; .* below 1"),
    "negative": (normal(2, 6), normal(4, 6), -0.5, RecipeError, "sparsity is -0.5"),
    "columns": (normal(2, 5), normal(4, 6), 0.5, InputError, r"\(2, 5\) do not fit a weight \(4, 6\): .* 6 columns"),
    "vector": (normal(2, 6), normal(6), 0.5, InputError, r"a weight is a matrix \(rows, cols\); this one is \(6,\)"),
    "empty": (normal(0, 6), normal(4, 6), 0.5, InputError, "hold no position"),
    "nan": (normal(2, 6), normal(4, 6) / 0 * 0, 0.5, FieldError, r"weight \(4, 6\): 24 values are not finite"),
    "infinite": (normal(2, 6) / 0, normal(4, 6), 0.5, FieldError, r"inputs \(2, 6\): 12 values are not finite"),
}


@pytest.mark.parametrize("mode", [compute_wina_mask, wina_activation])
@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_in_one_line(mode, what: str):
    x, weight, sparsity, kind, said = BAD[what]
    with pytest.raises(kind, match=said) as error:
        mode(x, weight, sparsity)
    assert "\n" not in str(error.value)
