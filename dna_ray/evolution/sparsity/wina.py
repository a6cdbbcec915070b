"""What a weight or an input weighs by the methods that are named: WINA, Wanda, and WINA on activations.

WINA's own proposal drops inputs, anew for each token; as a score of weights, which are dropped for good, it is the L1
sibling of Wanda's [1, 2].

References:
    [1] Chen et al. 2025, "WINA: Weight Informed Neuron Activation", section 3.
    [2] Sun et al. 2024, "A Simple and Effective Pruning Approach for Large Language Models" (Wanda), section 3.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dna_ray.errors import FieldError, InputError
from dna_ray.evolution.sparsity.budget import kept_of
from dna_ray.evolution.sparsity.masks import rank
from dna_ray.evolution.sparsity.statistics import InputStatistics


def compute_wina_mask(x: Tensor, weight: Tensor, sparsity: float) -> Tensor:
    """Which weights to keep: the ceil((1 - sparsity) rows cols) with the largest |W_ij| * E|x_j|, ties to the first.

    Args:
        x: Inputs of the layer, (..., cols); the mean is over all axes but the last.
        weight: (rows, cols), as in `torch.nn.Linear`: y = W x.
        sparsity: Share of weights that are dropped, in [0, 1).

    Returns:
        (rows, cols) bool, true where a weight is kept.

    Raises:
        RecipeError: The sparsity is not in [0, 1).
        InputError: The shapes do not go together, or there is no input.
        FieldError: A weight or an input is not finite.
    """
    _check(x, weight)
    kept = kept_of(weight.numel(), sparsity)
    mean_abs = x.float().abs().reshape(-1, x.shape[-1]).mean(0)
    return rank((weight.float().abs() * mean_abs).detach().cpu()).mask(kept).to(weight.device)


def wina_activation(x: Tensor, weight: Tensor, sparsity: float) -> Tensor:
    """`x` with the inputs set to zero that move the output least, chosen for each token on its own.

    An input's pull on the output is |x_j| * ||W_:,j||_2. Each token keeps the ceil((1 - sparsity) cols) largest.

    Args:
        x: Inputs of the layer, (..., cols).
        weight: (rows, cols).
        sparsity: Share of inputs that are dropped, in [0, 1).

    Raises:
        RecipeError: The sparsity is not in [0, 1).
        InputError: The shapes do not go together, or there is no input.
        FieldError: A weight or an input is not finite.
    """
    _check(x, weight)
    kept = kept_of(x.shape[-1], sparsity)
    wide = torch.promote_types(weight.dtype, torch.float32)  # float64 stays: bounds are checked in it
    pull = x.to(wide).abs() * weight.to(wide).norm(dim=0)
    top = torch.sort(pull, dim=-1, descending=True, stable=True).indices[..., :kept]
    return torch.zeros_like(x).scatter(-1, top, x.gather(-1, top))


def _check(x: Tensor, weight: Tensor) -> None:
    if weight.ndim != 2 or not weight.numel():
        raise InputError(f"a weight is a matrix (rows, cols); this one is {tuple(weight.shape)}")
    if x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise InputError(
            f"inputs {tuple(x.shape)} do not fit a weight {tuple(weight.shape)}: their last axis must be its "
            f"{weight.shape[1]} columns"
        )
    if not x.numel():
        raise InputError(f"inputs {tuple(x.shape)} hold no position; importance needs at least one")
    for what, tensor in (("weight", weight), ("inputs", x)):
        if bad := tensor.numel() - int(torch.isfinite(tensor).sum()):
            raise FieldError(f"{what} {tuple(tensor.shape)}: {bad} values are not finite; repair the network or data")


def wina(weight: Tensor, statistics: InputStatistics) -> Tensor:
    """|W_ij| E|x_j|, (rows, cols)."""
    return weight.float().abs() * statistics.mean_abs


def wanda(weight: Tensor, statistics: InputStatistics) -> Tensor:
    """|W_ij| sqrt(E x_j^2), (rows, cols)."""
    return weight.float().abs() * statistics.rms


# Scores of weights by name. `wina_activation` is not among them: it drops inputs, not weights.
SCORES: dict[str, Callable[[Tensor, InputStatistics], Tensor]] = {"wina": wina, "wanda": wanda}
