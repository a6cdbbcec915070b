import math
from pathlib import Path

import pytest
import torch

from dna_ray.mining import native
from dna_ray.mining.sine import Kernels


@pytest.fixture
def kernels() -> Kernels:
    found = native.kernels()
    if found is None:
        pytest.skip("there is no C++ compiler")
    return found


@pytest.mark.parametrize("reach", [1.0, 100.0, 1000.0])
def test_the_polynomials_are_sine_and_cosine(kernels: Kernels, reach: float):
    angles = torch.linspace(-reach, reach, 200_001)
    sin, cos = angles.clone().view(1, -1, 1), torch.empty(1, len(angles), 1)
    kernels.sine(sin, torch.zeros(1, 1), cos)
    error = 4e-7 if reach <= 100 else 1e-6
    assert (sin.flatten() - angles.double().sin()).abs().max() < error
    assert (cos.flatten() - angles.double().cos()).abs().max() < error


def test_bfloat16_is_rounded_to_the_nearest(kernels: Kernels):
    angles = torch.linspace(-4, 4, 10_001).bfloat16()
    sin, cos = angles.clone().view(1, -1, 1), torch.empty(1, len(angles), 1, dtype=torch.bfloat16)
    kernels.sine(sin, torch.zeros(1, 1), cos)
    half_a_unit = 2**-9 + 1e-4
    assert (sin.flatten().double() - angles.double().sin()).abs().max() < half_a_unit
    assert (cos.flatten().double() - angles.double().cos()).abs().max() < half_a_unit


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_stays_visible(kernels: Kernels, dtype: torch.dtype, value: float):
    z, cos = torch.full((1, 3, 40), value, dtype=dtype), torch.empty(1, 3, 40, dtype=dtype)
    kernels.sine(z, torch.zeros(1, 40), cos)
    assert z.isnan().all()
    assert cos.isnan().all()


def test_a_tensor_with_gaps_is_refused(kernels: Kernels):
    z = torch.zeros(1, 4, 6)[..., ::2]
    with pytest.raises(ValueError, match="sine: its tensors must be contiguous"):
        kernels.sine(z, torch.zeros(1, 3), torch.zeros(1, 4, 3))


def test_without_a_compiler_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DNA_RAY_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", str(tmp_path / "missing"))
    assert native.kernels.__wrapped__() is None


def test_a_compiler_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DNA_RAY_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", "false")
    assert native.kernels.__wrapped__() is None
    assert list(native.folder().iterdir()) == []


def test_what_was_compiled_is_kept(kernels: Kernels, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DNA_RAY_CACHE", str(tmp_path))
    assert native.kernels.__wrapped__() is not None
    (library,) = native.folder().iterdir()
    written = library.stat().st_mtime_ns
    assert native.kernels.__wrapped__() is not None
    assert library.stat().st_mtime_ns == written
