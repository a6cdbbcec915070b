"""How much a sparse network may keep in all, and its apportionment to layers: exact to one weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np
from numpy.typing import NDArray

from dna_ray.errors import RecipeError
from dna_ray.evolution.sparsity.layers import Layer

# How many weights each layer keeps, in the order of the layers.
Profile = tuple[int, ...]


def kept_of(weights: int, sparsity: float) -> int:
    """ceil((1 - sparsity) weights), evaluated in float64 as it stands here, so that any reference agrees.

    Raises:
        RecipeError: The sparsity is not in [0, 1).
    """
    if not (isfinite(sparsity) and 0 <= sparsity < 1):
        raise RecipeError(f"sparsity is {sparsity}; give the share of weights that become zero, at least 0, below 1")
    return ceil((1 - sparsity) * weights)


@dataclass(frozen=True, slots=True)
class Budget:
    """What the kept weights of all layers may cost.

    Attributes:
        total: Of all layers.
        costs: Of one weight, layer by layer: 1, or the multiply-adds of one sample.
        limits: Weights that each layer has.
    """

    total: int
    costs: tuple[int, ...]
    limits: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.total < sum(self.costs):
            raise RecipeError(
                f"a budget of {self.total} is too small for {len(self.limits)} layers, each of which keeps a weight "
                f"({sum(self.costs)} at least); ask for less sparsity"
            )

    def spent(self, profile: Sequence[int]) -> int:
        return sum(cost * kept for cost, kept in zip(self.costs, profile, strict=True))


def in_weights(layers: Sequence[Layer], sparsity: float) -> Budget:
    """A share `sparsity` of all weights becomes zero.

    Raises:
        RecipeError: The sparsity is not in [0, 1), or leaves a layer without a weight.
    """
    limits = tuple(layer.weights for layer in layers)
    return Budget(kept_of(sum(limits), sparsity), (1,) * len(limits), limits)


def in_multiply_adds(layers: Sequence[Layer], sparsity: float) -> Budget:
    """A share `sparsity` of the multiply-adds of one sample is skipped.

    Raises:
        RecipeError: The sparsity is not in [0, 1), or leaves a layer without a weight.
    """
    limits, costs = tuple(layer.weights for layer in layers), tuple(layer.positions for layer in layers)
    dense = sum(limit * cost for limit, cost in zip(limits, costs, strict=True))
    return Budget(kept_of(dense, sparsity), costs, limits)


def apportion(wanted: Sequence[float], budget: Budget) -> Profile:
    """Weights in proportion to `wanted`, from one weight a layer to all of them, that spend the budget.

    Layers that would keep more than they have are kept whole, and the others get the rest in proportion. What is left
    after rounding down goes to the largest remainders, ties to the first. A budget in weights is met exactly; one in
    multiply-adds is never exceeded, and less than the largest cost of a weight is left of it.

    Args:
        wanted: Not negative, on any scale; in weights, also where the budget is in multiply-adds.

    Raises:
        RecipeError: A number is negative or not finite.
    """
    shares = np.array(wanted, dtype=np.float64)
    if not (np.isfinite(shares).all() and (shares >= 0).all()):
        raise RecipeError("layers cannot be given negative or non-finite shares of a budget")
    largest = float(shares.max(initial=0))
    # what is wanted nowhere still takes what all others have no room for
    shares = np.maximum(shares / largest, 1e-12) if largest > 0 else np.array(budget.limits, dtype=np.float64)
    exact = _scaled(shares, budget)
    kept = np.floor(exact).astype(np.int64)
    order = np.argsort(kept - exact, kind="stable")
    return spend_rest(kept, order, budget)


def spend_rest(kept: NDArray[np.int64], order: NDArray[np.intp], budget: Budget) -> Profile:
    """Gives one weight more to each layer in `order`, and what is then left to those that have room, dearest first.

    Args:
        kept: Costs no more than the budget.
    """
    found = [int(each) for each in kept]
    left = budget.total - budget.spent(found)
    for layer in order.tolist():
        if budget.costs[layer] <= left and found[layer] < budget.limits[layer]:
            found[layer] += 1
            left -= budget.costs[layer]
    for layer in sorted(range(len(found)), key=lambda each: -budget.costs[each]):
        more = min(budget.limits[layer] - found[layer], left // budget.costs[layer])
        found[layer] += more
        left -= more * budget.costs[layer]
    return tuple(found)


def _scaled(shares: NDArray[np.float64], budget: Budget) -> NDArray[np.float64]:
    """`shares` on the scale at which, clipped to what layers have, they spend the budget.

    What they spend is linear in the scale between the points where a layer leaves its one weight, or is full.
    """
    limits, costs = np.array(budget.limits, dtype=np.float64), np.array(budget.costs, dtype=np.float64)
    leaves, fills = 1 / shares, limits / shares
    scales = np.sort(np.concatenate((leaves, fills)))
    spent = np.clip(scales[:, None] * shares, 1, limits) @ costs
    place = max(0, int(np.searchsorted(spent, budget.total, side="right")) - 1)
    scale = scales[place]
    growing = float((shares * costs)[(leaves <= scale) & (scale < fills)].sum())
    if growing:
        scale += (budget.total - spent[place]) / growing
    return np.clip(scale * shares, 1, limits)


def from_levels(levels: Sequence[int], budget: Budget) -> Profile:
    """A level is a number of equal portions of the budget, in its own unit; layer by layer.

    Levels of the same sum cut the budget into the same portions, so one more here and one less there moves a portion.

    Raises:
        RecipeError: A level is negative.
    """
    return apportion([level / cost for level, cost in zip(levels, budget.costs, strict=True)], budget)


def to_levels(profile: Profile, budget: Budget, *, portions: int) -> tuple[int, ...]:
    """The levels, `portions` in all, that are nearest to a profile: `from_levels` gives it back but for rounding."""
    spent = np.array([cost * kept for cost, kept in zip(budget.costs, profile, strict=True)], dtype=np.float64)
    exact = spent * portions / spent.sum()
    levels = np.floor(exact).astype(np.int64)
    levels[np.argsort(levels - exact, kind="stable")[: portions - int(levels.sum())]] += 1
    return tuple(levels.tolist())
