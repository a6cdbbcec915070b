"""A search of profiles alone, by level switches of the best one so far, for one given metric [1].

(1 + lambda): a batch is offspring of one parent, and its best replaces the parent if it is better on the minibatches
that both saw. Selection in several steps, more offspring on few minibatches and fewer on many, is what the evaluation
of a batch does for every searcher.

[1] Sieberling et al. 2024, "EvoPress: towards optimal dynamic model compression via evolutionary search", algorithm 1.
    There levels are steps of equal size; here a switch is `level_operators.level_switch`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.search.archive import paired
from dna_ray.evolution.search.level_operators import level_switch
from dna_ray.evolution.search.search import Search, Terms
from dna_ray.evolution.space import Space

_MOST_SWITCHES = 3


class EvoPress(Search):
    """Starts from the best of the agents that it is given; of that, the profile alone changes.

    Args:
        starts: Usually of a uniform profile: one of the metric that is given, or of each metric to choose from. As many
            as there are count as evaluations.
    """

    def __init__(self, space: Space, starts: Sequence[Agent], terms: Terms) -> None:
        # how many switches there are is drawn here, so each call makes one
        super().__init__(replace(space, mutation_rate=0.0), terms)
        self._starts = list(starts)
        self._parent: tuple[Agent, Evaluation] | None = None

    def propose(self, room: int, rng: np.random.Generator) -> list[Agent]:
        if self._starts:
            batch, self._starts = self._starts[:room], self._starts[room:]
            return [agent for agent in batch if self.takes(agent)]
        if self._parent is None:
            return []
        parent = self._parent[0]
        return self.fresh(room, lambda: self._offspring(parent, rng))

    def learn(self, agents: Sequence[Agent], evaluations: Sequence[Evaluation]) -> None:
        sound = [(agent, each) for agent, each in zip(agents, evaluations, strict=True) if not each.failed]
        if not sound:
            return
        survivor = min(sound, key=lambda each: (-each[1].rung, each[1].loss))
        if self._parent is None or paired(survivor[1], self._parent[1]).gain > 0:
            self._parent = survivor

    def _offspring(self, parent: Agent, rng: np.random.Generator) -> Agent:
        child = parent
        for _ in range(int(rng.integers(1, _MOST_SWITCHES + 1, size=2).min())):
            child = level_switch((child,), self.space, rng)
        return replace(child, parents=(parent.id,))
