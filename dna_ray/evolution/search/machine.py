"""The Darwin-Goedel machine: agents whose programs rewrite themselves, out of an archive of all that ever lived [1].

Half of the parents come from the elite, half from the whole archive: there, the better an agent is (and the more it
differs from the others), and the fewer children it has, the more probable it is as a parent. A bandit chooses what
makes the child. A program that nobody had before must pass the adoption gate.

[1] Zhang et al. 2025, "Darwin Goedel machine: open-ended evolution of self-improving agents", appendix C.2: the weight
    of a parent. Fitness is measured in MADs from the median here, for losses have no natural scale.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from dna_ray.errors import RecipeError
from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.search.adoption import Adoption
from dna_ray.evolution.search.archive import paired
from dna_ray.evolution.search.bandit import Bandit
from dna_ray.evolution.search.behaviour import behaviour
from dna_ray.evolution.search.novelty import Novelty
from dna_ray.evolution.search.operators import OPERATORS, operators_of
from dna_ray.evolution.search.search import ATTEMPTS, Search, Terms
from dna_ray.evolution.space import Space

STEEPNESS = 3.0  # lambda: how much more probable a parent becomes with a MAD of fitness
FROM_ELITE = 0.5  # share of the parents


class DarwinGodelMachine(Search):
    """Evolves agents from `founders`, which it asks first.

    Args:
        founders: Agents of the space.
        population_size: Agents that count as the population: the best ones of the archive.
        novelty_weight: How many MADs of fitness a standard deviation of novelty is worth to a parent; 0 turns it off.
        mutation_rate: Share of the layers that a mutation of levels changes on average.
        elite_size: The best agents, of which half of the parents come.
        generations: It asks for `generations` x `population_size` evaluations, unless told how many.
        evaluations: In all, in place of that.
        batch: Agents that are evaluated together.
        lag: Batches under way at most; the same for any number of workers up to it, or lineages differ.
        free_running: Results are used as they come; then a run cannot be repeated.
        use_archive: Off: parents only from the population.

    Raises:
        RecipeError: A number does not fit, the budget is smaller than the founders, or no gene may change.
    """

    def __init__(
        self,
        space: Space,
        founders: Sequence[Agent],
        *,
        seed: int = 0,
        population_size: int = 20,
        novelty_weight: float = 0.3,
        mutation_rate: float = 0.1,
        elite_size: int = 2,
        generations: int = 10,
        evaluations: int | None = None,
        batch: int = 9,
        lag: int = 2,
        free_running: bool = False,
        use_archive: bool = True,
    ) -> None:
        total = population_size * generations if evaluations is None else evaluations
        terms = Terms(seed=seed, evaluations=total, batch=batch, lag=lag, free_running=free_running)
        super().__init__(replace(space, mutation_rate=mutation_rate), terms)
        _check(founders, total, population_size, elite_size)
        operators = operators_of(self.space)
        if not operators:
            raise RecipeError("no gene may change: turn the metric gene or the profile gene on")
        self._founders = list(founders)
        self._population_size, self._elite_size = population_size, elite_size
        self._novelty_weight, self._use_archive = novelty_weight, use_archive
        self._bandit = Bandit(operators)
        self._adoption = Adoption(program for agent in founders for _, program in agent.metrics)
        self._novelty = Novelty(len(behaviour(self._founders[0], self.space)))
        self._children: list[int] = []  # of each entry of the archive

    def propose(self, room: int, rng: np.random.Generator) -> list[Agent]:
        found: list[Agent] = []
        while self._founders and len(found) < room:
            agent = self._founders.pop(0)
            found += [agent] if self.takes(agent) else []
        if len(found) == room or not len(self.archive):
            return found
        parents = _Parents(self._weights(), self.archive.finalists()[: self._elite_size])
        children = self.fresh(room - len(found), lambda: self._child(parents, rng))
        for place in (self.archive.place(parent) for child in children for parent in child.parents):
            self._children[place] += 1
        return found + children

    def learn(self, agents: Sequence[Agent], evaluations: Sequence[Evaluation]) -> None:
        for agent, evaluation in zip(agents, evaluations, strict=True):
            if evaluation.failed:
                continue
            self._children.append(0)
            if self._novelty_weight:
                self._novelty.add(behaviour(agent, self.space))
            if agent.parents:
                self._compare(agent, evaluation, agent.parents[0])

    def population(self) -> list[tuple[Agent, Evaluation]]:
        """The best agents, best first."""
        entries = [self.archive[place] for place in self.archive.order()[: self._population_size]]
        return [(entry.agent, entry.evaluation) for entry in entries]

    def operators(self) -> dict[str, float]:
        """How probable each operator is at the moment."""
        return self._bandit.probabilities()

    def _compare(self, agent: Agent, evaluation: Evaluation, parent: str) -> None:
        """With its first parent, in pairs: what the bandit learns, and the journal keeps."""
        found = paired(evaluation, self.archive.of(parent).evaluation)
        self._bandit.learn(agent.operator, found.relative)
        self.record(
            "compared",
            agent=agent.id,
            parent=parent,
            gain=found.gain,
            relative=found.relative,
            standard_error=found.standard_error if isfinite(found.standard_error) else None,
            minibatches=found.minibatches,
        )

    def _child(self, parents: "_Parents", rng: np.random.Generator) -> Agent | None:
        """A child whose programs are all adopted; None if this attempt gave none."""
        operator = self._bandit.choose(rng)
        pair = [self.archive[place].agent for place in parents.pair(rng)]
        child = OPERATORS[operator].make(pair, self.space, rng)
        return child if child is not pair[0] and self._adopts(child) else None

    def _adopts(self, child: Agent) -> bool:
        """Whether all its programs are in. Every verdict becomes an event, with the figures that it rests on."""
        for kind, program in child.metrics:
            if self._adoption.adopted(program):
                continue
            if self._adoption.rejected(program):
                return False
            verdict = self._adoption.judge(program)
            self.record(
                "adopted" if verdict.accepted else "rejected",
                program=str(program),
                kind=kind,
                parents=list(child.parents),
                operator=child.operator,
                verdict=asdict(verdict),
            )
            if not verdict.accepted:
                return False
        return True

    def _weights(self) -> NDArray[np.float64]:
        """Of all places of the archive: sigmoid(lambda (f - median) / MAD) / (1 + children), f with its novelty."""
        losses = self.archive.losses()
        centred = np.median(losses) - losses
        spread = float(np.median(np.abs(centred))) or float(np.abs(centred).max()) or 1.0
        score = centred / spread
        if self._novelty_weight:
            score = score + self._novelty_weight * self._novelty.scores()
        weights = 1 / (1 + np.exp(np.clip(-STEEPNESS * score, -60, 60))) / (1 + np.array(self._children))
        if not self._use_archive:
            weights[self.archive.order()[self._population_size :]] = 0
        return weights


class _Parents:
    """Draws pairs of parents, as places of the archive: half from the elite, half by weight."""

    def __init__(self, weights: NDArray[np.float64], elite: Sequence[int]) -> None:
        self._chances, self._elite = np.cumsum(weights), elite

    def pair(self, rng: np.random.Generator) -> tuple[int, int]:
        """Two different places, where there are two."""
        first, second = self._draw(rng), self._draw(rng)
        for _ in range(ATTEMPTS):
            if second != first:
                break
            second = self._draw(rng)
        return first, second

    def _draw(self, rng: np.random.Generator) -> int:
        if rng.random() < FROM_ELITE:
            return self._elite[int(rng.integers(len(self._elite)))]
        place = np.searchsorted(self._chances, rng.random() * self._chances[-1], side="right")
        return min(int(place), len(self._chances) - 1)


def _check(founders: Sequence[Agent], total: int, population_size: int, elite_size: int) -> None:
    if not founders:
        raise RecipeError("a machine needs a founder to start from")
    if total < len(founders):
        raise RecipeError(
            f"a budget of {total} evaluations is smaller than the {len(founders)} founders; "
            "give more generations, a larger population, or fewer founders"
        )
    if not 1 <= elite_size <= population_size:
        raise RecipeError(f"elite_size is {elite_size}; give 1 to population_size, which is {population_size}")
