import numpy as np
import pytest
import torch
from small_networks import menagerie, network_of
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.mining.field import read_field
from dna_ray.mining.kind import Payload
from dna_ray.mining.vectors import BLOCKS, CODES, decode_vectors, encode_vectors, vectors_size


def _round_trip(values: Tensor, kind: str = "norm") -> Tensor:
    network = network_of({"v": values}, kinds={"v": kind})
    return dict(decode_vectors(Payload({}, encode_vectors(read_field(network))), network.anatomy))["v"]


def test_every_vector_comes_back_in_shape_and_dtype():
    network = menagerie()
    payload = Payload({}, encode_vectors(read_field(network)))
    expected = [t for t in network.anatomy if not t.is_matrix and t.tied_to is None]
    decoded = list(decode_vectors(payload, network.anatomy))
    assert [name for name, _ in decoded] == [t.name for t in expected]
    for info, (_, tensor) in zip(expected, decoded, strict=True):
        original = network.read(info.name)
        assert (tensor.shape, tensor.dtype) == (original.shape, original.dtype)
        if not info.floating:
            assert torch.equal(tensor, original)
    assert payload.nbytes == vectors_size(network.anatomy)


def test_an_outlier_costs_only_its_own_block():
    values = torch.randn(640, generator=torch.Generator().manual_seed(0))
    values[100] = 1000.0
    error = (_round_trip(values) - values).abs()
    assert error[64:128].max() < 1000 / 255
    assert torch.cat([error[:64], error[128:]]).max() < 0.02


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 0.1, -0.1, 1e-30, -3e38, 12345.678])
def test_constants_stay_what_they_are(value: float):
    values = torch.full((65,), value)
    assert torch.allclose(_round_trip(values), values, rtol=3e-3 if abs(value) > 1e38 else 5e-5, atol=0)


def test_small_differences_around_one_survive():
    values = 1 + 1e-3 * torch.randn(64, generator=torch.Generator().manual_seed(0))
    assert (_round_trip(values) - values).abs().max() < 3e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_largest_values_of_a_dtype_stay_finite(dtype: torch.dtype):
    largest = torch.finfo(dtype).max
    decoded = _round_trip(torch.tensor([largest, -largest, 0.0], dtype=dtype))
    assert torch.isfinite(decoded).all()
    assert decoded.dtype == dtype


def test_variances_keep_their_relative_precision():
    variance = torch.logspace(-8, 4, 200)
    assert ((_round_trip(variance, "statistic") - variance).abs() / variance).max() < 2**-8


def test_half_precision_statistics_and_buffers_are_exact():
    for values, kind in (
        (torch.randn(5).half(), "statistic"),
        (torch.randn(5).bfloat16(), "statistic"),
        (torch.randn(5), "buffer"),
    ):
        assert torch.equal(_round_trip(values, kind), values)


def test_sections_that_do_not_fit_are_refused():
    network = network_of({"v": torch.randn(100)}, kinds={"v": "bias"})
    sections = encode_vectors(read_field(network))
    with pytest.raises(ArtifactError, match="'vectors.codes'.*expected 100 x u1, found 99"):
        list(decode_vectors(Payload({}, sections | {CODES: sections[CODES][1:]}), network.anatomy))
    with pytest.raises(ArtifactError, match="'vectors.blocks' is missing"):
        list(decode_vectors(Payload({}, {CODES: sections[CODES]}), network.anatomy))
    infinite = np.full_like(sections[BLOCKS], 0x7F80)
    with pytest.raises(ArtifactError, match="'vectors.blocks'.*not finite"):
        list(decode_vectors(Payload({}, sections | {BLOCKS: infinite}), network.anatomy))
