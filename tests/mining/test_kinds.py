"""What every kind of DNA keeps, whatever it is: the contract over the table."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import menagerie, network_of, pico, stack

from dna_ray.errors import ArtifactError, BudgetError
from dna_ray.mining import KINDS
from dna_ray.mining.budget import draft_to_file, file_budget, fit_to_file
from dna_ray.mining.config import KIND_NAMES, MineConfig
from dna_ray.mining.dna import file_size, read_dna, rebuild, verify, write_dna
from dna_ray.mining.field import read_field
from dna_ray.mining.kind import Payload
from dna_ray.networks import Anatomy, Network

BUDGETED = [name for name in KIND_NAMES if name != "verbatim"]
SINES = [name for name in BUDGETED if KINDS[name].draft]


def _randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def odd_shapes() -> Network:
    """Matrices that are all zeros, constant, thin, tiny, and of sides that divide by little."""
    return network_of(
        {
            "constant": torch.full((12, 7), -2.5),
            "kernel": _randn(6, 4, 3, 3),
            "large values": 1e6 * _randn(12, 12),
            "pointwise": _randn(24, 6, 1, 1),
            "row": _randn(1, 90),
            "column": _randn(90, 1),
            "small values": 1e-6 * _randn(12, 12),
            "two by two": _randn(2, 2),
            "zeros": torch.zeros(10, 10),
            "8 x 39": _randn(8, 39),
        },
        kinds={"kernel": "convolution", "pointwise": "convolution"},
    )


NETWORKS = {"pico": pico(), "menagerie": menagerie(), "odd shapes": odd_shapes(), "stack": stack(2)}


def _config(kind: str, **options: object) -> MineConfig:
    return MineConfig(kind=kind, epochs=0.2, **options)  # type: ignore[arg-type]


def _written(network: Network, config: MineConfig, folder: Path) -> Path:
    """The file that is as small as the kind can make it, or within the budget that `config` gives."""
    field = read_field(network)
    try:
        payload = fit_to_file(network, field, config, KINDS[config.kind])
    except BudgetError as error:
        config = replace(config, ratio=None, bytes=error.smallest)
        payload = fit_to_file(network, field, config, KINDS[config.kind])
    path = folder / f"{config.kind}.safetensors"
    write_dna(path, network=network, kind=config.kind, payload=payload)
    return path


def test_the_table_holds_every_name():
    assert tuple(KINDS) == KIND_NAMES


@pytest.mark.parametrize("kind", KIND_NAMES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_comes_back_in_its_shape_and_dtype(kind: str, name: str, tmp_path: Path):
    network = NETWORKS[name]
    path = _written(network, _config(kind, ratio=None if kind == "verbatim" else 2.0), tmp_path)
    tensors = dict(rebuild(verify(path, KINDS), KINDS))
    assert list(tensors) == [info.name for info in network.anatomy]
    for info in network.anatomy:
        original, tensor = network.read(info.name), tensors[info.name]
        assert (tensor.dtype, tensor.shape) == (original.dtype, original.shape)
        assert torch.isfinite(tensor.double()).all()
        if not info.floating:
            assert torch.equal(tensor, original)
        if info.tied_to:
            assert tensor is tensors[info.tied_to]


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_constant_matrices_come_back_as_they_are(kind: str, tmp_path: Path):
    network = network_of({"a": torch.zeros(9, 6), "b": torch.full((5, 5), 0.75), "c": _randn(9, 9)})
    tensors = dict(rebuild(read_dna(_written(network, _config(kind, bytes=10**5), tmp_path)), KINDS))
    assert not tensors["a"].any()
    assert torch.allclose(tensors["b"], network.read("b"), rtol=1e-3)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_network_of_one_constant_matrix_is_a_network_too(kind: str, tmp_path: Path):
    network = network_of({"a": torch.full((6, 4), 2.0)})
    tensors = dict(rebuild(read_dna(_written(network, _config(kind, bytes=10**5), tmp_path)), KINDS))
    assert torch.allclose(tensors["a"], network.read("a"), rtol=1e-3)


@pytest.mark.parametrize("kind", BUDGETED)
@pytest.mark.parametrize("ratio", [6.0, 12.0, 22.0])
def test_the_file_meets_its_budget_within_a_percent(kind: str, ratio: float, tmp_path: Path):
    network = stack(4, rows=96, cols=80)
    config = _config(kind, ratio=ratio)
    size = _written(network, config, tmp_path).stat().st_size
    assert 0.99 * (file_budget(network, config) or 0) <= size <= (file_budget(network, config) or 0)


@pytest.mark.parametrize("kind", SINES)
def test_functions_over_indices_meet_it_within_two_percent(kind: str, tmp_path: Path):
    network = stack(4, rows=96, cols=80)
    config = _config(kind, ratio=12.0, coordinates="index")
    size = _written(network, config, tmp_path).stat().st_size
    assert 0.98 * (file_budget(network, config) or 0) <= size <= (file_budget(network, config) or 0)


@pytest.mark.parametrize("kind", BUDGETED)
@pytest.mark.parametrize("name", ["pico", "menagerie", "stack"])
def test_the_smallest_size_that_an_error_names_can_be_made(kind: str, name: str, tmp_path: Path):
    network = NETWORKS[name]
    with pytest.raises(BudgetError, match="the smallest possible is") as caught:
        fit_to_file(network, read_field(network), _config(kind, bytes=700), KINDS[kind])
    smallest = caught.value.smallest
    assert f"{smallest:,} bytes" in str(caught.value)
    path = _written(network, _config(kind, bytes=smallest), tmp_path)
    assert path.stat().st_size <= smallest
    verify(path, KINDS)


@pytest.mark.parametrize("kind", SINES)
@pytest.mark.parametrize("coordinates", ["index", "learned"])
def test_a_draft_has_the_sizes_of_the_result(kind: str, coordinates: str):
    network, config = stack(2), _config(kind, ratio=4.0, coordinates=coordinates)
    field = read_field(network)
    draft, budget = draft_to_file(network, field, config, KINDS[kind])
    payload = KINDS[kind].fit(field, budget, config)
    assert payload.params == draft.params
    assert _layout(payload) == _layout(draft)
    assert file_size(network=network, kind=kind, payload=draft) <= (file_budget(network, config) or 0)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_the_same_seed_gives_the_same_bytes_in_whatever_order_the_weights_come(kind: str, tmp_path: Path):
    network = stack(1)
    turned = _reversed_reader(network)
    paths = []
    for i, one in enumerate((network, turned)):
        (tmp_path / str(i)).mkdir()
        paths.append(_written(one, _config(kind, bytes=30_000), tmp_path / str(i)))
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("kind", SINES)
def test_another_seed_gives_other_bytes(kind: str, tmp_path: Path):
    one, other = (_config(kind, bytes=8000, coordinates="index", seed=seed) for seed in range(2))
    field = read_field(stack(1))
    functions = [KINDS[kind].fit(field, 6000, config).sections["sine.functions"] for config in (one, other)]
    assert not np.array_equal(*functions)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_decoding_twice_gives_the_same_bits_and_other_sections_are_ignored(kind: str):
    field = read_field(stack(1))
    payload = KINDS[kind].fit(field, None, _config(kind))
    more = Payload(payload.params, {**payload.sections, "later": np.zeros(3, "u1")})
    for (name, first), (same, second) in zip(
        KINDS[kind].decode(payload, field.anatomy), KINDS[kind].decode(more, field.anatomy), strict=True
    ):
        assert name == same
        assert torch.equal(first, second)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_decode_yields_every_untied_tensor_in_canonical_order(kind: str):
    field = read_field(menagerie())
    decoded = KINDS[kind].decode(KINDS[kind].fit(field, None, _config(kind)), field.anatomy)
    assert isinstance(decoded, Iterator)
    assert [name for name, _ in decoded] == [info.name for info in field.anatomy if info.tied_to is None]


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_payload_for_other_tensors_is_refused(kind: str):
    payload = KINDS[kind].fit(read_field(stack(1)), None, _config(kind))
    foreign = Anatomy("none", stack(2).anatomy.tensors)
    with pytest.raises(ArtifactError):
        list(KINDS[kind].decode(payload, foreign))


def _layout(payload: Payload) -> dict[str, tuple[str, int]]:
    return {name: (section.dtype.str, section.nbytes) for name, section in payload.sections.items()}


def _reversed_reader(network: Network) -> Network:
    """The same weights, held in the opposite order."""
    held = {info.name: network.read(info.name).clone() for info in reversed(network.anatomy.tensors)}
    return replace(network, read=held.__getitem__)
