"""Weights with orthogonal columns, where dropping an input costs what WINA says: as a penalty, or by turning inputs."""

import torch
from torch import Tensor

from dna_ray.errors import FieldError, InputError


def orthogonality_loss(weight: Tensor, beta: float = 1.0) -> Tensor:
    """beta ||W^T W - I||_F^2, to be minimised in training. A weight with fewer rows than columns cannot reach 0.

    Args:
        weight: (rows, cols).

    Raises:
        InputError: The weight is no matrix.
    """
    _check_matrix(weight)
    rows, cols = weight.shape
    # W W^T has the same eigenvalues but for cols - rows zeros, each of which is off by 1
    gram, missing = (weight.T @ weight, 0) if cols <= rows else (weight @ weight.T, cols - rows)
    identity = torch.eye(len(gram), dtype=weight.dtype, device=weight.device)
    return beta * ((gram - identity).square().sum() + missing)


def svd_orthogonalise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(W V, V) with V of the singular value decomposition W = U S V^T: the columns of W V are orthogonal.

    V is square, so with inputs turned by V^T the layer is the same function: (W V)(V^T x) = W x. Columns come by
    falling norm, and have a sign of their own: the largest entry of each column of V is positive.

    Args:
        weight: (rows, cols).

    Returns:
        (rows, cols) and (cols, cols), in the dtype of the weight.

    Raises:
        InputError: The weight is no matrix.
        FieldError: It is not finite.
    """
    _check_matrix(weight)
    if not bool(torch.isfinite(weight).all()):
        raise FieldError(f"weight {tuple(weight.shape)} is not finite and has no singular values; repair the network")
    matrix = weight.detach().double()
    turn = torch.linalg.svd(matrix, full_matrices=True).Vh.T
    largest = turn.gather(0, turn.abs().argmax(0, keepdim=True))
    turn = turn * largest.sign()
    return (matrix @ turn).to(weight.dtype), turn.to(weight.dtype)


def _check_matrix(weight: Tensor) -> None:
    if weight.ndim != 2 or not weight.numel():
        raise InputError(f"a weight is a matrix (rows, cols); this one is {tuple(weight.shape)}")
