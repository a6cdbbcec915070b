"""A mean in a coded DNA: fitted, written, read, rebuilt, forged."""

import tracemalloc
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import network_of, stack
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.mining import coded
from dna_ray.mining.coding.mean import MEANS
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import read_dna, rebuild, write_dna
from dna_ray.mining.field import read_field
from dna_ray.mining.kind import Payload
from dna_ray.networks import Network

QUICK = MineConfig(kind="coded", effort=8)


def _randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _positions(rows: int = 200, cols: int = 60) -> Tensor:
    """Smooth along the rows, as position embeddings are."""
    angle = torch.pi * torch.outer(torch.arange(rows) / rows, torch.tensor([3.0, 10.0]))
    return angle.sin() @ _randn(2, cols) + angle.cos() @ _randn(2, cols, seed=1) + 0.03 * _randn(rows, cols, seed=2)


def _network() -> Network:
    return network_of(
        {"bias": _randn(9), "positions": _positions(), "white": 0.05 * _randn(90, 70)}, kinds={"bias": "bias"}
    )


@cache
def _whole() -> Payload:
    return coded.fit(read_field(_network()), 6000, QUICK)


def _error(payload: Payload, network: Network) -> float:
    found = dict(coded.decode(payload, network.anatomy))
    return sum(float((found[info.name] - network.read(info.name)).square().sum()) for info in network.anatomy.matrices)


def test_a_smooth_tensor_has_a_mean_and_the_budget_holds():
    assert [mean["matrix"] for mean in _whole().params["means"]] == [0]
    assert 0.99 * 6000 <= _whole().nbytes <= 6000


def test_it_leaves_less_error_than_none_at_the_same_bytes():
    network = _network()
    shuffled = network.read("positions")[torch.randperm(200, generator=torch.Generator().manual_seed(3))]
    tensors = {info.name: network.read(info.name) for info in network.anatomy}
    other = network_of(tensors | {"positions": shuffled}, kinds={"bias": "bias"})
    without = coded.fit(read_field(other), 6000, QUICK)
    assert "means" not in without.params
    assert _error(_whole(), network) < _error(without, other) / 2


def test_noise_has_none_and_its_file_says_nothing_of_means():
    payload = coded.fit(read_field(stack(2, rows=60, cols=40)), 3000, QUICK)
    assert "means" not in payload.params
    assert MEANS not in payload.sections


def test_an_error_is_met_with_a_mean_as_without():
    network, config = _network(), MineConfig(kind="coded", effort=8, r2=0.95)
    payload = coded.fit(read_field(network), None, config)
    assert payload.params["means"]
    spread = sum(float(network.read(info.name).var(correction=0)) * info.size for info in network.anatomy.matrices)
    assert 0.949 <= 1 - _error(payload, network) / spread <= 0.96


def test_it_comes_back_through_the_file_whatever_the_number_of_threads(tmp_path: Path):
    write_dna(tmp_path / "x", network=_network(), kind="coded", payload=_whole())
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(dict(rebuild(read_dna(tmp_path / "x"), {"coded": coded.KIND})))
            again = coded.fit(read_field(_network()), 6000, QUICK)
            assert again.params == _whole().params
            assert all(np.array_equal(again.sections[name], _whole().sections[name]) for name in again.sections)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_mean_with_flipped_bits_is_refused_or_a_network():
    section = _whole().sections[MEANS]
    for bit in range(0, 8 * section.nbytes, 97):
        raw = np.frombuffer(section.tobytes(), np.uint8).copy()
        raw[bit // 8] ^= np.uint8(1 << bit % 8)
        payload = Payload(_whole().params, {**_whole().sections, MEANS: raw.view(section.dtype)})
        try:
            found = dict(coded.decode(payload, _network().anatomy))
        except ArtifactError:
            continue
        assert all(torch.isfinite(tensor).all() for tensor in found.values())


@pytest.mark.parametrize("forged", [None, [], [{}], [{"matrix": 1, "rows": [256, 64], "exponent": 0, "saves": 0}]])
def test_a_header_with_other_means_is_refused(forged: object):
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError):
            dict(coded.decode(Payload({**_whole().params, "means": forged}, _whole().sections), _network().anatomy))
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
