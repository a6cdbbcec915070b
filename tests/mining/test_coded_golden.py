"""A coded DNA opens for ever: one that was made once is opened by every version since.

`golden/coded.safetensors` is the DNA of `_network`, `golden/coded.rebuilt.safetensors` what was rebuilt from it then.
Both were written by this file, run with DNA_RAY_WRITE_GOLDEN=1. Not to be written again: a version that cannot open
them cannot open the files of its users either. A new format gets a new file beside them.
"""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_networks import network_of
from torch import Tensor

from dna_ray.mining import coded
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import read_dna, rebuild, write_dna
from dna_ray.mining.field import read_field
from dna_ray.networks import Network

GOLDEN = Path(__file__).parent / "golden" / "coded.safetensors"
REBUILT = GOLDEN.with_name("coded.rebuilt.safetensors")


def _network() -> Network:
    """What a file can hold: a transform, escapes, low bits of their own, zeros, ties, vectors, three precisions."""
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(120, 2, generator=generator) @ torch.randn(2, 6, generator=generator)
    wide = torch.randn(10, 12, generator=generator)
    wide[2], wide[3, 3], wide[5] = 0, 300, 2000 * wide[5]
    return network_of(
        {
            "bias": torch.randn(70, generator=generator),
            "head": wide,
            "kernel": torch.randn(5, 2, 3, 1, generator=generator).half(),
            "plane": plane + 0.01 * torch.randn(120, 6, generator=generator),
            "steps": torch.tensor(7),
            "tied": wide,
            "transposed": torch.randn(12, 9, generator=generator).bfloat16(),
            "variance": torch.rand(9, generator=generator),
        },
        kinds={"bias": "bias", "steps": "buffer", "variance": "statistic", "kernel": "convolution"},
        tied={"tied": "head"},
        transposed=("transposed",),
    )


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    """The tensors as they were rebuilt when the file was made."""
    if os.environ.get("DNA_RAY_WRITE_GOLDEN"):
        payload = coded.fit(read_field(_network()), 1800, MineConfig(kind="coded", effort=32))
        write_dna(GOLDEN, network=_network(), kind="coded", payload=payload)
        save_file({name: t for name, t in rebuild(read_dna(GOLDEN), {"coded": coded.KIND}) if name != "tied"}, REBUILT)
    return load_file(REBUILT)


def test_a_file_that_was_made_once_opens_for_ever(golden: dict[str, Tensor]):
    tensors = dict(rebuild(read_dna(GOLDEN), {"coded": coded.KIND}))
    assert tensors["tied"] is tensors["head"]
    assert {*tensors} == {*golden, "tied"}
    for name, expected in golden.items():
        found = tensors[name]
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        if name == "plane":  # the one with a transform: a product, which is rounded differently elsewhere
            assert float((found - expected).abs().max()) <= 1e-6 * float(expected.std())
        else:
            assert torch.equal(found, expected)


def test_it_holds_every_part_that_a_file_can_have(golden: dict[str, Tensor]):
    payload = read_dna(GOLDEN).payload
    assert payload.params["turned"] == [-1, -1, 0, -1]
    assert {name.partition(".")[0] for name in payload.sections} == {"coded", "vectors"}
    assert "coded.bases" in payload.sections
    assert not golden["head"][2].any()


def test_it_is_near_the_network_that_it_was_made_of(golden: dict[str, Tensor]):
    for info in _network().anatomy.matrices:
        original = _network().read(info.name).double()
        noise = (golden[info.name].double() - original).square().sum() / original.square().sum()
        assert float(noise) < 0.1, info.name
