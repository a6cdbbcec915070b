import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from synthetic import Judge, founders_of, general, run, run_in_disorder, space_of

from dna_ray.errors import ArtifactError, InputError, RecipeError
from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.metric.founders import MAGNITUDE
from dna_ray.evolution.search.archive import paired
from dna_ray.evolution.search.machine import DarwinGodelMachine
from dna_ray.evolution.search.search import TRIES, Search, Terms, replay, restore

SPACE = space_of()
FOUNDERS = founders_of(SPACE)
JUDGE = Judge(SPACE)


def _machine(**arguments) -> DarwinGodelMachine:
    return DarwinGodelMachine(SPACE, FOUNDERS, **{"evaluations": 60, "batch": 6, "lag": 3, **arguments})


def _asked(search: Search) -> list[Agent]:
    """All agents that it asks, in order, when every one of them is evaluated."""
    found: list[Agent] = []

    def evaluate(agents: Sequence[Agent]) -> list[Evaluation]:
        found.extend(agents)
        return JUDGE.evaluate(agents)

    run(search, evaluate)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_lineage_is_the_same_in_whatever_order_batches_are_told(seed: int):
    disorderly = run_in_disorder(_machine(), JUDGE.evaluate, np.random.default_rng(seed))
    assert disorderly.lineage_hash == run(_machine(), JUDGE.evaluate).lineage_hash
    assert disorderly.counts.evaluated == 60


def test_lineage_depends_on_the_seed_and_on_the_lag():
    hashes = {run(_machine(**each), JUDGE.evaluate).lineage_hash for each in ({}, {"seed": 1}, {"lag": 2})}
    assert len(hashes) == 3


def test_lineage_does_not_depend_on_how_long_evaluations_took():
    def slow(agents: Sequence[Agent]) -> list[Evaluation]:
        return [Evaluation.from_json({**each.to_json(), "seconds": 9.0}) for each in JUDGE.evaluate(agents)]

    assert run(_machine(), slow).lineage_hash == run(_machine(), JUDGE.evaluate).lineage_hash


@pytest.mark.parametrize("free_running", [False, True])
def test_resumed_at_any_boundary_of_batches_it_goes_the_same_way(free_running: bool):
    original, states = _machine(free_running=free_running), []
    while not original.done:
        if batch := original.ask():
            states.append(json.dumps(original.state()))
            original.tell(batch.number, JUDGE.evaluate(batch.agents))
            states.append(json.dumps(original.state()))
    for state in states:
        resumed = _machine(free_running=free_running)
        restore(resumed, json.loads(state))
        assert resumed.events() == []
        for batch in resumed.pending:
            resumed.tell(batch.number, JUDGE.evaluate(batch.agents))
        run(resumed, JUDGE.evaluate)
        assert resumed.lineage_hash == original.lineage_hash
        assert resumed.counts == original.counts
        assert resumed.operators() == original.operators()


def test_told_batches_alone_bring_it_back():
    original, told = _machine(), []
    for _ in range(5):
        batch = original.ask()
        assert batch is not None
        evaluations = JUDGE.evaluate(batch.agents)
        told.append({"number": batch.number, "evaluations": [each.to_json() for each in evaluations]})
        original.tell(batch.number, evaluations)
    again = _machine()
    replay(again, told)
    assert again.lineage_hash == original.lineage_hash
    assert again.ask() == original.ask()


def test_the_state_of_another_search_is_refused():
    state = _machine(seed=1).state()
    with pytest.raises(ArtifactError, match="state of a DarwinGodelMachine|not of a"):
        restore(_machine(), {**state, "searcher": "EvoPress"})
    with pytest.raises(ArtifactError, match="later version"):
        restore(_machine(), {**state, "format": 99})
    other = _machine(seed=1)
    for _ in range(4):
        batch = other.ask()
        assert batch is not None
        other.tell(batch.number, JUDGE.evaluate(batch.agents))
    with pytest.raises(ArtifactError, match="does not go the same way again"):
        restore(_machine(seed=2), other.state())


def test_no_genome_is_asked_twice():
    machine = _machine(evaluations=120)
    genomes = [agent.genome for agent in _asked(machine)]
    assert len(set(genomes)) == len(genomes) == 120
    assert machine.counts.duplicates > 0


