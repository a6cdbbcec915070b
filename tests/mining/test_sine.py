import pytest
import torch

from dna_ray.mining import native
from dna_ray.mining.sine import EAGER, Kernels, bilinear_sine, fast_dtype


def _randn(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()


@pytest.fixture(params=["eager", "native"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    found = EAGER if request.param == "eager" else native.kernels()
    if found is None:
        pytest.skip("there is no C++ compiler")
    return found


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


def _close(value: torch.Tensor, exact: torch.Tensor) -> bool:
    tolerance = 1e-5 if value.dtype == torch.float32 else 2e-2
    return torch.allclose(value.double(), exact, rtol=tolerance, atol=tolerance)


@torch.no_grad()
def test_sine_writes_sine_and_cosine_of_the_biased_angle(kernels: Kernels, dtype: torch.dtype):
    z, bias = _randn(2, 9, 21).to(dtype), _randn(2, 21)
    angle = z.double() + bias.double().unsqueeze(1)
    cos = torch.empty_like(z)
    kernels.sine(z, bias, cos)
    assert _close(z, angle.sin())
    assert _close(cos, angle.cos())


@torch.no_grad()
def test_slope_multiplies_and_adds_to_the_total_of_each_group(kernels: Kernels, dtype: torch.dtype):
    grad, cos, total = _randn(2, 9, 21).to(dtype), _randn(2, 9, 21).to(dtype), torch.ones(2, 21)
    exact = grad.double() * cos.double()
    kernels.slope(grad, cos, total)
    assert _close(grad, exact)
    assert torch.allclose(total.double(), 1 + exact.sum(1), rtol=2e-2, atol=0.05)


@torch.no_grad()
def test_weigh_and_the_way_back_through_it(kernels: Kernels):
    x, cos, weight, value = _randn(2, 9, 21), _randn(2, 9, 21), _randn(2, 21), torch.empty(2, 9)
    kernels.weigh(x, weight, value)
    assert _close(value, (x.double() @ weight.double().unsqueeze(2)).squeeze(2))
    slope, grad = cos.clone(), _randn(2, 9)
    total, weight_total = torch.zeros(2, 21), torch.zeros(2, 21)
    kernels.weigh_slope(grad, weight, x, slope, total, weight_total)
    exact = grad.double().unsqueeze(2) * weight.double().unsqueeze(1) * cos.double()
    assert _close(slope, exact)
    assert _close(total, exact.sum(1))
    assert _close(weight_total, (grad.double().unsqueeze(2) * x.double()).sum(1))


@torch.no_grad()
def test_outer_is_the_sine_of_every_sum_and_its_slope_goes_to_rows_and_columns(kernels: Kernels, dtype: torch.dtype):
    rows, cols = _randn(3, 5, 21), _randn(3, 4, 21)
    row, col = (torch.cat([angle.sin(), angle.cos()], -1) for angle in (rows, cols))
    angle = rows.double().unsqueeze(2) + cols.double().unsqueeze(1)
    sin = torch.empty(3, 5, 4, 21, dtype=dtype)
    kernels.outer(row, col, sin)
    assert _close(sin, angle.sin())
    grad, row_total, col_total = _randn(3, 5, 4, 21).to(dtype), torch.zeros(3, 5, 21), torch.zeros(3, 4, 21)
    exact = grad.double() * angle.cos()
    kernels.outer_slope(grad, row, col, row_total, col_total)
    assert torch.allclose(row_total.double(), exact.sum(2), rtol=2e-2, atol=1e-5 if dtype == torch.float32 else 0.1)
    assert torch.allclose(col_total.double(), exact.sum(1), rtol=2e-2, atol=1e-5 if dtype == torch.float32 else 0.1)


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
