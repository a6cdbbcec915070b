"""How many weights each layer keeps, by every known rule; all of them spend the same budget to one weight.

Every layer keeps at least one weight.
"""

from collections.abc import Callable, Sequence
from math import cos, pi

import numpy as np
from torch import Tensor

from dna_ray.errors import FieldError, RecipeError
from dna_ray.evolution.sparsity.budget import Budget, Profile, apportion, spend_rest
from dna_ray.evolution.sparsity.curves import ErrorCurve
from dna_ray.evolution.sparsity.layers import Layer


def uniform(layers: Sequence[Layer], budget: Budget) -> Profile:
    """The same share of every layer."""
    return apportion([layer.weights for layer in layers], budget)


def erk(layers: Sequence[Layer], budget: Budget) -> Profile:
    """Erdos-Renyi kernel: as many weights as a layer has inputs, outputs and pixels of its kernel [1].

    Small layers are kept whole, as far as the budget goes.

    References:
        [1] Evci et al. 2020, "Rigging the Lottery: Making All Tickets Winners", section 3.
    """
    return apportion([_sides(layer) for layer in layers], budget)


def _sides(layer: Layer) -> int:
    return layer.rows + layer.cols // int(np.prod(layer.kernel, dtype=int)) + sum(layer.kernel)


def owl(
    layers: Sequence[Layer],
    budget: Budget,
    importances: Sequence[Tensor],
    *,
    outlier: float = 5.0,
    spread: float = 0.08,
) -> Profile:
    """Outlier-weighed: layers with more outstanding weights keep more [1]. Layers of one depth are one.

    Args:
        importances: Of the weights of each layer, |W| sqrt(E x^2) in the paper.
        outlier: An outlier exceeds the mean of its depth so many times ("M").
        spread: Densities lie this far around their mean, at most ("lambda").

    Raises:
        RecipeError: `outlier` or `spread` is not positive.

    References:
        [1] Yin et al. 2024, "Outlier Weighed Layerwise Sparsity (OWL)", section 3.2, and its code for the scale.
    """
    if not (outlier > 0 and spread > 0):
        raise RecipeError(f"outlier is {outlier} and spread is {spread}; both must be above 0")
    depths = sorted({layer.depth for layer in layers})
    shares = np.array([_outliers(layers, importances, depth, outlier) for depth in depths])
    width = float(np.ptp(shares))
    densities = (shares - shares.min()) / width * 2 * spread if width > 0 else np.zeros(len(depths))
    densities += _density(layers, budget) - densities.mean()
    at = dict(zip(depths, densities.clip(min=0).tolist(), strict=True))
    return apportion([at[layer.depth] * layer.weights for layer in layers], budget)


def _outliers(layers: Sequence[Layer], importances: Sequence[Tensor], depth: float, outlier: float) -> float:
    own = [each for layer, each in zip(layers, importances, strict=True) if layer.depth == depth]
    weights = sum(each.numel() for each in own)
    limit = outlier * sum(float(each.double().sum()) for each in own) / weights
    return sum(int((each > limit).sum()) for each in own) / weights


def _density(layers: Sequence[Layer], budget: Budget) -> float:
    return budget.total / sum(cost * layer.weights for layer, cost in zip(layers, budget.costs, strict=True))


def global_top(layers: Sequence[Layer], budget: Budget, importances: Sequence[Tensor]) -> Profile:
    """As many weights of each layer as are among the most important of all layers; ties to the first.

    This is scope `global`: with it, importances must be comparable between layers. Unlike elsewhere a layer may
    lose all its weights: that is what the method does. The budget must be one in weights.

    Raises:
        RecipeError: The budget is in multiply-adds.
        FieldError: An importance is NaN.
    """
    if set(budget.costs) != {1}:
        raise RecipeError("scope global shares out weights, not multiply-adds; give the budget in weights")
    flat = [each.float().numpy().reshape(-1) for each in importances]
    every = np.concatenate(flat)
    if np.isnan(every).any():
        raise FieldError("an importance is NaN; use a metric that is finite")
    least = np.partition(every, len(every) - budget.total)[len(every) - budget.total]  # of those that are kept
    above = [int((each > least).sum()) for each in flat]
    left = budget.total - sum(above)
    kept = []
    for more, each in zip(above, flat, strict=True):
        tied = min(left, int((each == least).sum()))
        kept.append(more + tied)
        left -= tied
    return tuple(kept)


def water_filling(layers: Sequence[Layer], budget: Budget, curves: Sequence[ErrorCurve]) -> Profile:
    """The least sum of the layers' errors: the budget goes where it takes most error away.

    Exact where the curves are convex; elsewhere for their lower convex hulls, up to one point of each curve.
    """
    segments = [segment for layer, curve in enumerate(curves) for segment in _hull(layer, curve)]
    # the error that a unit of the budget takes away, largest first; within a layer it falls, so order is kept
    segments.sort(key=lambda each: -each[1] / budget.costs[each[0]])
    kept = np.ones(len(layers), dtype=np.int64)
    left = budget.total - sum(budget.costs)
    for layer, _, weights in segments:
        more = min(weights, left // budget.costs[layer])
        kept[layer] += more
        left -= more * budget.costs[layer]
        if more < weights:
            break
    return spend_rest(kept, np.arange(len(layers)), budget)


def _hull(layer: int, curve: ErrorCurve) -> list[tuple[int, float, int]]:
    """The segments of its lower convex hull: (layer, error that a weight takes away, weights)."""
    hull: list[tuple[int, float]] = []
    for kept, error in zip(curve.kept.tolist(), curve.error.tolist(), strict=True):
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], (kept, error)):
            hull.pop()
        hull.append((kept, error))
    return [(layer, _slope(one, other), other[0] - one[0]) for one, other in zip(hull, hull[1:], strict=False)]


def _slope(one: tuple[int, float], other: tuple[int, float]) -> float:
    return (one[1] - other[1]) / (other[0] - one[0])


Schedule = Callable[[float], float]


def scheduled(layers: Sequence[Layer], budget: Budget, schedule: Schedule) -> Profile:
    """Shares of the layers that are to each other as `schedule` says of their depths."""
    return apportion([schedule(layer.depth) * layer.weights for layer in layers], budget)


def linear(first: float, last: float) -> Schedule:
    """The share that a layer keeps goes in a line from `first` to `last`, on any scale."""
    return lambda depth: first + (last - first) * depth


def cosine(first: float, last: float) -> Schedule:
    """The same along half a cosine: slowly at both ends."""
    return lambda depth: last + (first - last) * (1 + cos(pi * depth)) / 2
