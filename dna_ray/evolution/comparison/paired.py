"""Two methods on the same examples with the same seeds: how far apart they are, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

CONFIDENCE = 0.95

Items = Mapping[int, Sequence[float]]  # seed -> score of each example, in one order for all


@dataclass(frozen=True, slots=True)
class Paired:
    """By how much one method is ahead of another.

    Attributes:
        value: The mean over seeds and examples.
        low: Lower end of the 95 % interval, so a one-sided limit at 97.5 %.
        high: Upper end.
        p: Two-sided, of no difference.
        seeds: That both have.
    """

    value: float
    low: float
    high: float
    p: float
    seeds: int


def paired(one: Items, other: Items) -> Paired | None:
    """The score of `one` less that of `other`; None without a seed in common.

    d(s, i) is their difference with seed s on example i. Seeds (which draw the calibration and search data, and lead
    the searches) and examples are both samples, crossed with each other, so the variance of the mean is taken as

        var over i of [mean over s of d] / examples  +  var over s of [mean over i of d] / seeds,

    which is at least its expectation [1, for the bootstrap of crossed samples], and the interval is Student's with the
    degrees of freedom of Welch and Satterthwaite. With one seed the second term is unknown and left out: the interval
    is then for that seed only.

    References:
        [1] Owen 2007, "The pigeonhole bootstrap", section 4.
    """
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return None
    differences = np.array([one[seed] for seed in seeds], float) - np.array([other[seed] for seed in seeds], float)
    value = float(differences.mean())
    parts = [_variance_of_mean(differences.mean(0)), _variance_of_mean(differences.mean(1))]
    error = sqrt(sum(variance for variance, _ in parts))
    if error == 0:
        return Paired(value, value, value, 1.0 if value == 0 else 0.0, len(seeds))
    freedom = error**4 / sum(variance**2 / freedom for variance, freedom in parts if freedom)
    half = float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    p = float(2 * student.sf(abs(value) / error, freedom))
    return Paired(value, value - half, value + half, p, len(seeds))


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's 95 % interval of the mean of independent values; None from one alone."""
    if len(values) < 2:
        return None
    variance, freedom = _variance_of_mean(np.array(values, float))
    half = float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * sqrt(variance)
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def _variance_of_mean(values: NDArray[np.float64]) -> tuple[float, int]:
    """And its degrees of freedom; (0, 0) of one value."""
    count = len(values)
    return (float(values.var(ddof=1)) / count, count - 1) if count > 1 else (0.0, 0)
