"""Fields and the kind `verbatim` over a network of every family."""

import torch

from dna_ray.mining import verbatim
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import read_dna, rebuild, write_dna
from dna_ray.mining.field import read_field, write_weights
from dna_ray.networks import Network
from dna_ray.networks.load import from_state_dict


def _assert_same_bits(network: Network, tensors: dict[str, torch.Tensor]) -> None:
    assert list(tensors) == [info.name for info in network.anatomy]
    for name, tensor in tensors.items():
        original = network.read(name)
        assert (tensor.dtype, tensor.shape) == (original.dtype, original.shape)
        assert torch.equal(
            tensor.contiguous().reshape(-1).view(torch.uint8), original.contiguous().reshape(-1).view(torch.uint8)
        )


def test_field_and_back_is_the_identity_for_every_family(zoo_name, zoo, describe):
    module = zoo(zoo_name)
    for dtype in (torch.float32, torch.bfloat16):
        network = from_state_dict(module.to(dtype).state_dict(), name=zoo_name, config=describe(module))
        _assert_same_bits(network, dict(write_weights(read_field(network))))


def test_a_verbatim_dna_and_back_is_the_identity_for_every_family(zoo_name, zoo, describe, tmp_path):
    module = zoo(zoo_name).half()
    network = from_state_dict(module.state_dict(), name=zoo_name, config=describe(module))
    payload = verbatim.fit(read_field(network), None, MineConfig(kind="verbatim"))
    write_dna(tmp_path / "x.safetensors", network=network, kind="verbatim", payload=payload)
    _assert_same_bits(network, dict(rebuild(read_dna(tmp_path / "x.safetensors"), {"verbatim": verbatim.KIND})))
