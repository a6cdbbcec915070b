import numpy as np
import pytest
from synthetic import Judge, founders_of, general, run, run_in_disorder, space_of

from dna_ray.evolution import config
from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.metric.founders import MAGNITUDE, WINA
from dna_ray.evolution.search.baselines import BASELINES
from dna_ray.evolution.search.evopress import EvoPress
from dna_ray.evolution.search.founders import METHODS, founders
from dna_ray.evolution.search.search import Search, Terms, restore

SPACE = space_of()
FOUNDERS = founders_of(SPACE)
FOUNDING_METRICS = {general(agent) for agent in FOUNDERS}
JUDGE = Judge(SPACE)


@pytest.fixture(params=BASELINES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def _search(name: str, **terms) -> Search:
    return BASELINES[name](SPACE, FOUNDERS, Terms(**{"evaluations": 40, "batch": 6, "lag": 2, **terms}))


def _loss(search: Search) -> float:
    best = search.best()
    assert best is not None
    return best[1].loss


def test_a_searcher_asks_for_no_more_than_it_may(name: str):
    search = run(_search(name), JUDGE.evaluate)
    assert search.evaluations == (len(FOUNDERS) if name == "founders" else 40)
    assert search.evaluations == search.counts.evaluated == len(search.archive)
    assert search.ask() is None


def test_a_searcher_spends_the_budget_exactly_and_asks_nothing_twice(name: str):
    agents = [entry.agent for entry in run(_search(name), JUDGE.evaluate).archive]
    assert {sum(SPACE.kept(agent)) for agent in agents} == {SPACE.budget.total}
    assert len({agent.genome for agent in agents}) == len(agents)


def test_a_searcher_goes_one_way_in_whatever_order_it_is_told(name: str):
    disorderly = run_in_disorder(_search(name), JUDGE.evaluate, np.random.default_rng(1))
    assert disorderly.lineage_hash == run(_search(name), JUDGE.evaluate).lineage_hash


def test_a_searcher_is_restored_from_its_state(name: str):
    original = _search(name)
    for _ in range(4):
        if batch := original.ask():
            original.tell(batch.number, JUDGE.evaluate(batch.agents))
    again = _search(name)
    restore(again, original.state())
    assert run(again, JUDGE.evaluate).lineage_hash == run(original, JUDGE.evaluate).lineage_hash


def test_a_searcher_lives_with_failures(name: str):
    failed: set[str] = set()

    def fails_at_first(agents: tuple[Agent, ...]) -> list[Evaluation]:
        found = JUDGE.evaluate(agents)
        for place, agent in enumerate(agents):
            if int(agent.genome[:4], 16) % 3 == 0 and agent.genome not in failed:
                failed.add(agent.genome)
                found[place] = Evaluation(agent.id, status="failed", reason="raised")
        return found

    search = run(_search(name), fails_at_first)
    assert search.counts.failed == len(failed) > 0
    assert search.counts.quarantined == 0
    assert len(search.archive) + len(failed) == search.counts.evaluated


def test_the_founders_alone_are_the_known_methods_each_once():
    search = run(_search("founders"), JUDGE.evaluate)
    assert [entry.agent for entry in search.archive] == list(FOUNDERS)
    assert {agent.operator.removeprefix("founder:") for agent in FOUNDERS} <= set(METHODS)


def test_founders_keep_the_profiles_that_were_computed():
    profile = tuple(reversed(SPACE.kept(FOUNDERS[0])[:-1])) + SPACE.kept(FOUNDERS[0])[-1:]
    agents = founders(SPACE, {"global_magnitude": profile, "own": profile})
    assert [agent.operator for agent in agents] == ["founder:global-magnitude", "founder:wina-own"]
    assert all(SPACE.kept(agent) == profile for agent in agents)
    assert agents[0].scope == "global"


@pytest.mark.parametrize(("name", "metric"), [("evopress-magnitude", MAGNITUDE), ("evopress-wina", WINA)])
def test_evopress_changes_levels_alone_and_its_parent_only_for_a_better_one(name: str, metric):
    search = _search(name, evaluations=90, lag=1)
    assert isinstance(search, EvoPress)
    losses = []
    while not search.done:
        batch = search.ask()
        assert batch is not None
        search.tell(batch.number, [JUDGE.evaluation(agent) for agent in batch.agents])
        parents = [agent.parents[0] for agent in batch.agents if agent.parents]
        losses += [search.archive.of(parent).evaluation.loss for parent in parents[:1]]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
    assert {entry.agent.metrics for entry in search.archive} == {(("*", metric),)}


def test_evopress_with_its_best_metric_starts_from_the_best_of_uniform_agents():
    search = _search("evopress-best", evaluations=60, lag=1)
    first = search.ask()
    assert first is not None
    second_half = []
    search.tell(first.number, [JUDGE.evaluation(agent) for agent in first.agents])
    starts = {(general(agent), agent.scope) for agent in first.agents}
    while not search.done:
        batch = search.ask()
        assert batch is not None
        starts |= {(general(agent), agent.scope) for agent in batch.agents if not agent.parents}
        second_half += [agent for agent in batch.agents if agent.parents]
        search.tell(batch.number, [JUDGE.evaluation(agent) for agent in batch.agents])
    assert starts == {(program, scope) for program in FOUNDING_METRICS for scope in SPACE.scopes}
    best = min((entry for entry in search.archive if not entry.agent.parents), key=lambda each: each.evaluation.loss)
    assert {(agent.metrics, agent.scope) for agent in second_half} == {(best.agent.metrics, best.agent.scope)}


def test_optuna_tries_the_founders_first():
    search = run(_search("tpe"), JUDGE.evaluate)
    firsts = [entry.agent for entry in search.archive][: len(FOUNDERS)]
    for found, founder in zip(firsts, FOUNDERS, strict=True):
        assert (found.metrics, found.scope) == (founder.metrics, founder.scope)
        close = np.array(SPACE.kept(found)) / np.array(SPACE.kept(founder))
        assert close.min() > 0.5  # a profile far from uniform lies at the border of its space
        assert close.max() < 2


def test_the_machine_beats_random_search_and_the_founders_at_equal_evaluations():
    def mean(name: str) -> float:
        runs = (run(_search(name, evaluations=200, batch=9, seed=seed), JUDGE.evaluate) for seed in range(3))
        return float(np.mean([_loss(search) for search in runs]))

    machine = mean("machine")
    assert machine < 0.95 * mean("random")
    assert machine < 0.85 * mean("founders")


def test_the_config_knows_every_method_by_its_name():
    assert set(config.METHODS) == BASELINES.keys()
