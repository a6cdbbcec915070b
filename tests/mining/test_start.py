import pytest
import torch
from small_networks import network_of, stack

from dna_ray.mining import sines, start
from dna_ray.mining.config import SINE_KINDS, MineConfig
from dna_ray.mining.coordinates import DISTORTION
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.functions import assemble
from dna_ray.mining.plan import SinePlan
from dna_ray.mining.sine_sections import decode, encode
from dna_ray.mining.siren import Precision
from dna_ray.networks import Network


def _started(field: Field, config: MineConfig, budget: int) -> tuple[SinePlan, dict[str, torch.Tensor]]:
    """The plan, and every matrix as it is before training, by way of the file's sections."""
    found, shape = start.statistics(field), sines.plan_for(field, budget, config)
    functions = assemble(shape, field.anatomy, Precision())
    sines.start_functions(functions, shape, field, found)
    payload = encode(shape, field, found, functions.state_dict())
    return shape, {name: t for name, t in decode(payload, field.anatomy) if field.anatomy.by_name[name].is_matrix}


@pytest.mark.parametrize("kind", SINE_KINDS)
@pytest.mark.parametrize("omega", [1.0, 30.0, 200.0])
def test_one_layer_starts_as_the_truncated_svd_whatever_omega_is(kind: str, omega: float):
    field = read_field(stack(1, rows=48, cols=32))
    config = MineConfig(kind=kind, omega=omega, place_bits=8, place_dim=9)
    shape, started = _started(field, config, 12_000)
    assert shape.dims is not None
    assert sum(shape.dims) > len(shape.dims)
    for d, info in zip(shape.dims, field.anatomy.matrices, strict=True):
        matrix = field.matrix(info.name).double()
        u, s, v = torch.linalg.svd(matrix - matrix.mean(), full_matrices=False)
        truncated = matrix.mean() + (u[:, :d] * s[:d]) @ v[:d]
        error = (started[info.name] - truncated).square().sum()
        assert error < 2e-3 * (matrix - matrix.mean()).square().sum()


def test_fewer_units_than_dimensions_take_the_leading_ones():
    field = read_field(network_of({"a": torch.randn(30, 20, generator=torch.Generator().manual_seed(0))}))
    config = MineConfig(kind="spectral", place_bits=8, place_dim=9, hidden_dim=6)
    _, started = _started(field, config, 4000)
    matrix = field.matrix("a").double()
    u, s, v = torch.linalg.svd(matrix - matrix.mean(), full_matrices=False)
    truncated = matrix.mean() + (u[:, :3] * s[:3]) @ v[:3]
    assert (started["a"] - truncated).square().sum() < 2e-3 * matrix.square().sum()


@pytest.mark.parametrize("bits", range(1, 9))
def test_rounding_a_start_loses_what_the_plan_expects(bits: int):
    field = read_field(stack(1, rows=96, cols=64))
    config = MineConfig(kind="spectral", place_bits=bits, place_dim=12)
    shape, started = _started(field, config, 60_000)
    lost = total = 0.0
    for info, d, spectrum in zip(field.anatomy.matrices, shape.dims or (), start.spectra(field), strict=True):
        lost += float((field.matrix(info.name) - started[info.name]).double().square().sum())
        lost -= float((spectrum[d:] ** 2).sum())
        total += float((spectrum[:d] ** 2).sum())
    expected = 2 * DISTORTION[bits]
    assert 0.5 * expected - 1e-4 < lost / total < 1.3 * expected + 1e-3


def test_spectra_are_the_singular_values_of_the_centred_matrices():
    field = read_field(stack(1))
    for info, spectrum in zip(field.anatomy.matrices, start.spectra(field), strict=True):
        matrix = field.matrix(info.name).double()
        assert torch.allclose(torch.from_numpy(spectrum), torch.linalg.svdvals(matrix - matrix.mean()), atol=1e-6)


def test_a_field_is_looked_at_once():
    reads = []
    network = stack(1)

    def read(name: str) -> torch.Tensor:
        reads.append(name)
        return network.read(name)

    field = Field(network.anatomy, read, network.fingerprint)
    for _ in range(3):
        start.statistics(field)
    assert len(reads) == len(network.anatomy.matrices)


def test_a_constant_matrix_has_no_deviation():
    constant = network_of({"a": torch.full((7, 9), 0.1), "b": torch.zeros(3, 3), "c": torch.eye(3)})
    found = start.statistics(read_field(constant))
    assert found.deviation.tolist()[:2] == [0.0, 0.0]
    assert found.mean[0] == torch.tensor(0.1)
    assert found.deviation[2] > 0


@pytest.mark.parametrize("network", [network_of({"a": torch.zeros(4, 4)}), stack(1)], ids=["zeros", "noise"])
def test_several_layers_start_with_places_only(network: Network):
    field = read_field(network)
    shape, started = _started(field, MineConfig(kind="spectral", num_layers=2, place_dim=2), 20_000)
    assert all(torch.isfinite(tensor).all() for tensor in started.values())
    assert not shape.from_svd
