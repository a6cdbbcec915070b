"""Optuna's samplers, over the density of each layer, the metric and the scope, by the protocol of all searchers.

[1] Akiba et al. 2019, "Optuna: a next-generation hyperparameter optimization framework".
"""

from collections.abc import Mapping, Sequence
from math import exp, log
from typing import Any

import numpy as np
import optuna

from dna_ray.evolution.agent import EVERY_KIND, Agent, Evaluation
from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.search.search import ATTEMPTS, Search, Terms
from dna_ray.evolution.space import Space

_WIDEST = 2.0  # a density lies within a factor of e^2 of that of the uniform profile


class OptunaSearch(Search):
    """One trial is one agent; its value is the loss, as the archive carries it to the most minibatches seen.

    Agents whose genome was asked before are failed trials to Optuna, and are not evaluated again.

    Args:
        sampler: Seeded; it must be this search's own.
        metrics: Name -> program, of which a trial chooses one.
        first: Agents whose profile, metric and scope are tried first, as far as they lie in its space.
    """

    def __init__(
        self,
        space: Space,
        sampler: optuna.samplers.BaseSampler,
        metrics: Mapping[str, Program],
        terms: Terms,
        *,
        first: Sequence[Agent] = (),
    ) -> None:
        super().__init__(space, terms)
        self._metrics = dict(metrics)
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it writes a line for every trial otherwise
        self._study = optuna.create_study(sampler=sampler, direction="minimize")
        self._trials: dict[str, optuna.trial.Trial] = {}
        for agent in first:
            if parameters := self._parameters(agent):
                self._study.enqueue_trial(parameters)

    def propose(self, room: int, rng: np.random.Generator) -> list[Agent]:
        found: list[Agent] = []
        for _ in range(ATTEMPTS * room):
            if len(found) == room:
                break
            trial = self._study.ask()
            agent = self._agent(trial)
            if self.takes(agent):
                self._trials[agent.id] = trial
                found.append(agent)
            else:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return found

    def learn(self, agents: Sequence[Agent], evaluations: Sequence[Evaluation]) -> None:
        losses = self.archive.losses()
        for agent, evaluation in zip(agents, evaluations, strict=True):
            if not evaluation.failed:  # a failed one is tried again, and its trial waits
                self._study.tell(self._trials.pop(agent.id), float(losses[self.archive.place(agent.id)]))

    def _agent(self, trial: optuna.trial.Trial) -> Agent:
        budget = self.space.budget
        levels = [
            round(limit * cost * exp(trial.suggest_float(f"layer {place}", -_WIDEST, _WIDEST)))
            for place, (limit, cost) in enumerate(zip(budget.limits, budget.costs, strict=True))
        ]
        metric = trial.suggest_categorical("metric", list(self._metrics))
        scope = trial.suggest_categorical("scope", list(self.space.scopes))
        return Agent(
            levels=self.space.projected(levels),
            metrics=((EVERY_KIND, self._metrics[metric]),),
            scope=scope,
            repair=self.space.repairs[0],
            operator=f"optuna:{type(self._study.sampler).__name__}",
        )

    def _parameters(self, agent: Agent) -> dict[str, Any] | None:
        """What a trial has to suggest to be this agent; None if it cannot."""
        names = [name for name, program in self._metrics.items() if program == agent.metric(EVERY_KIND)]
        scope = "layer" if agent.scope == "global" else agent.scope
        if not names or scope not in self.space.scopes:
            return None
        shares = [kept / limit for kept, limit in zip(self.space.kept(agent), self.space.budget.limits, strict=True)]
        middle = sum(map(log, shares)) / len(shares)
        near = {f"layer {n}": max(-_WIDEST, min(_WIDEST, log(share) - middle)) for n, share in enumerate(shares)}
        return {**near, "metric": names[0], "scope": scope}


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    """Tree-structured Parzen estimator, as Optuna has it by default."""
    return optuna.samplers.TPESampler(seed=seed)


def nsga2(seed: int, *, population_size: int = 20) -> optuna.samplers.BaseSampler:
    """NSGA-II. All agents spend one budget, so the loss is its only objective."""
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=population_size)
