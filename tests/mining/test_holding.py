import pytest
import torch
from small_networks import network_of, stack

from dna_ray.mining import groups
from dna_ray.mining.holding import Holding, Part, holding, whole
from dna_ray.mining.tiles import shard, tiles
from dna_ray.networks import Anatomy

ANATOMY = stack(2, rows=37, cols=21).anatomy
CUTS = tiles(groups.one(ANATOMY), side=8)


def _team(workers: int, anatomy: Anatomy = ANATOMY) -> list[Holding]:
    cuts = tiles(groups.one(anatomy), side=8)
    return [holding(cuts, anatomy, rank, of=workers) for rank in range(workers)]


def test_whoever_is_alone_holds_everything_in_canonical_order():
    (alone,) = _team(1)
    for part, everything in ((alone.rows, whole(ANATOMY).rows), (alone.cols, whole(ANATOMY).cols)):
        assert torch.equal(part.numbers, everything.numbers)
        assert part.numbers.tolist() == list(range(part.size))
        assert part.shared == 0


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_every_line_is_held_once_or_shared_by_all(workers: int):
    team = _team(workers)
    for parts in ([one.rows for one in team], [one.cols for one in team]):
        shared = {tuple(part.numbers[: part.shared].tolist()) for part in parts}
        assert len(shared) == 1
        own = [number for part in parts for number in part.numbers[part.shared :].tolist()]
        assert sorted([*own, *shared.pop()]) == list(range(parts[0].size))


def test_rows_are_never_shared_and_columns_only_where_a_matrix_is_cut():
    team = _team(2)
    assert all(one.rows.shared == 0 for one in team)
    assert 0 < team[0].cols.shared <= 21


@pytest.mark.parametrize("workers", [2, 5])
@pytest.mark.parametrize("partition", ["one", "kind", "layer-kind"])
def test_a_worker_holds_the_places_of_all_its_weights(workers: int, partition: str):
    cuts = tiles(groups.PARTITIONS[partition](ANATOMY), side=8)
    rows = cols = 0
    for info in ANATOMY.matrices:
        for rank in range(workers):
            held = holding(cuts, ANATOMY, rank, of=workers)
            for tile in (cuts[i] for i in shard(cuts, rank, of=workers)):
                if tile.tensor == info.name:
                    assert set(range(rows + tile.row, rows + tile.row + tile.rows)) <= set(held.rows.numbers.tolist())
                    assert set(range(cols, cols + info.cols)) <= set(held.cols.numbers.tolist())
        rows, cols = rows + info.rows, cols + info.cols


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_parts_spread_out_add_up_to_the_table(workers: int):
    for side in ("rows", "cols"):
        parts: list[Part] = [getattr(one, side) for one in _team(workers)]
        table = torch.randn(parts[0].size, 3, generator=torch.Generator().manual_seed(0))
        assert torch.equal(sum(part.spread(part.of(table), rank=rank) for rank, part in enumerate(parts)), table)


def test_a_worker_without_tiles_has_a_line_to_look_up_that_nobody_is_given():
    anatomy = network_of({"a": torch.zeros(4, 4)}).anatomy
    held = _team(3, anatomy)[0]
    assert len(held.rows.numbers) == len(held.cols.numbers) == 0
    own = held.rows.of(torch.ones(4, 2))
    assert own.tolist() == [[0, 0]]
    assert not held.rows.spread(own + 1, rank=0).any()
