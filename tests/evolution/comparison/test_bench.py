from dataclasses import replace

import pytest
import small_subjects as small

from dna_ray.errors import RecipeError
from dna_ray.evolution.agent import Agent
from dna_ray.evolution.comparison.bench import Bench
from dna_ray.evolution.comparison.config import KNOWN, METHODS, OURS, Cell, ComparisonConfig
from dna_ray.evolution.comparison.outcome import Outcome
from dna_ray.evolution.judging.finalists import FINALISTS
from dna_ray.evolution.sparsity.budget import in_weights
from dna_ray.evolution.subject.subject import prepare

CONFIG = ComparisonConfig(sparsities=(0.5, 0.8), seeds=2, evaluations=20, minibatch=4, calibration=16)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(small.subject("images"), CONFIG)


def figures(outcome: Outcome | None) -> Outcome:
    assert outcome is not None
    return replace(outcome, seconds=0.0)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_spends_the_budget_chooses_and_is_judged(bench: Bench, method: str):
    found = figures(bench.run(Cell(0.8, method, 1)))
    subject = small.subject("images")
    assert found.evaluations == (1 if method in KNOWN else 20)
    assert found.agent is not None
    assert found.kept == in_weights(subject.layers, 0.8).total
    assert found.curve[-1][1] <= found.loss
    assert len(found.items) == len(subject.test)
    assert {Agent.from_json(found.agent).repair} == set(subject.repairs)
    losses = [loss for _, loss in found.curve]
    assert losses == sorted(losses, reverse=True)
    assert (found.fresh_loss is None) == (method in KNOWN)


def test_a_cell_depends_on_nothing_that_ran_before_it(bench: Bench):
    cell = Cell(0.5, OURS, 0)
    bench.run(Cell(0.8, "tpe", 0))
    assert figures(bench.run(cell)) == figures(Bench(small.subject("images"), CONFIG).run(cell))


def test_the_choice_is_the_best_finalist_on_data_that_no_race_has_seen(bench: Bench):
    found = figures(bench.run(Cell(0.5, "random", 0)))
    place = bench._place(0.5)
    full = place.evaluator.evaluate_on_finals([Agent.from_json(found.agent or {})])
    assert full[0].loss == found.fresh_loss
    assert FINALISTS == 10


def test_a_search_that_is_stopped_has_no_outcome(bench: Bench):
    assert bench.run(Cell(0.5, OURS, 0), stopping=lambda: True) is None


def test_the_dense_network_is_judged_on_the_same_examples(bench: Bench):
    dense = bench.dense()
    assert dense["score"] == figures(bench.run(Cell(0.5, "wanda", 0))).score
    assert len(dense["items"]) == len(small.subject("images").test)


def test_fewer_evaluations_than_founders_are_refused():
    with pytest.raises(RecipeError, match="fewer than the"):
        Bench(small.subject("images"), replace(CONFIG, evaluations=3)).run(Cell(0.5, "magnitude", 0))


def own(task: str) -> Bench:
    settings = small.settings(signal=f"failing_tasks:{task}")
    return Bench(prepare(small.network("images"), settings), replace(CONFIG, signal=settings.signal))


@pytest.mark.parametrize("method", ["random", "evopress-best", "nsga2", OURS])
def test_evaluations_that_fail_are_counted_as_made(method: str):
    found = figures(own("half_fails").run(Cell(0.5, method, 0)))
    assert found.evaluations == 20
    assert 0 < found.failed < 20
    assert found.items


def test_a_method_of_which_every_agent_fails_has_no_choice_and_says_why():
    bench = own("always_fails")
    searched, known = (figures(bench.run(Cell(0.5, method, 0))) for method in ("random", "wanda"))
    assert (searched.failed, searched.items, searched.reason) == (20, (), "every agent failed")
    assert (known.failed, known.evaluations) == (1, 1)
    assert "ValueError: never" in known.reason
