"""What the sine kinds find, and what they do not."""

import pytest
import torch
from sine_fixture import bench
from small_networks import network_of, stack
from torch import Tensor

from dna_ray.errors import ArtifactError, FieldError
from dna_ray.mining import sines, start
from dna_ray.mining.config import SINE_KINDS, MineConfig
from dna_ray.mining.field import read_field
from dna_ray.mining.fit import loss_of
from dna_ray.mining.kind import Payload
from dna_ray.networks import Network


def _r2(network: Network, payload: Payload) -> float:
    sse = sst = 0.0
    for name, tensor in sines.decode(payload, network.anatomy):
        if network.anatomy.by_name[name].is_matrix:
            original = network.read(name)
            sse += float((original - tensor).square().sum())
            sst += float((original - original.mean()).square().sum())
    return 1 - sse / sst


def _mined(network: Network, ratio: int, config: MineConfig) -> float:
    return _r2(network, sines.fit_here(read_field(network), network.anatomy.fp32_bytes // ratio, config))


def _smooth() -> Network:
    """Four layers of one matrix whose weights are a smooth function of row, column and layer."""
    row, col = torch.linspace(-1, 1, 64)[:, None], torch.linspace(-1, 1, 48)[None]
    tensors = {
        f"layer.{i}": torch.sin(4 * row + i) * torch.cos(5 * col - i) + 0.5 * torch.sin(6 * row * col) for i in range(4)
    }
    return network_of(
        tensors, kinds=dict.fromkeys(tensors, "query"), layers={name: i for i, name in enumerate(tensors)}
    )


def _planted() -> Network:
    """Matrices of rank 3, and a little noise."""
    generator = torch.Generator().manual_seed(0)

    def matrix() -> Tensor:
        left, right = torch.randn(80, 3, generator=generator), torch.randn(3, 64, generator=generator)
        return left @ right + 0.05 * torch.randn(80, 64, generator=generator)

    return network_of({name: matrix() for name in "abc"})


@pytest.mark.parametrize("kind", SINE_KINDS)
def test_functions_over_indices_find_what_is_smooth(kind: str):
    assert _mined(_smooth(), 16, MineConfig(kind=kind, coordinates="index", epochs=50)) > 0.9


@pytest.mark.parametrize("kind", SINE_KINDS)
def test_functions_over_indices_find_nothing_in_noise(kind: str):
    assert abs(_mined(stack(2, rows=64, cols=48), 16, MineConfig(kind=kind, coordinates="index", epochs=8))) < 0.1


def test_one_function_for_everything_finds_what_is_smooth_too():
    config = MineConfig(kind="spectral", coordinates="index", groups="one", epochs=15, omega=15.0)
    assert _mined(_smooth(), 8, config) > 0.8


@pytest.mark.parametrize("kind", SINE_KINDS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_learned_places_reach_a_planted_low_rank(kind: str, dtype: str):
    assert _mined(_planted(), 8, MineConfig(kind=kind, epochs=4, dtype=dtype)) > 0.97


def test_training_learned_places_improves_on_the_start():
    """At 2 bits a number rounding costs most, and training sees it."""
    network = stack(1, rows=64, cols=48)
    config = MineConfig(kind="spectral", place_bits=2, epochs=1e-9)
    start = _mined(network, 12, config)
    assert _mined(network, 12, MineConfig(kind="spectral", place_bits=2, epochs=10)) > start + 0.01


@pytest.mark.parametrize("layers", [2, 3])
def test_deep_functions_over_learned_places_learn(layers: int):
    config = MineConfig(kind="spectral", num_layers=layers, place_dim=3, hidden_dim=24, epochs=12, omega=5.0)
    assert _mined(_planted(), 4, config) > 0.5


def test_what_training_sees_is_what_the_file_holds():
    """The loss over many blocks is 1 - R2 of the decoded file."""
    ready = bench(MineConfig(kind="hierarchical", place_bits=3, dtype="float32"))
    functions, sampler = ready.training().functions, ready.sampler()
    with torch.no_grad():
        for parameter in functions.network.parameters():
            parameter.add_(1e-3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
        losses = [float(loss_of(functions, sampler.sample(torch.Generator().manual_seed(i)))) for i in range(300)]
    payload = sines.encode(ready.shape, ready.field, start.statistics(ready.field), functions.state_dict())
    assert 1 - sum(losses) / len(losses) == pytest.approx(_r2(stack(2), payload), abs=0.02)


def test_a_network_without_matrices_is_refused():
    with pytest.raises(FieldError, match="no tensor is a matrix"):
        sines.draft(read_field(network_of({"a": torch.ones(9)})), 1000, MineConfig(kind="hierarchical"))


@pytest.mark.parametrize("coordinates", ["index", "learned"])
def test_plans_and_sections_that_do_not_fit_are_refused(coordinates: str):
    field = read_field(stack(1))
    payload = sines.draft(field, 3000, MineConfig(kind="hierarchical", coordinates=coordinates))
    params, sections = dict(payload.params), dict(payload.sections)
    forged = [
        Payload({**params, "kind": "svd"}, sections),
        Payload({**params, "widths": "x"}, sections),
        Payload({**params, "widths": [[10**6]] * 3}, sections),
        Payload({**params, "partition": "nobody"}, sections),
        Payload({name: value for name, value in params.items() if name != "omega"}, sections),
        Payload({**params, "more": 1}, sections),
        *(Payload(params, sections | {name: section[:-1]}) for name, section in sections.items() if "sine" in name),
    ]
    if coordinates == "learned":
        forged += [Payload({**params, "dims": [1]}, sections), Payload({**params, "bits": 0}, sections)]
    for wrong in forged:
        with pytest.raises(ArtifactError):
            list(sines.decode(wrong, field.anatomy))
