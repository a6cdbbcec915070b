import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor

from dna_ray.tasks import estimates


def similarities(n: int, *, noise: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Of n random examples under a network, and under one that is off by `noise`."""
    generator = torch.Generator().manual_seed(seed)
    one = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    other = one + noise * torch.randn(n, 8, generator=generator, dtype=torch.float64)
    one, other = F.normalize(one, dim=-1), F.normalize(other, dim=-1)
    return one @ one.T, other @ other.T


def spearman(a: Tensor, b: Tensor) -> float:
    i, j = torch.triu_indices(len(a), len(a), offset=1)
    return float(spearmanr(a[i, j], b[i, j]).statistic)


@pytest.mark.parametrize("digits", [16, 1], ids=["distinct", "ties"])
def test_rank_correlation_is_spearmans(digits: int):
    a, b = (s.round(decimals=digits) for s in similarities(40, noise=0.7))
    assert estimates.rank_correlation(a, b).value == pytest.approx(spearman(a, b), abs=1e-12)


@pytest.mark.parametrize("noise", [0.2, 1.0, 3.0])
def test_standard_error_of_the_rank_correlation_is_that_of_leaving_out_each_example(noise: float):
    a, b = similarities(60, noise=noise)
    left_out = [[i for i in range(60) if i != out] for out in range(60)]
    replicates = np.array([spearman(a[rest][:, rest], b[rest][:, rest]) for rest in left_out])
    jackknife = math.sqrt(59 / 60 * ((replicates - replicates.mean()) ** 2).sum())
    assert estimates.rank_correlation(a, b).stderr == pytest.approx(jackknife, rel=0.1)


def test_standard_error_of_the_rank_correlation_is_the_spread_over_samples():
    drawn = [estimates.rank_correlation(*similarities(60, noise=1.0, seed=seed)) for seed in range(100)]
    spread = np.std([estimate.value for estimate in drawn])
    assert np.mean([estimate.stderr for estimate in drawn]) == pytest.approx(spread, rel=0.2)


def test_a_network_agrees_with_itself_exactly():
    a, _ = similarities(40, noise=0)
    assert estimates.rank_correlation(a, a).value == pytest.approx(1, abs=1e-12)
    assert estimates.rank_correlation(a, a).stderr == pytest.approx(0, abs=1e-12)
    assert estimates.same_neighbour(a, a).value == 1


def test_rank_correlation_with_a_network_that_tells_nothing_apart_is_undefined():
    a, _ = similarities(40, noise=0)
    assert math.isnan(estimates.rank_correlation(a, torch.ones_like(a)).value)


def test_nobody_is_their_own_neighbour():
    a = torch.tensor([[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]])
    b = torch.tensor([[1.0, 0.1, 0.9], [0.1, 1.0, 0.2], [0.9, 0.2, 1.0]])
    assert estimates.same_neighbour(a, b).value == 0


def test_standard_error_of_a_share_is_binomial():
    share = estimates.mean(torch.tensor([True] * 30 + [False] * 70))
    assert share.value == pytest.approx(0.3)
    assert share.stderr == pytest.approx(math.sqrt(0.3 * 0.7 / 99))


def test_divergence_is_torchs_and_zero_for_equal_logits():
    generator = torch.Generator().manual_seed(0)
    p, q = torch.randn(20, 5, generator=generator), torch.randn(20, 5, generator=generator)
    expected = F.kl_div(q.log_softmax(-1), p.log_softmax(-1), log_target=True, reduction="batchmean")
    assert estimates.divergence(p, q).value == pytest.approx(expected.item(), rel=1e-5)
    assert estimates.divergence(p, p + 3).value == pytest.approx(0, abs=1e-12)


def test_same_top_counts_equal_first_choices():
    assert (
        estimates.same_top(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), torch.tensor([[0.0, 9.0], [0.0, 9.0]])).value == 0.5
    )
