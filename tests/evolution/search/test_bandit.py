import json

import numpy as np
import pytest

from dna_ray.evolution.search.bandit import LEAST, WINDOW, Bandit

ARMS = ("switch", "mix", "flip")


def _taught(*lessons: tuple[str, float], times: int = 1) -> Bandit:
    bandit = Bandit(ARMS)
    for _ in range(times):
        for arm, gain in lessons:
            bandit.learn(arm, gain)
    return bandit


def test_before_it_learns_all_operators_are_equally_probable():
    assert list(Bandit(ARMS).probabilities().values()) == pytest.approx([1 / 3] * 3)


def test_what_gained_most_is_chosen_most_and_nothing_is_given_up():
    chances = _taught(("switch", 0.2), ("mix", 0.1), ("flip", -0.3), times=30).probabilities()
    assert chances["switch"] > chances["mix"] > chances["flip"] >= LEAST / len(ARMS)
    assert sum(chances.values()) == pytest.approx(1)


def test_the_scale_of_the_gains_is_no_matter():
    small = _taught(("switch", 0.002), ("mix", 0.001), ("flip", -0.1), times=9)
    large = _taught(("switch", 900.0), ("mix", 0.5), ("flip", -7.0), times=9)
    assert small.probabilities() == large.probabilities()


def test_what_was_long_ago_is_forgotten():
    bandit = _taught(("flip", 1.0), times=50)
    for _ in range(WINDOW):
        bandit.learn("mix", 0.1)
    assert bandit.probabilities()["mix"] > bandit.probabilities()["flip"]


def test_choices_follow_the_probabilities():
    bandit, rng = _taught(("switch", 0.2), ("mix", -0.1), times=20), np.random.default_rng(0)
    drawn = [bandit.choose(rng) for _ in range(4000)]
    for arm, chance in bandit.probabilities().items():
        assert drawn.count(arm) / 4000 == pytest.approx(chance, abs=0.03)


def test_its_state_is_json_and_brings_it_back():
    bandit = _taught(("switch", 0.25), ("mix", -0.1), times=7)
    back = Bandit.from_state(json.loads(json.dumps(bandit.state())))
    assert back.probabilities() == bandit.probabilities()


def test_what_founders_bring_is_no_operator_to_learn_of():
    assert _taught(("founder:wina", 3.0)).probabilities() == Bandit(ARMS).probabilities()
