"""A limit on multiply-adds beside a budget in weights: what zeros save depends on where they lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from dna_ray.errors import RecipeError
from dna_ray.evolution.sparsity.budget import Budget, Profile
from dna_ray.evolution.sparsity.layers import Layer
from dna_ray.evolution.sparsity.profile import uniform


@dataclass(frozen=True, slots=True)
class WorkLimit:
    """What the kept weights of all layers may compute.

    Attributes:
        most: Multiply-adds of one sample.
        positions: Of one sample that a weight of each layer serves.
        even: The uniform profile, which is within the limit.
    """

    most: int
    positions: tuple[int, ...]
    even: Profile

    def of(self, profile: Sequence[int]) -> int:
        """Multiply-adds of one sample."""
        return sum(kept * positions for kept, positions in zip(profile, self.positions, strict=True))

    def within(self, profile: Profile) -> Profile:
        """The first profile within the limit on the line from this one to the uniform one; of as many weights."""
        too_much = self.of(profile) - self.most
        if too_much <= 0:
            return profile
        whole = self.of(profile) - self.of(self.even)
        parts = [
            divmod((whole - too_much) * one + too_much * other, whole)
            for one, other in zip(profile, self.even, strict=True)
        ]
        kept = [down for down, _ in parts]
        # what rounding down has left goes where it computes least: to no more multiply-adds than the remainders had
        cheapest = sorted((layer for layer, (_, rest) in enumerate(parts) if rest), key=self.positions.__getitem__)
        for layer in cheapest[: sum(profile) - sum(kept)]:
            kept[layer] += 1
        return tuple(kept)


def work_limit(layers: Sequence[Layer], budget: Budget, *, dense: int, skip: float) -> WorkLimit | None:
    """The limit under which zeros save a share `skip` of the network's multiply-adds; None where nothing is asked for.

    Args:
        budget: In weights.
        dense: Multiply-adds of one sample in the dense network, layers that stay dense included.

    Raises:
        RecipeError: `skip` is not in [0, 1), or more than as many zeros save when spread evenly.
    """
    if not (isfinite(skip) and 0 <= skip < 1):
        raise RecipeError(f"skip is {skip}; give the share of multiply-adds that zeros save, at least 0, below 1")
    if skip == 0:
        return None
    positions = tuple(layer.positions for layer in layers)
    prunable = sum(layer.weights * each for layer, each in zip(layers, positions, strict=True))
    limit = WorkLimit(prunable - round(skip * dense), positions, uniform(layers, budget))
    if (least := limit.of(limit.even)) > limit.most:
        raise RecipeError(
            f"skip is {skip}, but so many zeros, spread evenly, save {(prunable - least) / dense:.4f} of the "
            "multiply-adds; ask for less, or for more sparsity"
        )
    return limit