def test_a_genome_that_failed_three_times_is_never_asked_again():
    poison, tries = FOUNDERS[1].genome, 0

    def evaluate(agents: Sequence[Agent]) -> list[Evaluation]:
        nonlocal tries
        tries += sum(agent.genome == poison for agent in agents)
        sound = JUDGE.evaluate(agents)
        return [
            Evaluation(agent.id, status="failed", reason="loss is NaN") if agent.genome == poison else each
            for agent, each in zip(agents, sound, strict=True)
        ]

    machine = run(_machine(), evaluate)
    assert tries == TRIES == machine.counts.failed
    assert machine.counts.quarantined == 1
    assert machine.evaluations == machine.counts.evaluated == 60  # failures cost what successes do
    assert poison not in {entry.agent.genome for entry in machine.archive}
    quarantined = [event for event in machine.events() if event["event"] == "quarantined"]
    assert [event["reason"] for event in quarantined] == ["loss is NaN"]


def test_when_all_founders_fail_it_is_done():
    def fails(agents: Sequence[Agent]) -> list[Evaluation]:
        return [Evaluation(agent.id, status="failed", reason="raised") for agent in agents]

    machine = run(_machine(), fails)
    assert machine.best() is None
    assert machine.counts.quarantined == len(FOUNDERS)


def test_a_second_try_that_succeeds_is_one_like_any_other():
    failed: set[str] = set()

    def evaluate(agents: Sequence[Agent]) -> list[Evaluation]:
        new = {agent.id for agent in agents} - failed
        failed.update(new)
        return [
            Evaluation(agent.id, status="failed", reason="lost its way") if agent.id in new else JUDGE.evaluation(agent)
            for agent in agents
        ]

    machine = run(_machine(evaluations=40), evaluate)
    assert machine.counts.quarantined == 0
    assert machine.counts.failed + len(machine.archive) == 40
    assert {entry.agent.id for entry in machine.archive} < failed
    assert len(machine.archive) > 10


def test_what_it_is_told_must_be_of_the_batch_that_it_asked():
    machine = _machine()
    batch = machine.ask()
    assert batch is not None
    evaluations = JUDGE.evaluate(batch.agents)
    with pytest.raises(InputError, match="never asked"):
        machine.tell(7, evaluations)
    with pytest.raises(InputError, match="other agents"):
        machine.tell(0, evaluations[::-1])
    machine.tell(0, evaluations)
    with pytest.raises(InputError, match="told already"):
        machine.tell(0, evaluations)


def test_every_new_program_passed_the_gate_and_every_verdict_is_an_event():
    machine = run(_machine(evaluations=150), JUDGE.evaluate)
    events = machine.events()
    json.dumps(events, allow_nan=False)
    adopted = [event["program"] for event in events if event["event"] == "adopted"]
    rejected = [event["program"] for event in events if event["event"] == "rejected"]
    assert (len(adopted), len(rejected)) == (machine.counts.adopted, machine.counts.rejected)
    assert len(set(adopted + rejected)) == len(adopted + rejected)
    founding = {str(program) for agent in FOUNDERS for _, program in agent.metrics}
    used = {str(program) for entry in machine.archive for _, program in entry.agent.metrics}
    assert used <= founding | set(adopted)
    assert used - founding
    hashes = [event["verdict"]["figures"]["rank_hash"] for event in events if event["event"] == "adopted"]
    assert len(set(hashes)) == len(hashes)
    assert machine.events() == []


def test_every_child_is_compared_with_its_parent_in_pairs():
    machine = run(_machine(), JUDGE.evaluate)
    compared = [event for event in machine.events() if event["event"] == "compared"]
    children = [entry for entry in machine.archive if entry.agent.parents]
    assert [event["agent"] for event in compared] == [entry.agent.id for entry in children]
    last = children[-1]
    parent = machine.archive.of(last.agent.parents[0])
    assert compared[-1]["gain"] == paired(last.evaluation, parent.evaluation).gain


