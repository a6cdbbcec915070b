import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dna_ray.errors import FieldError, RecipeError
from dna_ray.evolution.sparsity.masks import SCOPES, rank

# few values, so that there are many ties
MATRICES = st.tuples(st.integers(1, 9), st.integers(1, 13), st.integers(0, 10**6), st.integers(1, 50)).map(
    lambda drawn: torch.from_numpy(
        np.random.default_rng(drawn[2]).integers(0, drawn[3], drawn[:2]).astype(np.float32) - 1
    )
)


@given(MATRICES)
def test_every_weight_has_a_rank_of_its_own(importance: torch.Tensor):
    for scope, pattern in [*((scope, "unstructured") for scope in SCOPES), ("layer", "column"), ("layer", "n:4")]:
        ranks = rank(importance, scope=scope, pattern=pattern).ranks
        assert ranks.dtype == torch.int32
        assert sorted(ranks.flatten().tolist()) == list(range(importance.numel()))


@pytest.mark.parametrize("scope", SCOPES)
@given(importance=MATRICES)
def test_masks_are_exact_and_each_holds_the_smaller_ones(scope: str, importance: torch.Tensor):
    table = rank(importance, scope=scope)
    smaller = torch.zeros_like(importance, dtype=torch.bool)
    for kept in range(importance.numel() + 1):
        mask = table.mask(kept)
        assert int(mask.sum()) == kept
        assert bool((mask | ~smaller).all())
        smaller = mask


@given(MATRICES, st.floats(0, 1))
def test_a_layer_keeps_its_largest_and_of_equal_ones_the_first(importance: torch.Tensor, share: float):
    kept = int(share * importance.numel())
    flat = importance.flatten().tolist()
    naive = sorted(range(len(flat)), key=lambda place: (-flat[place], place))[:kept]
    assert rank(importance).mask(kept).flatten().nonzero().flatten().tolist() == sorted(naive)


@given(MATRICES, st.floats(0, 1))
def test_rows_keep_equally_many_to_one_and_the_largest_of_each(importance: torch.Tensor, share: float):
    kept = int(share * importance.numel())
    mask = rank(importance, scope="row").mask(kept)
    counts = mask.sum(1)
    assert set(counts.tolist()) <= {kept // len(importance), -(-kept // len(importance))}
    for row, own, count in zip(importance.tolist(), mask, counts.tolist(), strict=True):
        naive = sorted(range(len(row)), key=lambda place: (-row[place], place))[:count]
        assert own.nonzero().flatten().tolist() == sorted(naive)


def test_the_weight_that_rows_have_left_goes_where_the_next_is_larger():
    importance = torch.tensor([[9.0, 1.0], [8.0, 3.0], [7.0, 2.0]])
    assert rank(importance, scope="row").mask(4).int().tolist() == [[1, 0], [1, 1], [1, 0]]


@given(MATRICES, st.integers(2, 6))
def test_groups_keep_equally_many_of_their_largest(importance: torch.Tensor, size: int):
    table = rank(importance, pattern=f"n:{size}")
    for kept in range(importance.numel() + 1):
        mask = table.mask(kept)
        assert int(mask.sum()) == table.keeps(kept)
        full = [group.sum(1) for group in mask.split(size, dim=1) if group.shape[1] == min(size, mask.shape[1])]
        assert len(set(torch.cat(full).tolist())) == 1
    assert table.mask(importance.numel()).all()


def test_half_of_groups_of_four_is_two_of_four():
    importance = torch.tensor([[1.0, 4, 3, 2, 5, 5, 5, 5], [0, 0, 0, 1, -1, -2, -3, -torch.inf]])
    table = rank(importance, pattern="n:4")
    assert table.steps == (4, 8, 12, 16)
    assert table.mask(8).int().tolist() == [[0, 1, 1, 0, 1, 1, 0, 0], [1, 0, 0, 1, 1, 1, 0, 0]]
    assert torch.equal(table.mask(11), table.mask(8))
    assert int(table.mask(1).sum()) == 4  # the least that the pattern can keep
    assert not table.mask(0).any()


def test_a_last_group_that_is_shorter_is_full_before_the_others():
    table = rank(torch.tensor([[3.0, 2, 1, -torch.inf, -torch.inf]]), pattern="n:3")
    assert table.steps == (2, 4, 5)
    assert table.mask(2).int().tolist() == [[1, 0, 0, 1, 0]]


def test_columns_are_kept_whole_by_the_sum_of_their_weights():
    table = rank(torch.tensor([[5.0, 1, 3, 3], [0, 1, 3, 3]]), pattern="column")
    assert table.steps == (2, 4, 6, 8)
    assert table.mask(3).int().tolist() == [[0, 0, 1, 0]] * 2
    assert table.mask(6).int().tolist() == [[1, 0, 1, 1]] * 2


def test_zero_has_no_sign_and_half_precision_the_order_of_its_numbers():
    importance = torch.tensor([[0.0, -0.0, -1e-40, 1e-40, -2.0, 3.0]])
    assert rank(importance).ranks.tolist() == [[2, 3, 4, 1, 5, 0]]
    assert rank(torch.tensor([[0.5, 2.0, -1.0]]).half()).ranks.tolist() == [[1, 0, 2]]


def test_infinite_importances_have_their_place():
    importance = torch.tensor([[torch.inf, 0.0, -torch.inf, torch.inf]])
    assert rank(importance).ranks.tolist() == [[0, 2, 3, 1]]


@pytest.mark.parametrize(
    ("scope", "pattern", "said"),
    [
        ("colum", "unstructured", "no scope 'colum'; choose of row, layer, global"),
        ("layer", "2:4", "no pattern '2:4'; choose unstructured, column or n:4"),
        ("layer", "n:1", "no pattern 'n:1'"),
        ("layer", "n:٤", "no pattern"),
        ("row", "column", "pattern 'column' says itself where"),
    ],
)
def test_an_unknown_scope_or_pattern_is_refused(scope: str, pattern: str, said: str):
    with pytest.raises(RecipeError, match=said):
        rank(torch.ones(2, 8), scope=scope, pattern=pattern)


def test_an_importance_that_is_nan_is_refused():
    with pytest.raises(FieldError, match="hold 1 NaN"):
        rank(torch.tensor([[1.0, torch.nan]]))


@pytest.mark.parametrize("kept", [-1, 17])
def test_no_more_is_kept_than_there_is(kept: int):
    with pytest.raises(RecipeError, match=f"16 weights cannot keep {kept}"):
        rank(torch.ones(2, 8)).mask(kept)
