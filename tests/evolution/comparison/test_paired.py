import numpy as np
import pytest
from scipy import stats

from dna_ray.evolution.comparison.paired import interval, paired


def items(scores: np.ndarray) -> dict[int, tuple[float, ...]]:
    return {seed: tuple(row) for seed, row in enumerate(scores)}


def test_one_seed_is_the_paired_t_test_over_examples():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(1, 50)), rng.normal(size=(1, 50))
    found = paired(items(one), items(other))
    expected = stats.ttest_rel(one[0], other[0])
    assert found is not None
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_where_examples_do_not_matter_it_is_the_t_test_over_seeds():
    leads = np.array([0.01, 0.03, 0.02, 0.05])
    found = paired(items(np.tile(leads[:, None], 40)), items(np.zeros((4, 40))))
    expected = stats.ttest_1samp(leads, 0)
    assert found is not None
    assert found.value == pytest.approx(leads.mean())
    assert found.p == pytest.approx(expected.pvalue)
    assert found.low == pytest.approx(expected.confidence_interval(0.95).low)


def test_the_interval_covers_the_truth_where_seeds_and_examples_are_samples():
    rng, covered, trials = np.random.default_rng(1), 0, 300
    for _ in range(trials):
        lead = 0.1 + rng.normal(0, 1, 200) + rng.normal(0, 0.1, (5, 1)) + rng.normal(0, 0.5, (5, 200))
        found = paired(items(lead), items(np.zeros_like(lead)))
        assert found is not None
        covered += found.low <= 0.1 <= found.high
    assert 0.93 <= covered / trials <= 1


def test_swapping_the_methods_turns_the_interval_round():
    rng = np.random.default_rng(2)
    one, other = items(rng.normal(size=(3, 30))), items(rng.normal(size=(3, 30)))
    there, back = paired(one, other), paired(other, one)
    assert there is not None
    assert back is not None
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


def test_only_seeds_that_both_have_are_compared():
    one, other = items(np.ones((3, 20))), items(np.zeros((2, 20)))
    found = paired(one, other)
    assert found is not None
    assert (found.seeds, found.value, found.p) == (2, 1.0, 0.0)
    assert paired(one, {}) is None


def test_equal_scores_are_no_difference():
    found = paired(items(np.ones((2, 9))), items(np.ones((2, 9))))
    assert found is not None
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_an_interval_needs_two_values():
    assert interval([0.5]) is None
    low, high = interval([0.4, 0.5, 0.6]) or (0, 0)
    assert (low + high) / 2 == pytest.approx(0.5)
    assert high - low == pytest.approx(2 * 4.302653 * 0.1 / 3**0.5)
