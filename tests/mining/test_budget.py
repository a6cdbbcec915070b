import pytest
import torch
from small_networks import network_of, pico

from dna_ray.errors import BudgetError
from dna_ray.mining import svd, verbatim
from dna_ray.mining.budget import file_budget, fit_to_file
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import file_size
from dna_ray.mining.field import read_field
from dna_ray.networks import Network


def _square(side: int) -> Network:
    generator = torch.Generator().manual_seed(0)
    return network_of({name: torch.randn(side, side, generator=generator) for name in "abcd"})


def _size(network: Network, config: MineConfig) -> int:
    payload = fit_to_file(network, read_field(network), config, svd.KIND)
    return file_size(network=network, kind=config.kind, payload=payload)


def test_the_budget_is_the_ratio_or_the_bytes_or_22():
    network = _square(64)
    assert file_budget(network, MineConfig(ratio=8.0)) == 8192
    assert file_budget(network, MineConfig(bytes=5000)) == 5000
    assert file_budget(network, MineConfig()) == 65536 // 22
    assert file_budget(network, MineConfig(kind="verbatim")) is None


@pytest.mark.parametrize("side", [64, 200])
@pytest.mark.parametrize("ratio", [8.0, 14.0])
def test_the_file_meets_the_budget_within_half_a_percent(side: int, ratio: float):
    budget = int(16 * side * side / ratio)
    assert 0.995 * budget <= _size(_square(side), MineConfig(kind="svd", ratio=ratio)) <= budget


def test_a_budget_for_more_than_everything_is_not_used_up():
    assert _size(pico(), MineConfig(kind="svd", bytes=10**6)) < 4000


def test_the_smallest_file_is_named_and_can_be_made():
    with pytest.raises(
        BudgetError, match="small: kind svd cannot be a file of 900 bytes; the smallest possible is"
    ) as c:
        _size(pico(), MineConfig(kind="svd", bytes=900))
    assert _size(pico(), MineConfig(kind="svd", bytes=c.value.smallest)) == c.value.smallest
    with pytest.raises(BudgetError):
        _size(pico(), MineConfig(kind="svd", bytes=c.value.smallest - 1))


def test_verbatim_is_refused_where_it_does_not_fit():
    network = _square(20)
    with pytest.raises(BudgetError, match="the smallest possible is 7,"):
        fit_to_file(network, read_field(network), MineConfig(kind="verbatim", ratio=2.0), verbatim.KIND)
