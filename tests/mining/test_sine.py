import pytest
import torch

from dna_ray.mining.sine import (
    EAGER,
    Kernels,
    bilinear_sine,
    fast_dtype,
    outer_sincos,
    outer_sine,
    sincos_polynomial,
    sine_layer,
)

POLYNOMIAL = Kernels(sincos_polynomial, outer_sincos)


def _randn(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()


@pytest.mark.parametrize("reach", [1.0, 100.0, 1e4])
def test_the_polynomials_are_sine_and_cosine(reach: float):
    z = torch.linspace(-reach, reach, 200_001)
    sin, cos = sincos_polynomial(z)
    assert (sin - z.double().sin()).abs().max() < 2e-6 * max(1, reach / 1000)
    assert (cos - z.double().cos()).abs().max() < 2e-6 * max(1, reach / 1000)


def test_the_polynomials_keep_the_dtype():
    z = torch.linspace(-3, 3, 99, dtype=torch.bfloat16)
    sin, cos = sincos_polynomial(z)
    assert sin.dtype == cos.dtype == torch.bfloat16
    assert torch.allclose(sin.float(), z.float().sin(), atol=4e-3)


@pytest.mark.parametrize("kernels", [EAGER, POLYNOMIAL], ids=["eager", "polynomial"])
def test_a_sine_layer_has_the_values_and_gradients_of_its_formula(kernels: Kernels):
    inputs = (_randn(2, 9, 4), _randn(2, 5, 4), _randn(2, 5))
    same = (_randn(2, 9, 4), _randn(2, 5, 4), _randn(2, 5))
    value = sine_layer(*inputs, kernels)
    expected = (same[0] @ same[1].transpose(1, 2) + same[2].unsqueeze(1)).sin()
    assert torch.allclose(value, expected, atol=1e-5)
    for result in (value, expected):
        result.square().sum().backward()
    for a, b in zip(inputs, same, strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-4)


def test_outer_sine_is_the_sine_of_every_sum():
    inputs, same = (_randn(2, 5, 3), _randn(2, 4, 3)), (_randn(2, 5, 3), _randn(2, 4, 3))
    value = outer_sine(*inputs, dtype=torch.float32)
    expected = (same[0].unsqueeze(2) + same[1].unsqueeze(1)).sin()
    assert torch.allclose(value, expected, atol=1e-6)
    for result in (value, expected):
        result.square().sum().backward()
    for a, b in zip(inputs, same, strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-5)


def test_bilinear_sine_is_the_weighted_sum_of_every_sine():
    inputs = (_randn(2, 5, 3), _randn(2, 4, 3), _randn(2, 3))
    expected = ((inputs[0].unsqueeze(2) + inputs[1].unsqueeze(1)).sin() * inputs[2][:, None, None]).sum(-1)
    assert torch.allclose(bilinear_sine(*inputs), expected, atol=1e-6)


def test_gradients_of_bilinear_sine_are_those_of_differences():
    double = torch.float64
    assert torch.autograd.gradcheck(
        bilinear_sine, (_randn(2, 5, 3, dtype=double), _randn(2, 4, 3, dtype=double), _randn(2, 3, dtype=double))
    )


def test_the_fast_dtype_is_one_that_networks_are_trained_in():
    assert fast_dtype(torch.device("cpu")) in (torch.float32, torch.bfloat16)
    assert fast_dtype(torch.device("meta")) == torch.float32
