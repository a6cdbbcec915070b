import pytest
import torch

from dna_ray.mining.quantise import gaussian_distortion, gaussian_levels, quantise


@pytest.mark.parametrize(
    ("bits", "distortion"), [(0, 1.0), (1, 0.3634), (2, 0.1175), (3, 0.03454), (4, 0.009497), (5, 0.002499)]
)
def test_distortion_is_that_of_the_tables_of_max_1960(bits: int, distortion: float):
    assert gaussian_distortion(bits) == pytest.approx(distortion, rel=3e-3)


@pytest.mark.parametrize("bits", range(1, 9))
def test_gaussian_rows_of_any_scale_reach_that_distortion(bits: int):
    rows = torch.randn(4, 4000, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [[1e-3], [1.0], [9.0], [1e4]]
    )
    levels = gaussian_levels(bits)[quantise(rows, bits).int()]
    gain = (levels * rows).sum(1, keepdim=True) / levels.square().sum(1, keepdim=True)
    distortion = (rows - gain * levels).square().sum(1) / rows.square().sum(1)
    assert distortion.max() < 1.3 * gaussian_distortion(bits)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_rows_of_zeros_and_of_one_value_have_codes(bits: int):
    codes = quantise(torch.tensor([[0.0] * 5, [3.0] * 5]), bits)
    assert (codes == codes[:, :1]).all()
    assert int(codes.max()) < 2**bits
