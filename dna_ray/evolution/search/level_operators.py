"""Agents that spend the budget otherwise than their parents: on other layers, and to the same total."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dna_ray.evolution.agent import Agent
from dna_ray.evolution.space import Space

_FINEST = 6.0  # a switch moves 2^-1 to 2^-6 of what the smaller of its two layers keeps
_LOOKED_AT = 8  # layers among which a guided switch chooses its two
_BEYOND = 0.5  # how far a mixed profile may lie outside its two parents, as a share of their distance
_SPREAD = 0.4  # standard deviation of the logarithm of what a group gets
_LEAST = 1 / 16  # share of a layer that counts as kept when a switch is measured


def level_switch(parents: Sequence[Agent], space: Space, rng: np.random.Generator) -> Agent:
    """What some layers lose others get, in pairs drawn at random [1].

    References:
        [1] Sieberling et al. 2024, "EvoPress: towards optimal dynamic model compression via evolutionary search",
            section 3.2. Here the size of a switch is drawn too, as layers differ in size.
    """
    levels = list(parents[0].levels)
    for _ in range(max(1, int(rng.binomial(len(levels) // 2, space.mutation_rate)))):
        donor, receiver = rng.choice(len(levels), size=2, replace=False).tolist()
        _move(levels, space, donor, receiver, rng)
    return _with_levels(parents[:1], "level-switch", levels, space)


def guided_switch(parents: Sequence[Agent], space: Space, rng: np.random.Generator) -> Agent:
    """From the layer that suffers least from a loss to the one that gains most, of a few drawn at random.

    Both are read from the error curves; without any it is a `level_switch`.
    """
    if not space.curves:
        return level_switch(parents, space, rng)
    levels = list(parents[0].levels)
    some = rng.choice(len(levels), size=min(_LOOKED_AT, len(levels)), replace=False).tolist()
    kept = space.profile(levels)
    slopes = {layer: _slope(space, layer, kept[layer]) for layer in some}
    donor, receiver = min(some, key=lambda layer: slopes[layer]), max(some, key=lambda layer: slopes[layer])
    if donor == receiver:  # all alike
        donor, receiver = some[:2]
    _move(levels, space, donor, receiver, rng)
    return _with_levels(parents[:1], "guided-switch", levels, space)


def profile_crossover(parents: Sequence[Agent], space: Space, rng: np.random.Generator) -> Agent:
    """Each layer's level from one of two parents, projected onto the budget; the rest from the first parent."""
    first, second = parents[:2]
    from_first = rng.random(len(first.levels)) < 0.5
    pairs = zip(from_first.tolist(), first.levels, second.levels, strict=True)
    levels = [one if taken else other for taken, one, other in pairs]
    return _with_levels((first, second), "profile-crossover", levels, space)


def profile_mix(parents: Sequence[Agent], space: Space, rng: np.random.Generator) -> Agent:
    """A profile on the line through two parents', also a little beyond them [1]; the rest from the first parent.

    References:
        [1] Muehlenbein and Schlierkamp-Voosen 1993, "Predictive models for the breeder genetic algorithm".
    """
    first, second = parents[:2]
    weight = float(rng.uniform(-_BEYOND, 1 + _BEYOND))
    one, other = np.array(first.levels, dtype=np.float64), np.array(second.levels, dtype=np.float64)
    levels = np.maximum(0, one + weight * (other - one)).round().astype(np.int64).tolist()
    return _with_levels((first, second), "profile-mix", levels, space)


def group_scale(parents: Sequence[Agent], space: Space, rng: np.random.Generator) -> Agent:
    """More or less for all layers of a kind, or along the depth, projected onto the budget."""
    place = int(rng.integers(len(space.kinds) + 1))
    if place < len(space.kinds):
        strength = np.array([float(layer.kind == space.kinds[place]) for layer in space.layers])
    else:
        strength = np.array([2 * layer.depth - 1 for layer in space.layers])
    factors = np.exp(rng.normal(0, _SPREAD) * strength)
    levels = (np.array(parents[0].levels, dtype=np.float64) * factors).round().astype(np.int64).tolist()
    return _with_levels(parents[:1], "group-scale", levels, space)


def _move(levels: list[int], space: Space, donor: int, receiver: int, rng: np.random.Generator) -> None:
    """Moves a random amount, no more than one has above a weight, and the other has room for."""
    costs, limits = space.budget.costs, space.budget.limits
    least = int(limits[receiver] * costs[receiver] * _LEAST)
    size = min(levels[donor], max(levels[receiver], least)) * 2.0 ** -rng.uniform(1, _FINEST)
    room = limits[receiver] * costs[receiver] - levels[receiver]
    amount = max(0, min(max(1, round(size)), levels[donor] - costs[donor], room))
    levels[donor] -= amount
    levels[receiver] += amount


def _slope(space: Space, layer: int, kept: int) -> float:
    """How much error a unit of the budget takes away from a layer that keeps so many weights."""
    step = max(1, kept // 16)
    lower, upper = max(1, kept - step), min(space.budget.limits[layer], kept + step)
    if upper == lower:
        return 0.0
    curve = space.curves[layer]
    return (curve.at(lower) - curve.at(upper)) / (upper - lower) / space.budget.costs[layer]


def _with_levels(parents: Sequence[Agent], operator: str, levels: Sequence[int], space: Space) -> Agent:
    ids = tuple(dict.fromkeys(parent.id for parent in parents))
    return replace(parents[0], levels=space.projected(levels), parents=ids, operator=operator)
