"""No search at all: the agents that are given, each once."""

from collections.abc import Sequence

import numpy as np

from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.search.search import Search, Terms
from dna_ray.evolution.space import Space


class Enumeration(Search):
    """Asks the agents in their order, and is done."""

    def __init__(self, space: Space, agents: Sequence[Agent], terms: Terms) -> None:
        super().__init__(space, terms)
        self._agents = list(agents)

    def propose(self, room: int, rng: np.random.Generator) -> list[Agent]:
        found: list[Agent] = []
        while self._agents and len(found) < room:
            agent = self._agents.pop(0)
            found += [agent] if self.takes(agent) else []
        return found

    def learn(self, agents: Sequence[Agent], evaluations: Sequence[Evaluation]) -> None:
        """Nothing."""
