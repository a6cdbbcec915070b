"""What every agent of a run shares: the layers, the budget, and which genes may change."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dna_ray.errors import RecipeError
from dna_ray.evolution.agent import Agent
from dna_ray.evolution.sparsity.budget import Budget, Profile, from_levels, to_levels
from dna_ray.evolution.sparsity.curves import ErrorCurve
from dna_ray.evolution.sparsity.layers import Layer
from dna_ray.evolution.sparsity.work import WorkLimit


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """Where agents live.

    Attributes:
        layers: Those that become sparse; levels and profiles are in their order.
        budget: What all agents spend. A level is one unit of it, so levels of a budget in weights are weights kept.
        work: What they may compute beside it; None: whatever comes.
        scopes: That a scope gene may take; with one, there is no such gene. (`global` is `layer` with levels of
            its own, so it is nothing to change to.)
        patterns: The same of the pattern.
        bases: The same of the basis.
        repairs: The same of the repair; the first is what searches begin with.
        metric_gene: Whether programs change. Agents take over those of their parents otherwise.
        profile_gene: Whether levels change.
        mutation_rate: Share of the layers that a mutation of levels changes on average; at least two layers change.
        curves: Error of each layer, for operators that look before they move; () if there are none.
        kinds: Of the layers, sorted.
    """

    layers: tuple[Layer, ...]
    budget: Budget
    work: WorkLimit | None = None
    scopes: tuple[str, ...] = ("layer", "row")
    patterns: tuple[str, ...] = ("unstructured",)
    bases: tuple[str, ...] = ("none",)
    repairs: tuple[str, ...] = ("none",)
    metric_gene: bool = True
    profile_gene: bool = True
    mutation_rate: float = 0.1
    curves: tuple[ErrorCurve, ...] = field(default=(), repr=False, compare=False)
    kinds: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(sorted({layer.kind for layer in self.layers})))
        if not self.layers or len(self.layers) != len(self.budget.limits):
            raise RecipeError(f"a budget of {len(self.budget.limits)} layers does not fit {len(self.layers)}")
        if self.curves and len(self.curves) != len(self.layers):
            raise RecipeError(f"{len(self.curves)} error curves do not fit {len(self.layers)} layers")
        if not 0 <= self.mutation_rate <= 1:
            raise RecipeError(f"mutation_rate is {self.mutation_rate}; give a share of the layers, 0 to 1")
        for name in ("scopes", "patterns", "bases", "repairs"):
            if not getattr(self, name):
                raise RecipeError(f"{name} of a space name none; give at least one")

    def kept(self, agent: Agent) -> Profile:
        """How many weights each layer of an agent keeps, exactly.

        Raises:
            RecipeError: The agent is of another space.
        """
        if len(agent.levels) != len(self.layers):
            raise RecipeError(
                f"agent {agent.id[:12]} has {len(agent.levels)} levels, the network {len(self.layers)} layers; "
                "evaluate it on the network that it evolved on"
            )
        return self.profile(agent.levels)

    def profile(self, levels: Sequence[int]) -> Profile:
        """What `budget.from_levels` says, within the limit on work; at once where levels are such weights already."""
        return tuple(levels) if self._are_weights(levels) else self._within(from_levels(levels, self.budget))

    def levels(self, profile: Profile) -> tuple[int, ...]:
        """The levels that stand for a profile: `kept` gives it back, where it is within the limit on work."""
        return to_levels(self._within(profile), self.budget, portions=self.budget.total)

    def projected(self, levels: Sequence[int]) -> tuple[int, ...]:
        """The levels in their place that spend the budget, no layer getting more than it has, nor all too much work.

        So one profile has one genome, whatever operator has found it.
        """
        return tuple(levels) if self._are_weights(levels) else self.levels(from_levels(levels, self.budget))

    def _within(self, profile: Profile) -> Profile:
        return self.work.within(profile) if self.work else profile

    def _are_weights(self, levels: Sequence[int]) -> bool:
        budget = self.budget
        return (
            (not self.work or self.work.of(levels) <= self.work.most)
            and sum(levels) == budget.total
            and set(budget.costs) == {1}
            and all(1 <= level <= limit for level, limit in zip(levels, budget.limits, strict=True))
        )
