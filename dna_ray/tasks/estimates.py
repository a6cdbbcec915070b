"""Figures over a sample of examples, each with its standard error."""

from math import sqrt

import torch
from torch import Tensor

from dna_ray.tasks.score import Measured


def mean(values: Tensor) -> Measured:
    """The mean over independent examples, one value each."""
    values = values.double()
    return Measured(values.mean().item(), (values.std() / sqrt(len(values))).item())


def rank_correlation(a: Tensor, b: Tensor) -> Measured:
    """Spearman's correlation between all pairwise similarities of the same examples under two networks.

    The pairs are far from independent: n examples make n (n - 1) / 2 of them. So the standard error is that of a
    U-statistic over examples (Hoeffding 1948): each pair's influence on the correlation, averaged over the pairs that
    an example is part of.

    Args:
        a: Similarities under one network, [n, n], symmetric.
        b: Under the other.

    Returns:
        The correlation; NaN where one network finds all pairs equally similar.
    """
    n = len(a)
    i, j = torch.triu_indices(n, n, offset=1, device=a.device)
    x, y = a[i, j], b[i, j]
    ranks_x, ranks_y = _standard(_share_below(x)), _standard(_share_below(y))
    correlation = (ranks_x * ranks_y).mean()
    influence = ranks_x * ranks_y + _pull(x, ranks_y) + _pull(y, ranks_x) - 3 * correlation
    by_example = torch.zeros(n, dtype=torch.float64, device=a.device)
    by_example.index_add_(0, i, influence).index_add_(0, j, influence)
    return Measured(correlation.clamp(-1, 1).item(), 2 * (by_example.norm() / (n - 1) / sqrt(n * (n - 1))).item())


def same_neighbour(a: Tensor, b: Tensor) -> Measured:
    """Share of examples whose most similar other example is the same one under both networks.

    It falls as examples are added, since neighbours come closer: compare shares of equal n only.

    Args:
        a: Similarities under one network, [n, n].
        b: Under the other.
    """
    return mean(_nearest(a) == _nearest(b))


def divergence(original: Tensor, subject: Tensor) -> Measured:
    """Kullback-Leibler divergence of the subject's predictions from the original's, in nats, mean over examples.

    Args:
        original: Logits, [examples, classes].
        subject: Logits, [examples, classes].
    """
    some = 64  # examples at a time: a vocabulary in double precision is large
    return mean(torch.cat([_divergences(p, q) for p, q in zip(original.split(some), subject.split(some), strict=True)]))


def same_top(original: Tensor, subject: Tensor) -> Measured:
    """Share of examples for which both give the largest logit to the same class."""
    return mean(original.argmax(-1) == subject.argmax(-1))


def _divergences(original: Tensor, subject: Tensor) -> Tensor:
    p, q = original.double().log_softmax(-1), subject.double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).clamp_min(0)


def _nearest(similarities: Tensor) -> Tensor:
    diagonal = torch.eye(len(similarities), dtype=torch.bool, device=similarities.device)
    return similarities.masked_fill(diagonal, -torch.inf).argmax(dim=1)


def _share_below(values: Tensor) -> Tensor:
    """Share of the values that lie below each one; equal ones count half."""
    _, place, counts = values.unique(return_inverse=True, return_counts=True)
    counts = counts.double()
    return ((counts.cumsum(0) - counts / 2) / len(values))[place]


def _standard(values: Tensor) -> Tensor:
    return (values - values.mean()) / values.std(correction=0)


def _pull(values: Tensor, other_ranks: Tensor) -> Tensor:
    """How much one more pair at each value would move the correlation by raising the ranks of all pairs above it."""
    _, place, counts = values.unique(return_inverse=True, return_counts=True)
    at_value = torch.zeros(len(counts), dtype=torch.float64, device=values.device).index_add_(0, place, other_ranks)
    above = at_value.sum() - at_value.cumsum(0) + at_value / 2
    return above[place] / len(values) / _share_below(values).std(correction=0)
