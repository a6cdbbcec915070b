"""What a search is compared with: one table of searchers, all of which get the same founders and evaluations.

To add one: add its factory, and its line here. `tests/evolution/search/test_baselines.py` holds it to what all promise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial

from dna_ray.evolution.agent import EVERY_KIND, Agent
from dna_ray.evolution.metric.founders import FOUNDERS
from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.search.enumeration import Enumeration
from dna_ray.evolution.search.evopress import EvoPress
from dna_ray.evolution.search.founders import founder
from dna_ray.evolution.search.machine import DarwinGodelMachine
from dna_ray.evolution.search.random_search import RandomSearch
from dna_ray.evolution.search.search import Search, Terms
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.budget import apportion

Factory = Callable[[Space, Sequence[Agent], Terms], Search]


def _founders(space: Space, founders: Sequence[Agent], terms: Terms) -> Search:
    return Enumeration(space, founders, terms)


def _random(space: Space, founders: Sequence[Agent], terms: Terms) -> Search:
    return RandomSearch(space, tuple(_metrics(founders).values()), terms)


def _evopress(space: Space, founders: Sequence[Agent], terms: Terms, *, metric: str) -> Search:
    return EvoPress(space, [_uniform(space, metric)], terms)


def _evopress_best(space: Space, founders: Sequence[Agent], terms: Terms) -> Search:
    starts = [_uniform(space, metric, scope=scope) for metric in _metrics(founders) for scope in space.scopes]
    return EvoPress(space, starts, terms)


def _uniform(space: Space, metric: str, *, scope: str = "layer") -> Agent:
    uniform = apportion(space.budget.limits, space.budget)
    return founder(f"evopress-{metric}", space, uniform, metric=metric, scope=scope)


def _tpe(space: Space, founders: Sequence[Agent], terms: Terms) -> Search:
    # optuna takes most of a second to import
    from dna_ray.evolution.search.optuna_search import OptunaSearch, tpe

    return OptunaSearch(space, tpe(terms.seed), _metrics(founders), terms, first=founders)


def _nsga2(space: Space, founders: Sequence[Agent], terms: Terms) -> Search:
    from dna_ray.evolution.search.optuna_search import OptunaSearch, nsga2

    return OptunaSearch(space, nsga2(terms.seed), _metrics(founders), terms, first=founders)


def _machine(
    space: Space,
    founders: Sequence[Agent],
    terms: Terms,
    *,
    archive: bool = True,
    metric_gene: bool = True,
    profile_gene: bool = True,
    novelty_weight: float = 0.3,
) -> Search:
    own = replace(
        space, metric_gene=space.metric_gene and metric_gene, profile_gene=space.profile_gene and profile_gene
    )
    return DarwinGodelMachine(own, founders, novelty_weight=novelty_weight, use_archive=archive, **asdict(terms))


# With no metric gene, a child has the programs of its first parent, so of a founder; with no profile gene, its levels.
BASELINES: Mapping[str, Factory] = {
    "founders": _founders,
    "random": _random,
    "evopress-magnitude": partial(_evopress, metric="magnitude"),
    "evopress-wina": partial(_evopress, metric="wina"),
    "evopress-best": _evopress_best,  # of the known metrics and scopes, tried first
    "tpe": _tpe,
    "nsga2": _nsga2,
    "machine": _machine,
    "machine-no-archive": partial(_machine, archive=False),
    "machine-no-metric": partial(_machine, metric_gene=False),
    "machine-no-profile": partial(_machine, profile_gene=False),
    "machine-no-novelty": partial(_machine, novelty_weight=0.0),
}


def _metrics(founders: Sequence[Agent]) -> dict[str, Program]:
    """Known metrics that the founders have, by their names."""
    used = {agent.metric(EVERY_KIND) for agent in founders}
    return {name: program for name, program in FOUNDERS.items() if program in used}
