from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from small_networks import network_of, stack

from dna_ray.errors import ArtifactError
from dna_ray.mining import groups
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.tiles import Tile, cut, load_shard, read_index, shard, tiles, write_store


@pytest.fixture(scope="module")
def field() -> Field:
    return read_field(stack(2, rows=37, cols=21))


@pytest.fixture(scope="module")
def cuts(field: Field) -> list[Tile]:
    return tiles(groups.pieces(field.anatomy, 600), side=16)


@pytest.fixture(scope="module")
def store(field: Field, cuts: list[Tile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "tiles.parquet"
    write_store(path, field, cuts)
    return path


def test_tiles_partition_the_field(field: Field, cuts: list[Tile]):
    painted = {info.name: torch.zeros(info.matrix_shape) for info in field.anatomy.matrices}
    for tile in cuts:
        assert tile.rows <= 16
        assert tile.cols <= 16
        painted[tile.tensor][tile.row : tile.row + tile.rows, tile.col : tile.col + tile.cols] += 1
    assert all((count == 1).all() for count in painted.values())


def test_a_tile_has_the_group_of_its_band(field: Field, cuts: list[Tile]):
    rows = {(b.tensor, row): b.group for b in groups.pieces(field.anatomy, 600) for row in range(b.row, b.row + b.rows)}
    assert all(tile.group == rows[tile.tensor, row] for tile in cuts for row in range(tile.row, tile.row + tile.rows))


def test_tiles_of_a_band_differ_by_at_most_one_row_and_column():
    network = network_of({"a": torch.zeros(70, 33)})
    found = tiles(groups.one(network.anatomy), side=32)
    assert {tile.rows for tile in found} == {23, 24}
    assert {tile.cols for tile in found} == {16, 17}


@pytest.mark.parametrize("partition", ["one", "kind", "layer-kind"])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_shards_partition_the_tiles_and_share_every_group_evenly(field: Field, workers: int, partition: str):
    cuts = tiles(groups.PARTITIONS[partition](field.anatomy), side=8)
    shards = [shard(cuts, rank, of=workers) for rank in range(workers)]
    assert sorted(i for part in shards for i in part) == list(range(len(cuts)))
    for group in {tile.group for tile in cuts}:
        sizes = [sum(cuts[i].size for i in part if cuts[i].group == group) for part in shards]
        assert max(sizes) - min(sizes) <= 2 * 8 * 21  # each end is a row of tiles off, at most


@pytest.mark.parametrize("workers", [2, 5])
def test_no_row_lies_on_two_workers_and_few_matrices_do(field: Field, workers: int):
    cuts = tiles(groups.one(field.anatomy), side=8)
    rows = [{(cuts[i].tensor, cuts[i].row) for i in shard(cuts, rank, of=workers)} for rank in range(workers)]
    assert sum(map(len, rows)) == len(set().union(*rows))
    matrices = [{tensor for tensor, _ in own} for own in rows]
    assert sum(map(len, matrices)) - len(field.anatomy.matrices) <= workers - 1


def test_more_workers_than_tiles_leave_some_without():
    assert [shard([Tile("a", 0, 0, 2, 2, 0)], rank, of=3) for rank in range(3)] == [[], [0], []]


def test_a_shard_from_the_store_is_the_one_cut_from_the_field(field: Field, cuts: list[Tile], store: Path):
    for workers in (1, 3):
        for rank in range(workers):
            mine = shard(cuts, rank, of=workers)
            loaded, expected = load_shard(store, mine), cut(field, [cuts[i] for i in mine])
            assert loaded.tiles == expected.tiles
            assert torch.equal(loaded.values, expected.values)
    assert load_shard(store, []).values.numel() == 0


def test_half_precision_and_transposed_matrices_are_stored_as_float32_matrices(tmp_path: Path):
    network = network_of({"a": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3)}, transposed=("a",))
    field = read_field(network)
    found = tiles(groups.one(field.anatomy))
    write_store(tmp_path / "t", field, found)
    assert (found[0].rows, found[0].cols) == (3, 2)
    assert load_shard(tmp_path / "t", [0]).values.tolist() == [0, 3, 1, 4, 2, 5]


def test_a_worker_reads_the_row_groups_of_its_tiles_and_no_other_bytes(cuts: list[Tile], store: Path, tmp_path: Path):
    mine, whole = shard(cuts, 1, of=3), store.read_bytes()
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(_overwritten(store, [i for i in range(len(cuts)) if i not in mine]))
    assert damaged.read_bytes() != whole
    assert torch.equal(load_shard(damaged, mine).values, load_shard(store, mine).values)


def test_a_damaged_tile_is_noticed(store: Path, tmp_path: Path):
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(_overwritten(store, [2]))
    with pytest.raises(ArtifactError, match="tile 2 is damaged"):
        load_shard(damaged, [1, 2])
    flipped = bytearray(store.read_bytes())
    start, length = _bytes_of(store, 2)
    flipped[start + length - 1] ^= 1
    damaged.write_bytes(flipped)
    with pytest.raises(ArtifactError, match="tile 2 is damaged"):
        load_shard(damaged, [2])


def test_what_is_no_tile_store_or_another_networks_is_refused(field: Field, store: Path, tmp_path: Path):
    assert read_index(store, fingerprint=field.fingerprint) == read_index(store)
    with pytest.raises(ArtifactError, match="another network"):
        read_index(store, fingerprint="0" * 64)
    for content in (b"", b"PAR1", store.read_bytes()[:-9]):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(ArtifactError, match="not a tile store"):
            read_index(tmp_path / "x")


def test_a_store_that_could_not_be_written_leaves_nothing(cuts: list[Tile], field: Field, tmp_path: Path):
    def unreadable(name: str) -> torch.Tensor:
        raise OSError("gone")

    with pytest.raises(Exception, match="gone"):
        write_store(tmp_path / "t", Field(field.anatomy, unreadable, ""), cuts)
    assert not list(tmp_path.iterdir())


def _bytes_of(store: Path, tile: int) -> tuple[int, int]:
    """Where the row group of a tile lies in the file."""
    column = pq.ParquetFile(store).metadata.row_group(tile).column(0)
    return column.data_page_offset, column.total_compressed_size


def _overwritten(store: Path, tiles: list[int]) -> bytes:
    content = bytearray(store.read_bytes())
    for tile in tiles:
        start, length = _bytes_of(store, tile)
        content[start : start + length] = b"\xff" * length
    return bytes(content)
