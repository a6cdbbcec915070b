from dataclasses import replace

import pytest
import synthetic

from dna_ray.distributed.suspects import LOST_TOGETHER, PATIENCE, Case
from dna_ray.evolution.agent import Agent
from dna_ray.evolution.search.searcher import Batch

SPACE = synthetic.space_of()
AGENTS = synthetic.founders_of(SPACE)[:4]
JUDGE = synthetic.Judge(SPACE)


def closed(case: Case, *poison: Agent, together: int | None = None) -> tuple[int, Case]:
    """Evaluates until the case is closed, with evaluators that die of `poison`, or of so many agents at once."""
    deaths = 0
    while case.evaluations is None:
        if set(case.due) & set(poison) or (together and len(case.due) >= together):
            deaths += 1
            case.lost()
        else:
            case.found(JUDGE.evaluate(case.due))
    return deaths, case


def statuses(case: Case) -> list[str]:
    return [each.status for each in case.evaluations or ()]


def test_a_batch_that_is_lost_once_is_evaluated_as_if_it_had_not_been():
    case = Case(Batch(0, AGENTS), set())
    case.lost()
    assert case.due == AGENTS
    assert closed(case) == (0, case)
    assert case.evaluations == tuple(JUDGE.evaluate(AGENTS))


@pytest.mark.parametrize("places", [(0,), (3,), (1, 2), (0, 1, 2, 3)])
def test_those_that_evaluators_die_of_have_failed_and_the_others_race_as_ever(places: tuple[int, ...]):
    poison = [AGENTS[place] for place in places]
    deaths, case = closed(Case(Batch(0, AGENTS), set()), *poison)
    assert deaths == PATIENCE + len(poison)
    others = [agent for agent in AGENTS if agent not in poison]
    expected = {each.agent: each for each in JUDGE.evaluate(others)}
    assert [each.agent for each in case.evaluations or ()] == [agent.id for agent in AGENTS]
    for agent, found in zip(AGENTS, case.evaluations or (), strict=True):
        assert found.failed if agent in poison else found == expected[agent.id]


def test_a_genome_that_was_deadly_before_is_tried_alone_at_once():
    convicts: set[str] = set()
    closed(Case(Batch(0, AGENTS), convicts), AGENTS[2])
    again = replace(AGENTS[2], parents=(AGENTS[0].id,), operator="crossover")
    case = Case(Batch(1, (AGENTS[0], again, AGENTS[1])), convicts)
    assert case.due == (again,)
    assert closed(case, again)[0] == 1
    assert statuses(case) == ["ok", "failed", "ok"]


def test_agents_that_are_deadly_only_together_fail_together():
    deaths, case = closed(Case(Batch(0, AGENTS), set()), together=2)
    assert deaths == 2 * PATIENCE
    assert [each.reason for each in case.evaluations or ()] == [LOST_TOGETHER] * 4


def test_a_suspect_that_does_well_is_cleared():
    case = Case(Batch(0, AGENTS), {AGENTS[0].genome})
    assert case.due == (AGENTS[0],)
    assert closed(case)[0] == 0
    assert case.evaluations == tuple(JUDGE.evaluate(AGENTS))
