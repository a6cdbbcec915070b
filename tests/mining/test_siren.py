from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from dna_ray.mining import native
from dna_ray.mining.siren import (
    NETWORKS,
    AdaptiveDNA,
    HierarchicalDNA,
    Precision,
    SirenSet,
    SirenShape,
    SpectralDNA,
    as_stored,
)

WIDTHS = [(7,), (7, 5), (6, 7, 5)]
ROWS, COLS, BLOCKS = 4, 3, 2


def _shape(groups: int, widths: tuple[int, ...], *, axes: tuple[int, int] = (3, 2), omega: float = 3.0) -> SirenShape:
    return SirenShape(groups=groups, row_axes=axes[0], col_axes=axes[1], widths=widths, omega=omega)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _places(groups: int, *, axes: tuple[int, int] = (3, 2)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(groups, BLOCKS, ROWS, axes[0], generator=generator)
    return rows.requires_grad_(), torch.randn(groups, BLOCKS, COLS, axes[1], generator=generator).requires_grad_()


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight, layer.bias = nn.Parameter(weight.detach().clone()), nn.Parameter(bias.detach().clone())
    return layer


class PlainSiren(nn.Module):
    """One function of a set as the file holds it, and as the paper has it: a point through linear layers and sines."""

    def __init__(self, siren: SirenSet, group: int) -> None:
        super().__init__()
        first = torch.cat([siren.row_weight[group], siren.col_weight[group]], 1)
        weights = [first, *(weight[group] for weight in siren.hidden_weight)]
        biases = [siren.bias[group], *(bias[group] for bias in siren.hidden_bias)]
        self.layers = nn.ModuleList(_linear(as_stored(w), as_stored(b)) for w, b in zip(weights, biases, strict=True))
        self.last = _linear(siren.out_weight[group : group + 1], siren.out_bias[group : group + 1])
        self.omega = siren.shape.omega

    def forward(self, points: Tensor) -> Tensor:
        for layer in self.layers:
            points = torch.sin(self.omega * layer(points))
        return self.last(points).squeeze(-1)


def _points(rows: Tensor, cols: Tensor) -> Tensor:
    """Every row of a block with every column of it: [n, r, a], [n, c, b] -> [n, r, c, a + b]."""
    (n, r, _), c = rows.shape, cols.shape[1]
    return torch.cat([rows.unsqueeze(2).expand(n, r, c, -1), cols.unsqueeze(1).expand(n, r, c, -1)], -1)


def _plain(sets: Sequence[SirenSet], parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[list[list[PlainSiren]], Tensor]:
    """The sum over sets of plain SIRENs, group by group."""
    modules = [[PlainSiren(siren, g) for g in range(siren.shape.groups)] for siren in sets]
    values = [
        sum(plain[g](_points(rows[g], cols[g])) for plain, (rows, cols) in zip(modules, parts, strict=True))
        for g in range(sets[0].shape.groups)
    ]
    return modules, torch.stack(values)


def _assert_same_gradients(siren: SirenSet, plain: list[PlainSiren]) -> None:
    for g, one in enumerate(plain):
        first = torch.cat([siren.row_weight.grad[g], siren.col_weight.grad[g]], 1)
        own = [first, *(weight.grad[g] for weight in siren.hidden_weight), siren.out_weight.grad[g : g + 1]]
        biases = [siren.bias.grad[g], *(bias.grad[g] for bias in siren.hidden_bias), siren.out_bias.grad[g : g + 1]]
        for layer, weight, bias in zip([*one.layers, one.last], own, biases, strict=True):
            assert torch.allclose(layer.weight.grad, weight, rtol=1e-4, atol=1e-5)
            assert torch.allclose(layer.bias.grad, bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("widths", WIDTHS)
def test_a_spectral_dna_is_a_plain_siren_for_each_group(groups: int, widths: tuple[int, ...]):
    network = SpectralDNA([_shape(groups, widths)], generator=_generator())
    (rows, cols), (same_rows, same_cols) = _places(groups), _places(groups)
    value = network(rows, cols, Precision())
    plain, expected = _plain(list(network.bands), [(same_rows, same_cols)])
    assert torch.allclose(value, expected, atol=1e-5)
    for result in (value, expected):
        result.square().sum().backward()
    _assert_same_gradients(network.bands[0], plain[0])
    assert torch.allclose(rows.grad, same_rows.grad, rtol=1e-4, atol=1e-5)
    assert torch.allclose(cols.grad, same_cols.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("split", [True, False], ids=["own dimensions", "all dimensions"])
def test_a_hierarchical_dna_is_the_sum_of_three(groups: int, widths: tuple[int, ...], split: bool):
    axes = (2, 1) if split else (3, 2)
    shapes = [_shape(groups, widths, axes=axes, omega=omega) for omega in (0.3, 1.0, 3.0)]
    network = HierarchicalDNA(shapes, generator=_generator())
    read = (6, 3) if split else axes
    (rows, cols), (same_rows, same_cols) = _places(groups, axes=read), _places(groups, axes=read)
    value = network(rows, cols, Precision())
    parts = (
        list(zip(same_rows.split(2, -1), same_cols.split(1, -1), strict=True))
        if split
        else [(same_rows, same_cols)] * 3
    )
    plain, expected = _plain(list(network.bands), parts)
    assert torch.allclose(value, expected, atol=1e-5)
    for result in (value, expected):
        result.square().sum().backward()
    for siren, one in zip(network.bands, plain, strict=True):
        _assert_same_gradients(siren, one)
    assert torch.allclose(rows.grad, same_rows.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("widths", WIDTHS)
def test_an_adaptive_dna_is_a_siren_whose_frequency_depends_on_the_place(groups: int, widths: tuple[int, ...]):
    network = AdaptiveDNA([_shape(groups, widths)], generator=_generator())
    with torch.no_grad():
        network.row_frequency.normal_(generator=_generator())
        network.col_frequency.normal_(generator=_generator())
    slopes = [as_stored(slope).detach() for slope in (network.row_frequency, network.col_frequency)]
    for slope in slopes:
        slope.requires_grad_()
    (rows, cols), (same_rows, same_cols) = _places(groups), _places(groups)
    value = network(rows, cols, Precision())
    scaled = [
        torch.stack([p[g] * torch.exp(torch.tanh(p[g] @ slope[g])).unsqueeze(-1) for g in range(groups)])
        for p, slope in ((same_rows, slopes[0]), (same_cols, slopes[1]))
    ]
    plain, expected = _plain(list(network.bands), [(scaled[0], scaled[1])])
    assert torch.allclose(value, expected, atol=1e-5)
    for result in (value, expected):
        result.square().sum().backward()
    _assert_same_gradients(network.bands[0], plain[0])
    assert torch.allclose(network.row_frequency.grad, slopes[0].grad, rtol=1e-3, atol=1e-5)
    assert torch.allclose(network.col_frequency.grad, slopes[1].grad, rtol=1e-3, atol=1e-5)


def test_an_adaptive_dna_starts_as_a_spectral_one():
    shapes, places = [_shape(2, (7, 5))], _places(2)
    adaptive = AdaptiveDNA(shapes, generator=_generator())(*places, Precision())
    assert torch.equal(adaptive, SpectralDNA(shapes, generator=_generator())(*places, Precision()))


@pytest.mark.parametrize("widths", [(32, 32), (32, 32, 32)])
def test_bfloat16_products_are_close_to_float32(widths: tuple[int, ...]):
    network = SpectralDNA([_shape(3, widths, omega=10.0)], generator=_generator())
    places = _places(3)
    exact, fast = network(*places, Precision()), network(*places, Precision(torch.bfloat16))
    assert fast.dtype == torch.float32
    assert (fast - exact).abs().max() < 0.03 * exact.abs().max()


def test_native_kernels_give_the_same_network():
    network = SpectralDNA([_shape(2, (16, 16))], generator=_generator())
    kernels = native.kernels()
    if kernels is None:
        pytest.skip("there is no C++ compiler")
    assert torch.allclose(
        network(*_places(2), Precision(kernels=kernels)), network(*_places(2), Precision()), atol=1e-5
    )


def test_what_is_inside_a_sine_is_rounded_as_in_the_file_and_its_gradient_is_not():
    values = torch.randn(50, generator=_generator()).requires_grad_()
    stored = as_stored(values)
    assert torch.equal(stored.half().float(), stored)
    stored.square().sum().backward()
    assert torch.equal(values.grad, 2 * stored.detach())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("widths", WIDTHS)
def test_the_shape_counts_the_parameters(name: str, widths: tuple[int, ...]):
    shapes = [_shape(3, widths)] * (3 if name == "hierarchical" else 1)
    network = NETWORKS[name](shapes, generator=_generator())
    slopes = 3 * (3 + 2) if name == "adaptive" else 0
    counted = sum(parameter.numel() for parameter in network.parameters())
    assert counted == 3 * sum(shape.parameters for shape in shapes) + slopes


def test_every_layer_starts_with_the_variance_of_the_paper():
    """Section 3.2: the argument of every sine but the first has standard deviation 1, its sine about 0.65."""
    siren = SirenSet(_shape(1, (256, 256, 256), omega=30.0), generator=_generator())
    plain = PlainSiren(siren, 0)
    points = torch.rand(2000, 5, generator=_generator()) * 2 - 1
    for i, layer in enumerate(plain.layers):
        angles = plain.omega * layer(points)
        assert i == 0 or 0.8 < angles.std() < 1.2
        points = angles.sin()
        assert 0.55 < points.std() < 0.75


def test_what_is_computed_without_gradients_is_the_same():
    network = SpectralDNA([_shape(2, (7, 6, 5))], generator=_generator())
    trained = network(*_places(2), Precision())
    with torch.inference_mode():
        assert torch.equal(network(*_places(2), Precision()), trained)
    with torch.no_grad():
        assert torch.equal(network(*_places(2), Precision()), trained)
    again = network(*_places(2), Precision())
    again.sum().backward()
    assert torch.equal(again, trained)


def test_two_results_at_once_keep_their_own_gradients():
    networks = [SpectralDNA([_shape(2, (7, 6, 5))], generator=_generator()) for _ in range(2)]
    rows, cols = (places.detach() for places in _places(2))
    other = rows * 0.5, cols * 0.5
    for _ in range(2):  # the second time, in memory that the first left
        networks[0].zero_grad()
        networks[1].zero_grad()
        together = [networks[0](rows, cols, Precision()), networks[0](*other, Precision())]
        (together[0].sum() + together[1].square().sum()).backward()
        networks[1](rows, cols, Precision()).sum().backward()
        networks[1](*other, Precision()).square().sum().backward()
    for one, two in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.allclose(one.grad, two.grad, rtol=1e-4, atol=1e-5)