def test_every_agent_spends_the_budget_exactly():
    for entry in run(_machine(), JUDGE.evaluate).archive:
        assert sum(SPACE.kept(entry.agent)) == SPACE.budget.total


def test_without_a_metric_gene_programs_are_those_of_the_founders():
    space = space_of()
    fixed = DarwinGodelMachine(_switched(space, metric_gene=False), FOUNDERS, evaluations=60)
    asked = _asked(fixed)
    assert {general(agent) for agent in asked} == {general(agent) for agent in FOUNDERS}
    assert len({agent.levels for agent in asked}) > 20
    assert fixed.counts.adopted == 0


def test_without_a_profile_gene_levels_are_those_of_the_founders():
    asked = _asked(DarwinGodelMachine(_switched(space_of(), profile_gene=False), FOUNDERS, evaluations=60))
    assert {agent.levels for agent in asked} == {agent.levels for agent in FOUNDERS}
    assert len({agent.metrics for agent in asked}) > 20


def test_without_an_archive_all_parents_are_of_the_population():
    machine = _machine(use_archive=False, population_size=5, evaluations=90, lag=1)
    while not machine.done:
        population = {agent.id for agent, _ in machine.population()}
        batch = machine.ask()
        assert batch is not None
        elders = population | {agent.id for agent, _ in machine.population()}
        finalists = {machine.archive[place].agent.id for place in machine.archive.finalists()[:2]}
        assert {parent for agent in batch.agents for parent in agent.parents} <= elders | finalists
        machine.tell(batch.number, JUDGE.evaluate(batch.agents))


def test_with_an_archive_parents_come_from_beyond_the_population():
    machine = run(_machine(population_size=5, evaluations=90), JUDGE.evaluate)
    parents = {parent for entry in machine.archive for parent in entry.agent.parents}
    assert len(parents) > 15


def test_novelty_is_what_its_weight_makes_of_it():
    hashes = {run(_machine(novelty_weight=weight), JUDGE.evaluate).lineage_hash for weight in (0.0, 0.3)}
    assert len(hashes) == 2


def test_the_population_is_the_best_and_best_first():
    machine = run(_machine(population_size=7), JUDGE.evaluate)
    population = machine.population()
    losses = [machine.archive.losses()[machine.archive.place(agent.id)] for agent, _ in population]
    assert len(population) == 7
    assert losses == sorted(losses) == sorted(machine.archive.losses())[:7]


def test_a_machine_stops_at_generations_times_population():
    machine = DarwinGodelMachine(SPACE, FOUNDERS, population_size=10, generations=3)
    assert len(_asked(machine)) == 30
    assert machine.ask() is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"evaluations": 3}, "budget of 3 evaluations is smaller than the 8 founders"),
        ({"elite_size": 0}, "elite_size is 0"),
        ({"elite_size": 30}, "population_size, which is 20"),
        ({"lag": 0}, "lag is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"mutation_rate": 2.0}, "mutation_rate is 2.0"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(arguments: dict, message: str):
    with pytest.raises(RecipeError, match=message) as caught:
        _machine(**arguments)
    assert "\n" not in str(caught.value)


def test_a_machine_in_which_nothing_may_change_is_refused():
    with pytest.raises(RecipeError, match="no gene may change"):
        DarwinGodelMachine(_switched(SPACE, metric_gene=False, profile_gene=False, scopes=("layer",)), FOUNDERS)
    with pytest.raises(RecipeError, match="needs a founder"):
        DarwinGodelMachine(SPACE, ())


def test_it_finds_a_metric_that_no_founder_has():
    poor = tuple(agent for agent in FOUNDERS if general(agent) == MAGNITUDE)
    space = _switched(SPACE, profile_gene=False)
    machine = run(DarwinGodelMachine(space, poor, evaluations=150), JUDGE.evaluate)
    best = machine.best()
    assert best is not None
    assert best[1].loss < min(JUDGE.evaluation(agent).loss for agent in poor)
    assert {program for _, program in best[0].metrics} - {MAGNITUDE}


def test_terms_are_checked_where_they_are_made():
    with pytest.raises(RecipeError, match="seed is -1"):
        Terms(seed=-1)


def _switched(space, **switches):
    return replace(space, **switches)
