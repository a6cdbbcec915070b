import pytest
import torch
from small_layers import normal

from dna_ray.errors import FieldError, InputError
from dna_ray.evolution.sparsity.orthogonality import orthogonality_loss, svd_orthogonalise

SHAPES = [(3, 5), (5, 5), (8, 3), (1, 4), (4, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_loss_is_its_formula(shape: tuple[int, int]):
    weight = normal(*shape).double()
    formula = 0.3 * (weight.T @ weight - torch.eye(shape[1])).norm() ** 2
    assert orthogonality_loss(weight, 0.3) == pytest.approx(float(formula), rel=1e-12)


def test_minimising_the_loss_makes_columns_orthogonal():
    weight = normal(8, 3).requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        orthogonality_loss(weight).backward()
        optimizer.step()
    assert torch.allclose(weight.T @ weight, torch.eye(3), atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_turned_layer_is_the_same_function_with_orthogonal_columns(shape: tuple[int, int]):
    weight, x = normal(*shape).double(), normal(9, shape[1], seed=1).double()
    turned, turn = svd_orthogonalise(weight)
    assert torch.allclose((x @ turn) @ turned.T, x @ weight.T, atol=1e-12)
    assert torch.allclose(turn.T @ turn, torch.eye(shape[1], dtype=torch.float64), atol=1e-12)
    gram = turned.T @ turned
    assert torch.allclose(gram, gram.diagonal().diag(), atol=1e-12)
    assert (gram.diagonal().diff() <= 1e-12).all()
    assert (turn.gather(0, turn.abs().argmax(0, keepdim=True)) > 0).all()


def test_a_weight_of_lower_rank_is_turned_too():
    weight = torch.ones(4, 6)
    turned, turn = svd_orthogonalise(weight)
    assert turned.dtype == turn.dtype == torch.float32
    assert torch.allclose(turned @ turn.T, weight, atol=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(FieldError, match=r"weight \(2, 2\) is not finite"):
        svd_orthogonalise(torch.full((2, 2), torch.inf))
    for turn in (svd_orthogonalise, orthogonality_loss):
        with pytest.raises(InputError, match="a weight is a matrix"):
            turn(torch.ones(3))
