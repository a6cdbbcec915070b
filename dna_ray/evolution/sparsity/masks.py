"""Masks of any size from one ranking: a layer's weights are sorted once, and every level is a comparison.

A weight's rank says how many are kept before it. Ties go to the lower flat index, so a mask follows from the
importances alone, and that of a lower sparsity holds all of a higher one.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import FieldError, RecipeError

_PLACE = 0xFFFFFFFF  # the half of a sorted integer that says where it was


@dataclass(frozen=True, slots=True, eq=False)
class RankTable:
    """The order in which the weights of one layer are kept.

    Attributes:
        ranks: (rows, cols) int32, each number from 0 once.
        steps: Numbers of weights that the pattern can keep, rising; None if any number.
    """

    ranks: Tensor
    steps: tuple[int, ...] | None = None

    def keeps(self, kept: int) -> int:
        """The number that the pattern can keep that is nearest to `kept` from below, but at least its smallest.

        0 stays 0.
        """
        if self.steps is None or kept == 0:
            return kept
        return self.steps[max(0, bisect_right(self.steps, kept) - 1)]

    def mask(self, kept: int) -> Tensor:
        """(rows, cols) bool, true where a weight is kept: `keeps(kept)` of them.

        Raises:
            RecipeError: There are not so many weights.
        """
        if not 0 <= kept <= self.ranks.numel():
            raise RecipeError(f"a layer of {self.ranks.numel()} weights cannot keep {kept} of them")
        return self.ranks < self.keeps(kept)


def rank(importance: Tensor, *, scope: str = "layer", pattern: str = "unstructured") -> RankTable:
    """Ranks the weights of a layer by their importance, largest first.

    Args:
        importance: (rows, cols), finite or infinite numbers, compared in float32.
        scope: Where the top is taken. `layer`: of all weights. `row`: in each row; rows keep equally many, and where
            that does not come out even, one more goes to rows whose next weight is larger. `global`: as `layer`,
            how many each layer keeps being what `profile.global_top` says.
        pattern: `unstructured`; `column`: whole columns, by the sum of their importances; `n:4`, or any other number
            in place of 4: of each 4 weights in a row equally many, so that at half sparsity it is 2:4. The last group
            of a row may be shorter.

    Raises:
        RecipeError: There is no such scope or pattern, or they do not go together.
        FieldError: An importance is NaN.
    """
    if scope not in SCOPES:
        raise RecipeError(f"there is no scope {scope!r}; choose of {', '.join(SCOPES)}")
    values = importance.detach().float().contiguous()
    if bad := int(torch.isnan(values).sum()):
        raise FieldError(f"the importances of a layer hold {bad} NaN; use a metric that is finite")
    if pattern == "unstructured":
        return RankTable(SCOPES[scope](values))
    if scope == "row":
        raise RecipeError(f"pattern {pattern!r} says itself where weights are kept; choose scope layer or global")
    if pattern == "column":
        return _by_column(values)
    return _by_group(values, group_of(pattern))


def group_of(pattern: str) -> int:
    """`n:4` -> 4.

    Raises:
        RecipeError: There is no such pattern.
    """
    match = re.fullmatch(r"n:([1-9]\d{0,5})", pattern, re.ASCII)
    if not match or int(match[1]) < 2:
        raise RecipeError(f"there is no pattern {pattern!r}; choose unstructured, column or n:4 (n of each 4 weights)")
    return int(match[1])


def _by_layer(importance: Tensor) -> Tensor:
    return _inverse(_order(importance.reshape(1, -1))).reshape(importance.shape)


def _by_row(importance: Tensor) -> Tensor:
    """Round by round, each row's largest weights first; in a round, the larger first.

    A round has one weight of each row, so rows are sorted, and then each round: never all weights at once.
    """
    rows, cols = importance.shape
    rounds = _sorted_with_places(_keys(importance)).T.copy()
    rounds += (np.arange(rows) * cols)[None]  # the place in its row becomes that in the layer
    rounds.sort(axis=1)
    rounds &= _PLACE
    return _inverse(rounds).reshape(rows, cols)


def _by_column(importance: Tensor) -> RankTable:
    rows, cols = importance.shape
    place = _inverse(_order(importance.double().sum(0, keepdim=True).float()))
    ranks = place * rows + torch.arange(rows, dtype=torch.int32)[:, None]
    return RankTable(ranks, tuple(range(rows, rows * cols + 1, rows)))


def _by_group(importance: Tensor, size: int) -> RankTable:
    rows, cols = importance.shape
    size = min(size, cols)
    missing = -cols % size  # what fills up the last group is -inf and follows all that is real, so it comes last
    groups = F.pad(importance, (0, missing), value=-torch.inf).reshape(-1, size)
    place = _places(_order(groups)).reshape(rows, -1)[:, :cols]
    counts = np.bincount(place.reshape(-1), minlength=size).cumsum()
    return RankTable(_in_rounds(importance, place), tuple(counts.tolist()))


def _order(importance: Tensor) -> NDArray[np.int64]:
    """The columns of each row, the most important first, ties to the first."""
    return _sorted_with_places(_keys(importance)) & _PLACE


def _keys(importance: Tensor) -> NDArray[np.int32]:
    """Integers that fall where importances rise."""
    bits = (importance.numpy() + np.float32(0)).view(np.int32)  # 0 makes -0.0 a 0.0
    rising = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # in the order of the numbers that the bits are
    return ~rising


def _sorted_with_places(keys: NDArray[np.int32]) -> NDArray[np.int64]:
    """Each row sorted, with the place of each key in the lower half: so the fastest sort will do, stable or not."""
    both = keys.astype(np.int64) << 32
    both |= np.arange(keys.shape[1])
    both.sort(axis=1)
    return both


def _in_rounds(importance: Tensor, rounds: NDArray[np.int32]) -> Tensor:
    """Ranks by round first, by importance then."""
    by_importance = _order(importance.reshape(1, -1))[0]
    by_round = _sorted_with_places(rounds.reshape(-1)[by_importance][None])[0] & _PLACE
    return _inverse(by_importance[by_round]).reshape(importance.shape)


def _places(order: NDArray[np.int64]) -> NDArray[np.int32]:
    """Of each column in its row."""
    places = np.empty(order.shape, dtype=np.int32)
    np.put_along_axis(places, order, np.arange(order.shape[1], dtype=np.int32)[None], axis=1)
    return places


def _inverse(order: NDArray[np.int64]) -> Tensor:
    ranks = np.empty(order.size, dtype=np.int32)
    ranks[order.reshape(-1)] = np.arange(order.size, dtype=np.int32)
    return torch.from_numpy(ranks)


# Where the top is taken. `global` differs from `layer` only in how many a layer keeps.
SCOPES: dict[str, Callable[[Tensor], Tensor]] = {"row": _by_row, "layer": _by_layer, "global": _by_layer}
