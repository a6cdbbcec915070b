import pytest
import torch
from small_networks import network_of, stack

from dna_ray.mining import groups, start
from dna_ray.mining.blocks import Block, BlockSampler
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.groups import Band
from dna_ray.mining.tiles import cut, shard, tiles

DRAWS = 400


def _sampler(
    field: Field, bands: list[Band], *, rank: int = 0, of: int = 1, side: int = 4, blocks: int = 8
) -> BlockSampler:
    found, cuts = start.statistics(field), tiles(bands, side=8)
    return BlockSampler(
        cut(field, [cuts[i] for i in shard(cuts, rank, of=of)]),
        tensors=[info.name for info in field.anatomy.matrices],
        mean=found.mean,
        deviation=found.deviation,
        sizes=[info.size for info in field.anatomy.matrices],
        groups=groups.count(bands),
        side=side,
        blocks=blocks,
        device=torch.device("cpu"),
    )


def _draw(sampler: BlockSampler, seed: int = 0) -> Block:
    return sampler.sample(torch.Generator().manual_seed(seed))


def _loss_of_zero(block: Block) -> float:
    """The loss of a function that is 0 everywhere: it explains nothing but the means."""
    return float((block.target.square().mean((2, 3)) * block.weight).sum())


@pytest.mark.parametrize("partition", ["one", "layer-kind"])
def test_a_block_holds_the_normalised_weights_at_its_rows_and_columns(partition: str):
    field = read_field(stack(2))
    bands = groups.PARTITIONS[partition](field.anatomy)
    found, group_of = start.statistics(field), {band.tensor: band.group for band in bands}
    block = _draw(_sampler(field, bands))
    assert block.target.shape == (groups.count(bands), 8, 4, 4)
    for g in range(groups.count(bands)):
        for b in range(8):
            t = int(block.tensor[g, b])
            info = field.anatomy.matrices[t]
            assert group_of[info.name] == g
            weights = field.matrix(info.name)[block.row[g, b]][:, block.col[g, b]]
            assert torch.allclose(block.target[g, b], (weights - found.mean[t]) / found.deviation[t], atol=1e-5)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("partition", ["one", "layer-kind"])
def test_the_expected_loss_over_all_shards_is_one_less_r2(workers: int, partition: str):
    """A function that is 0 has R2 = 0, and one that is right about a single tensor explains that tensor's share."""
    field = read_field(stack(2))
    bands = groups.PARTITIONS[partition](field.anatomy)
    zero = silent = 0.0
    for rank in range(workers):
        sampler = _sampler(field, bands, rank=rank, of=workers, blocks=64)
        for seed in range(DRAWS):
            block = _draw(sampler, seed)
            zero += _loss_of_zero(block) / DRAWS
            known = block.tensor != 0
            silent += (
                _loss_of_zero(Block(block.tensor, block.row, block.col, block.target, block.weight * known)) / DRAWS
            )
    found = start.statistics(field)
    energy = found.deviation.square() * torch.tensor([info.size for info in field.anatomy.matrices])
    assert zero == pytest.approx(1, rel=0.02)
    assert silent == pytest.approx(float(energy[1:].sum() / energy.sum()), rel=0.1)


def test_every_weight_is_drawn_as_often_as_every_other():
    field = read_field(network_of({"a": torch.zeros(9, 5), "b": torch.zeros(20, 6)}))
    sampler = _sampler(field, groups.one(field.anatomy), side=1, blocks=4000)
    hits = [torch.zeros(info.matrix_shape) for info in field.anatomy.matrices]
    for seed in range(5):
        block = _draw(sampler, seed)
        for t, count in enumerate(hits):
            own = block.tensor[0] == t
            count.index_put_((block.row[0, own, 0], block.col[0, own, 0]), torch.ones(int(own.sum())), accumulate=True)
    counts = torch.cat([count.flatten() for count in hits])
    assert counts.sum() == 20_000
    assert (counts / counts.mean() - 1).abs().max() < 0.35  # five standard deviations of a Poisson count of 121


def test_the_same_generator_draws_the_same_blocks():
    field = read_field(stack(1))
    sampler = _sampler(field, groups.one(field.anatomy))
    first, second, other = _draw(sampler, 1), _draw(sampler, 1), _draw(sampler, 2)
    assert torch.equal(first.target, second.target)
    assert not torch.equal(first.target, other.target)


def test_a_worker_without_tiles_of_a_group_counts_for_nothing_there():
    field = read_field(network_of({"a": torch.ones(4, 4) + torch.eye(4), "b": torch.eye(4)}))
    bands = [Band("a", 0, 4, 4, 0), Band("b", 0, 4, 4, 1)]
    shards = [_draw(_sampler(field, bands, rank=rank, of=3)) for rank in range(3)]
    assert [_loss_of_zero(block) > 0 for block in shards] == [False, True, False]


def test_constant_matrices_neither_count_nor_spoil_the_scale():
    generator = torch.Generator().manual_seed(0)
    tensors = {"a": 0.02 * torch.randn(16, 16, generator=generator), "b": torch.full((16, 16), 3.0)}
    field = read_field(network_of(tensors))
    sampler = _sampler(field, groups.one(field.anatomy))
    mean = sum(_loss_of_zero(_draw(sampler, seed)) for seed in range(DRAWS)) / DRAWS
    assert mean == pytest.approx(1, rel=0.05)
    only = read_field(network_of({"b": tensors["b"]}))
    assert _loss_of_zero(_draw(_sampler(only, groups.one(only.anatomy)))) == 0
