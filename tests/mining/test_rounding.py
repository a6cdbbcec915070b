import pytest
import torch
from small_networks import menagerie, network_of, pico, stack
from torch import Tensor

from dna_ray.errors import RecipeError
from dna_ray.mining.dna import file_size
from dna_ray.mining.field import read_field
from dna_ray.mining.kind import Payload
from dna_ray.mining.measure import measure
from dna_ray.mining.rounding import CLIPPED, LADDER, Rounded, Rounding, round_to_nearest
from dna_ray.mining.vectors import vectors_size
from dna_ray.networks import Network


def rounded(network: Network, rounding: Rounding) -> Rounded:
    return round_to_nearest(network, read_field(network), rounding)


def matrix_after(matrix: Tensor, rounding: Rounding) -> Tensor:
    return dict(rounded(network_of({"a": matrix}), rounding).tensors())["a"]


def error(network: Network, rounding: Rounding) -> float:
    after = dict(rounded(network, rounding).tensors())
    return sum(float((after[i.name] - network.read(i.name)).square().sum()) for i in network.anatomy.matrices)


@pytest.mark.parametrize("rounding", LADDER, ids=lambda r: f"{r.bits} bits")
@pytest.mark.parametrize("network", [pico(), menagerie(), stack(2)], ids=["pico", "menagerie", "stack"])
def test_every_tensor_comes_back_in_its_shape_and_dtype_and_is_measured_like_a_dna(
    network: Network, rounding: Rounding
):
    after = rounded(network, rounding)
    tensors = dict(after.tensors())
    assert list(tensors) == [info.name for info in network.anatomy]
    for name, tensor in tensors.items():
        assert (tensor.dtype, tensor.shape) == (network.read(name).dtype, network.read(name).shape)
    measures = measure(read_field(network), after.tensors(), file_bytes=after.file_bytes, sections=after.sections)
    assert sum(measures.sections.values()) == after.file_bytes
    assert measures.achieved.r2 > {8: 0.999, 4: 0.95, 3: 0.85, 2: 0.2}[rounding.bits]


def test_tied_tensors_are_stored_once_and_stay_tied():
    tensors = dict(rounded(menagerie(), LADDER[0]).tensors())
    assert tensors["embedding.weight"] is tensors["decoder.weight"]


