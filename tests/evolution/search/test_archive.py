import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import Judge, founders_of, run, space_of

from dna_ray.errors import InputError
from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.metric.founders import MAGNITUDE, RIA, WANDA, WINA
from dna_ray.evolution.search.archive import Archive, paired
from dna_ray.evolution.search.behaviour import behaviour, concentration, family, signature
from dna_ray.evolution.search.machine import DarwinGodelMachine
from dna_ray.evolution.search.novelty import Novelty

SPACE = space_of()
AGENTS = founders_of(SPACE)


def _archive(*losses: tuple[float, ...], work: tuple[int, ...] = ()) -> Archive:
    archive = Archive(SPACE)
    for place, each in enumerate(losses):
        agent = AGENTS[place]
        archive.add(agent, Evaluation(agent.id, each, kept=100, multiply_adds=work[place] if work else 0))
    return archive


def test_agents_are_compared_on_the_minibatches_that_both_saw():
    short, long = Evaluation("a", (1.0,)), Evaluation("b", (2.0, 9.0, 9.0))
    assert (paired(short, long).gain, paired(short, long).minibatches) == (1.0, 1)
    assert paired(long, short).relative == -1.0
    assert paired(long, Evaluation("c", (4.0, 11.0, 11.0))).standard_error == 0.0


def test_losses_of_short_evaluations_are_carried_by_those_that_saw_more():
    archive = _archive((1.0, 3.0), (2.0, 4.0), (1.5,))
    assert archive.losses().tolist() == [2.0, 3.0, 2.5]  # all minibatches cost 1 more than the first
    assert archive.order() == [0, 2, 1]


def test_the_best_is_one_of_those_that_saw_most():
    archive = _archive((0.1,), (1.0, 3.0), (0.9, 3.0))
    best = archive.best()
    assert best is not None
    assert best.agent == AGENTS[2]
    assert Archive(SPACE).best() is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 9), st.integers(0, 9)), min_size=1, max_size=len(AGENTS)))
def test_the_front_is_what_none_beats(points: list[tuple[float, int]]):
    archive = _archive(*((loss,) for loss, _ in points), work=tuple(work for _, work in points))
    front = {(entry.evaluation.loss, entry.evaluation.multiply_adds) for entry in archive.front()}
    beaten = {
        one for one in points if any(other != one and other[0] <= one[0] and other[1] <= one[1] for other in points)
    }
    assert front == set(points) - beaten


def test_what_failed_or_is_there_already_does_not_enter():
    archive = _archive((1.0,))
    with pytest.raises(InputError, match="already"):
        archive.add(AGENTS[0], Evaluation(AGENTS[0].id, (1.0,)))
    with pytest.raises(InputError, match="no evaluation that succeeded"):
        archive.add(AGENTS[1], Evaluation(AGENTS[1].id, status="failed", reason="raised"))
    with pytest.raises(InputError, match="no evaluation that succeeded"):
        archive.add(AGENTS[1], Evaluation(AGENTS[2].id, (1.0,)))
    assert len(archive) == 1


def test_the_grid_holds_the_best_of_every_cell():
    judge = Judge(SPACE)
    machine = DarwinGodelMachine(SPACE, AGENTS, evaluations=60)
    grid = run(machine, judge.evaluate).archive.grid()
    assert len(grid) > 3
    losses = machine.archive.losses()
    best = machine.archive.order()[0]
    assert min(losses) == losses[best]
    assert machine.archive[best] in grid.values()


def test_families_are_told_by_what_programs_read():
    def agent(program):
        return Agent((1,), (("*", program),))

    assert [family(agent(each)) for each in (MAGNITUDE, WANDA, RIA)] == [
        "weight",
        "weight input",
        "weight input row column",
    ]


def test_a_profile_is_concentrated_on_few_layers_or_on_none():
    assert concentration(np.full(8, 0.3)) == pytest.approx(0)
    assert concentration(np.eye(8)[0]) == pytest.approx(1)
    assert 0 < concentration(np.array([0.5, 0.1, 0.1])) < 1


def test_signatures_agree_as_rankings_do():
    assert signature(WINA) @ signature(WINA) == pytest.approx(1)
    assert signature(WINA) @ signature(WANDA) > signature(WINA) @ signature(MAGNITUDE)


def test_novelty_is_the_distance_to_the_nearest_whatever_the_order():
    points = np.random.default_rng(0).normal(size=(150, 5))
    points[17] += 30
    novelty = Novelty(5, neighbours=3)
    for point in points:
        novelty.add(point)
    distances = np.sort(np.linalg.norm(points[:, None] - points[None], axis=2), axis=1)[:, 1:4].mean(1)
    expected = (distances - distances.mean()) / distances.std()
    assert novelty.scores() == pytest.approx(expected)
    assert novelty.scores().argmax() == 17


def test_novelty_of_the_first_and_of_equals_is_nothing():
    novelty = Novelty(2)
    assert novelty.scores().tolist() == []
    novelty.add(np.zeros(2))
    novelty.add(np.zeros(2))
    assert novelty.scores().tolist() == [0.0, 0.0]


def test_behaviour_differs_where_profiles_or_metrics_do():
    points = np.array([behaviour(agent, SPACE) for agent in AGENTS])
    assert len(np.unique(points, axis=0)) >= len(AGENTS) - 1  # scopes alone are no other behaviour
