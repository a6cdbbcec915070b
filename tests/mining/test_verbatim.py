from pathlib import Path

import pytest
import torch
from small_networks import menagerie, network_of, pico

from dna_ray.errors import BudgetError
from dna_ray.mining import verbatim
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import read_dna, rebuild, write_dna
from dna_ray.mining.field import read_field
from dna_ray.networks import Network

CONFIG = MineConfig(kind="verbatim")
KINDS = {"verbatim": verbatim.KIND}


@pytest.mark.parametrize(
    "network", [pico(), menagerie(), network_of({"a": torch.tensor(1.0)})], ids=lambda n: str(len(n.anatomy.tensors))
)
def test_every_bit_comes_back_through_field_and_file(network: Network, tmp_path: Path):
    payload = verbatim.fit(read_field(network), None, CONFIG)
    write_dna(tmp_path / "v.safetensors", network=network, kind="verbatim", payload=payload)
    tensors = dict(rebuild(read_dna(tmp_path / "v.safetensors"), KINDS))
    assert list(tensors) == [info.name for info in network.anatomy]
    for name, tensor in tensors.items():
        original = network.read(name)
        assert (tensor.dtype, tensor.shape) == (original.dtype, original.shape)
        assert torch.equal(tensor.reshape(-1).view(torch.uint8), original.reshape(-1).view(torch.uint8))


def test_nan_payloads_and_negative_zeros_are_bits_too():
    field = read_field(network_of({"a": torch.tensor([[-0.0, 0.0], [1e-45, -1e-45]])}))
    payload = verbatim.fit(field, None, CONFIG)
    (_, tensor) = next(verbatim.decode(payload, field.anatomy))
    assert tensor.view(torch.int32).tolist() == field.read("a").view(torch.int32).tolist()


def test_ties_are_stored_once_and_stay_ties(tmp_path: Path):
    network = menagerie()
    payload = verbatim.fit(read_field(network), None, CONFIG)
    assert payload.nbytes == sum(t.nbytes for t in network.anatomy if t.tied_to is None)
    write_dna(tmp_path / "v.safetensors", network=network, kind="verbatim", payload=payload)
    tensors = dict(rebuild(read_dna(tmp_path / "v.safetensors"), KINDS))
    assert tensors["embedding.weight"] is tensors["decoder.weight"]


def test_a_budget_below_its_size_is_refused_with_that_size():
    field = read_field(pico())
    with pytest.raises(BudgetError, match="takes 856 bytes, the budget is 800") as caught:
        verbatim.fit(field, 800, CONFIG)
    assert caught.value.smallest == 856
