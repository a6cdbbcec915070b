"""What sparsity costs, computed and then measured: every bound comes with the value that it bounds."""

from dataclasses import dataclass
from enum import StrEnum
from math import inf, isclose, sqrt

import torch
from scipy.special import betaincinv
from torch import Tensor

from dna_ray.errors import InputError
from dna_ray.evolution.sparsity.orthogonality import svd_orthogonalise
from dna_ray.evolution.sparsity.statistics import InputStatistics
from dna_ray.evolution.sparsity.wina import wina_activation

_ROWS = 4096  # inputs that are multiplied at once
_EXACT = 1e-6  # relative: statistics are kept in float32


class Promise(StrEnum):
    """What a number says of the one that is measured."""

    EQUAL = "equal"
    UPPER = "upper bound"
    FORMULA = "a formula that need not hold here"


@dataclass(frozen=True, slots=True)
class Bound:
    """A number that was computed, beside what it is about.

    Attributes:
        bound: As computed.
        measured: As it came out.
        promise: How the two are to each other.
    """

    bound: float
    measured: float
    promise: Promise = Promise.UPPER

    @property
    def ratio(self) -> float:
        """How loose the bound is: bound / measured."""
        if self.measured:
            return self.bound / self.measured
        return inf if self.bound else 1.0

    @property
    def holds(self) -> bool:
        """Whether what was promised came true, to the accuracy of the arithmetic."""
        if self.promise is Promise.FORMULA:
            return True
        equal = isclose(self.bound, self.measured, rel_tol=_EXACT, abs_tol=1e-30)
        return equal or (self.promise is Promise.UPPER and self.measured <= self.bound)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that promises nothing."""

    value: float
    label: str = "an estimate, not a guarantee: attention is not globally Lipschitz"

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.label})"


def expected_error(weight: Tensor, sparse: Tensor, statistics: InputStatistics) -> float:
    """E ||(W - W^) x||^2 = tr(dW C dW^T) with C = E[x x^T]: exact without a forward pass.

    Of grouped convolutions, whose statistics are means over the groups, it is an approximation.

    Args:
        weight: (rows, cols).
        sparse: (rows, cols), what it is replaced by.

    Raises:
        InputError: The shapes do not go together.
    """
    _check_pair(weight, sparse)
    if statistics.moments.shape != (weight.shape[1], weight.shape[1]):
        raise InputError(
            f"a layer of {weight.shape[1]} inputs cannot be judged by moments {tuple(statistics.moments.shape)}"
        )
    difference = weight.double() - sparse.double()
    return max(0.0, float(((difference @ statistics.moments) * difference).sum()))


def layer_error(weight: Tensor, sparse: Tensor, statistics: InputStatistics, inputs: Tensor) -> Bound:
    """`expected_error`, beside the mean of ||(W - W^) x||^2 over `inputs`, (positions, cols).

    They are equal where the statistics are of these inputs; of others, the difference is that of the data.

    Raises:
        InputError: The shapes do not go together, or there are no inputs.
    """
    _check_inputs(inputs, weight)
    promise = Promise.EQUAL if statistics.groups == 1 else Promise.FORMULA
    return Bound(expected_error(weight, sparse, statistics), _mean_square(weight - sparse, inputs), promise)


def activation_error(weight: Tensor, inputs: Tensor, sparsity: float) -> Bound:
    """What `wina_activation` costs: sum of x_j^2 ||W_:,j||^2 over the inputs dropped, beside E ||W (x - x^)||^2.

    The two are equal where the columns of W are orthogonal, and can be far apart elsewhere.

    Args:
        weight: (rows, cols).
        inputs: (positions, cols).
        sparsity: Share of inputs that each position drops, in [0, 1).

    Raises:
        RecipeError: The sparsity is not in [0, 1).
        InputError: The shapes do not go together, or there are no inputs.
    """
    _check_inputs(inputs, weight)
    return _activation_error(weight.double(), inputs.double(), sparsity, Promise.FORMULA)


def activation_error_in_svd_basis(weight: Tensor, inputs: Tensor, sparsity: float) -> Bound:
    """The same where inputs are turned so that columns are orthogonal: there the formula is exact.

    Raises:
        RecipeError: The sparsity is not in [0, 1).
        InputError: The shapes do not go together, or there are no inputs.
    """
    _check_inputs(inputs, weight)
    turned, turn = svd_orthogonalise(weight.double())
    return _activation_error(turned, inputs.double() @ turn, sparsity, Promise.EQUAL)


def _activation_error(weight: Tensor, inputs: Tensor, sparsity: float, promise: Promise) -> Bound:
    dropped = inputs - wina_activation(inputs, weight, sparsity)
    formula = float((dropped.square() * weight.square().sum(0)).sum(1).mean())
    return Bound(formula, _mean_square(weight, dropped), promise)


def disagreement(differing: int, samples: int, *, confidence: float = 0.95) -> Bound:
    """The share of all samples on which two networks answer differently is at most this, at that confidence [1].

    Args:
        differing: Of `samples` fresh ones, drawn at random: none that anything was chosen by.
        confidence: Of the one-sided limit, in (0, 1).

    Raises:
        InputError: The counts or the confidence cannot be.

    References:
        [1] Clopper and Pearson 1934, "The use of confidence or fiducial limits".
    """
    if not (samples > 0 and 0 <= differing <= samples and 0 < confidence < 1):
        raise InputError(f"no limit for {differing} of {samples} samples at confidence {confidence}")
    limit = 1.0 if differing == samples else float(betaincinv(differing + 1, samples - differing, confidence))
    return Bound(limit, differing / samples)


def spectral_norm_bound(matrix: Tensor, *, exact_up_to: int = 1024) -> float:
    """No less than the largest singular value, and that itself where the shorter side has `exact_up_to` or fewer.

    Power iteration would not do: it comes from below.
    """
    wide = matrix.detach().double()
    if min(wide.shape) <= exact_up_to:
        return float(torch.linalg.svdvals(wide)[0]) * (1 + 1e-12)  # the rounding of LAPACK, and some
    size = wide.abs()
    columns, rows = float(size.sum(0).max()), float(size.sum(1).max())
    return min(sqrt(columns * rows), float(wide.norm())) * (1 + 1e-12)


def estimated_error(errors: list[float], energies: list[float]) -> Estimate:
    """How far the output of a network with attention moves, as a share of its length.

    As if the errors of its layers were independent, and passed on as they are.

    Args:
        errors: `expected_error` of each layer.
        energies: `expected_error` of each layer against zeros: the mean square of its output.
    """
    shares = [error / energy for error, energy in zip(errors, energies, strict=True) if energy > 0]
    return Estimate(sqrt(sum(shares)))


def _mean_square(weight: Tensor, inputs: Tensor) -> float:
    wide = weight.double()
    total = sum(float((rows.double() @ wide.T).square().sum()) for rows in inputs.split(_ROWS))
    return total / len(inputs)


def _check_pair(weight: Tensor, sparse: Tensor) -> None:
    if weight.ndim != 2 or weight.shape != sparse.shape:
        raise InputError(f"a weight {tuple(weight.shape)} cannot be compared with one {tuple(sparse.shape)}")


def _check_inputs(inputs: Tensor, weight: Tensor) -> None:
    if inputs.ndim != 2 or inputs.shape[1:] != weight.shape[1:] or not len(inputs):
        raise InputError(
            f"inputs {tuple(inputs.shape)} do not fit a weight {tuple(weight.shape)}: give (positions, "
            f"{weight.shape[-1]}), at least one position"
        )
