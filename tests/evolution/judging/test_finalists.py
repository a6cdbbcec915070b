import small_subjects as small

from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.judging.finalists import FINALISTS, finalists
from dna_ray.evolution.metric.founders import FOUNDERS
from dna_ray.evolution.search.enumeration import Enumeration
from dna_ray.evolution.search.random_search import RandomSearch
from dna_ray.evolution.search.search import Search, Terms
from dna_ray.evolution.serial import evaluate_here


def searched(search: Search, evaluator: Evaluator) -> Search:
    list(evaluate_here(search, evaluator, stopping=lambda: False))
    return search


def test_finalists_are_the_best_ten_of_those_that_saw_all_in_the_order_of_fresh_data():
    subject = small.subject("images")
    space = small.space(subject)
    evaluator = Evaluator(subject, space)
    terms = Terms(evaluations=33, batch=3, lag=1)
    search = searched(RandomSearch(space, tuple(FOUNDERS.values()), terms), evaluator)
    found = finalists(search, evaluator)
    assert len(found) == FINALISTS
    assert {each.evaluation.rung for each in found} == {16}
    losses = [each.loss for each in found]
    assert losses == sorted(losses)
    best = [search.archive[place].agent for place in search.archive.finalists()[:FINALISTS]]
    assert {each.agent.id for each in found} == {agent.id for agent in best}


def test_a_task_of_ones_own_has_data_of_its_own_and_keeps_the_order_of_the_search():
    subject = small.subject("images")
    space = small.space(subject)
    evaluator = Evaluator(subject, space, task=lambda network: float(int(network.fingerprint[:6], 16)))
    search = searched(Enumeration(space, small.agents(space), Terms(evaluations=8)), evaluator)
    found = finalists(search, evaluator)
    assert [each.loss for each in found] == [None] * len(found)
    assert [each.evaluation.loss for each in found] == sorted(each.evaluation.loss for each in found)


def test_a_search_of_which_all_failed_has_none():
    subject = small.subject("images")
    space = small.space(subject)
    evaluator = Evaluator(subject, space, task=lambda network: float("nan"))
    assert (
        finalists(searched(Enumeration(space, small.agents(space), Terms(evaluations=8)), evaluator), evaluator) == []
    )
