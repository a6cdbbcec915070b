"""Agents drawn independently of each other, and of how any of them did."""

from collections.abc import Sequence

import numpy as np

from dna_ray.evolution.agent import EVERY_KIND, Agent, Evaluation
from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.search.search import Search, Terms
from dna_ray.evolution.space import Space

_WIDEST = 1.0  # standard deviation of the logarithm of densities, at most


class RandomSearch(Search):
    """Profiles around the uniform one, near and far, with one of the `metrics` and any scope.

    The logarithm of each density is Gaussian, with a standard deviation drawn for each agent: profiles drawn evenly
    from all there are would nearly all be useless.
    """

    def __init__(self, space: Space, metrics: Sequence[Program], terms: Terms) -> None:
        super().__init__(space, terms)
        self._metrics = tuple(metrics)

    def propose(self, room: int, rng: np.random.Generator) -> list[Agent]:
        return self.fresh(room, lambda: self._draw(rng))

    def learn(self, agents: Sequence[Agent], evaluations: Sequence[Evaluation]) -> None:
        """Nothing: that is what makes it random."""

    def _draw(self, rng: np.random.Generator) -> Agent:
        budget = self.space.budget
        spread = rng.uniform(0, _WIDEST)
        dense = np.array(budget.limits, dtype=np.float64) * np.array(budget.costs, dtype=np.float64)
        levels = (dense * np.exp(rng.normal(0, spread, len(dense)))).round().astype(np.int64).tolist()
        return Agent(
            levels=self.space.projected(levels),
            metrics=((EVERY_KIND, self._metrics[int(rng.integers(len(self._metrics)))]),),
            scope=self.space.scopes[int(rng.integers(len(self.space.scopes)))],
            repair=self.space.repairs[0],
            operator="random",
        )