@pytest.mark.parametrize(("bits", "group"), [(4, 64), (3, 32), (2, 128), (8, 7)])
def test_codes_scales_zero_points_vectors_and_header_are_counted(bits: int, group: int):
    network = network_of({"a": torch.randn(5, 130), "b": torch.ones(9)}, kinds={"b": "bias"})
    after = rounded(network, Rounding(bits=bits, group=group))
    groups = 5 * -(-130 // group)
    assert after.sections["rounding.codes"] == -(-650 * bits // 8)
    assert after.sections["rounding.scales"] == 2 * groups
    assert after.sections["rounding.zeros"] == -(-groups * bits // 8)
    vectors = sum(size for name, size in after.sections.items() if name.startswith("vectors."))
    assert vectors == vectors_size(network.anatomy)
    assert after.file_bytes == file_size(network=network, kind="rounding", payload=after.payload)
    assert after.file_bytes > sum(after.sections.values())


def test_four_bits_in_groups_of_64_take_little_more_than_4_bits_and_20_a_group():
    assert sum(rounded(network_of({"a": torch.randn(64, 640)}), LADDER[1]).sections.values()) * 8 == 64 * (
        640 * 4 + 10 * 20
    )


@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_no_weight_is_further_off_than_the_step_of_its_group(bits: int):
    matrix = torch.randn(20, 192, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 2, 20)[:, None]
    groups = matrix.reshape(-1, 64)
    step = (groups.amax(1) - groups.amin(1)) / (2**bits - 1)
    off = (matrix_after(matrix, Rounding(bits=bits)) - matrix).reshape(-1, 64).abs().amax(1)
    assert (off <= 1.002 * step).all()  # half a step of rounding, half of the zero point, and that of the float16


def test_weights_on_the_grid_come_back_exactly():
    codes = torch.arange(64).remainder(16).float()
    matrix = torch.stack([(codes - 8) * 0.25, codes * 2.0, (codes - 15) * 0.125])
    assert torch.equal(matrix_after(matrix, Rounding(bits=4)), matrix)


def test_zero_comes_back_as_zero():
    matrix = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    matrix[:, ::5] = 0
    assert (matrix_after(matrix, Rounding(bits=2))[:, ::5] == 0).all()


@pytest.mark.parametrize("rounding", [*LADDER, Rounding(bits=2, shares=CLIPPED)], ids=str)
def test_rows_of_zeros_constants_and_tiny_or_huge_weights_stay_finite(rounding: Rounding):
    rows = [torch.zeros(70), torch.full((70,), 0.5), torch.full((70,), -3.0), torch.linspace(0, 1e-12, 70)]
    after = matrix_after(torch.stack([*rows, torch.linspace(-1e30, 1e30, 70)]), rounding)
    assert torch.isfinite(after).all()
    assert (after[0] == 0).all()
    assert torch.allclose(after[1:3], torch.stack(rows[1:3]), rtol=1e-3)
    assert (after[3] - rows[3]).abs().max() <= 1e-12


def test_a_matrix_of_one_column_is_kept_with_the_vectors():
    network = network_of({"a": torch.randn(9, 1), "b": torch.randn(4, 4)})
    after = rounded(network, LADDER[1])
    assert after.sections["rounding.scales"] == 2 * 4
    assert dict(after.tensors())["a"].shape == (9, 1)


def test_a_network_without_matrices_has_vectors_alone():
    after = rounded(network_of({"b": torch.randn(9)}, kinds={"b": "bias"}), LADDER[0])
    assert all(name.startswith("vectors.") for name in after.sections)
    assert [name for name, _ in after.tensors()] == ["b"]


def test_groups_do_not_cross_rows():
    quiet, loud = torch.full((1, 40), 1e-3), torch.full((1, 40), 1e3)
    after = matrix_after(torch.cat([quiet, loud]), Rounding(bits=4))
    assert torch.allclose(after[0], quiet[0], rtol=1e-3)


def test_fewer_bits_and_larger_groups_take_fewer_bytes_and_err_more():
    network = stack(2, rows=48, cols=256)
    ladder = [Rounding(bits=bits, group=group) for bits in (8, 4, 3, 2) for group in (32, 64, 128)]
    sizes = [rounded(network, rounding).file_bytes for rounding in ladder]
    errors = [error(network, rounding) for rounding in ladder]
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)


@pytest.mark.parametrize("bits", [4, 3, 2])
def test_clipping_takes_the_same_bytes_and_errs_less(bits: int):
    network = stack(1, rows=48, cols=256)
    plain, clipped = Rounding(bits=bits), Rounding(bits=bits, shares=CLIPPED)
    assert rounded(network, clipped).file_bytes == rounded(network, plain).file_bytes
    assert error(network, clipped) < error(network, plain)


def test_what_is_rebuilt_comes_from_the_payload_alone():
    after = rounded(pico(), LADDER[2])
    copied = Rounded(
        rounding=after.rounding,
        anatomy=after.anatomy,
        payload=Payload({}, {name: section.copy() for name, section in after.payload.sections.items()}),
        file_bytes=after.file_bytes,
    )
    for (name, one), (_, other) in zip(after.tensors(), copied.tensors(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"bits": 0}, "bits 0 is out of range"),
        ({"bits": 9}, "bits 9 is out of range"),
        ({"bits": 4, "group": 0}, "group 0 is too small"),
        ({"bits": 4, "shares": ()}, "are no shares"),
        ({"bits": 4, "shares": (0.0,)}, "are no shares"),
    ],
)
def test_what_cannot_be_rounded_to_is_refused(wrong: dict, text: str):
    with pytest.raises(RecipeError, match=text):
        Rounding(**wrong)
