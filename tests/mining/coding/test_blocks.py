from hypothesis import given
from hypothesis import strategies as st

from dna_ray.mining.coding.blocks import blocks
from dna_ray.networks import TensorInfo

MOST = 1 << 22  # weights of a block
LENGTHS = st.sampled_from([2, 3, 384, 1000, 1 << 20, MOST, MOST + 1, 3 * MOST])
SHAPES = st.lists(st.tuples(st.integers(2, 30_000), LENGTHS), max_size=8)


def _matrices(shapes: list[tuple[int, int]]) -> list[TensorInfo]:
    """What blocks are made from: names and shapes, no weights."""
    return [TensorInfo(name=f"{i:03}", dtype="F32", shape=shape) for i, shape in enumerate(shapes)]


@given(shapes=SHAPES.map(lambda shapes: [(min(rows, 5 * MOST // cols + 2), cols) for rows, cols in shapes]))
def test_blocks_partition_the_rows_of_every_matrix_in_order(shapes: list[tuple[int, int]]):
    rows: dict[int, int] = dict.fromkeys(range(len(shapes)), 0)
    for block in blocks(_matrices(shapes)):
        for part in block.parts:
            assert part.first == rows[part.matrix] < part.last
            rows[part.matrix] = part.last
    assert list(rows.values()) == [shape[0] for shape in shapes]


@given(shapes=SHAPES.map(lambda shapes: [(min(rows, 5 * MOST // cols + 2), cols) for rows, cols in shapes]))
def test_a_block_has_rows_of_one_length_and_is_as_full_as_it_can_be(shapes: list[tuple[int, int]]):
    found = blocks(_matrices(shapes))
    for block in found:
        assert {shapes[part.matrix][1] for part in block.parts} == {block.cols}
        assert block.rows == sum(part.last - part.first for part in block.parts)
        assert block.rows * block.cols <= MOST or block.rows == 1
    for block, following in zip(found, found[1:], strict=False):
        assert block.cols <= following.cols
        if block.cols == following.cols:
            assert (block.rows + 1) * block.cols > MOST
            assert [part.matrix for part in block.parts][-1] <= following.parts[0].matrix


def test_matrices_of_one_length_share_a_block_and_a_large_one_is_cut():
    found = blocks(_matrices([(10, 384), (5, 100), (20_000, 384), (7, 384)]))
    assert [[(part.matrix, part.first, part.last) for part in block.parts] for block in found] == [
        [(1, 0, 5)],
        [(0, 0, 10), (2, 0, 10_912)],
        [(2, 10_912, 20_000), (3, 0, 7)],
    ]


def test_without_matrices_there_are_no_blocks():
    assert blocks([]) == ()
    assert blocks(_matrices([(0, 4), (3, 0)])) == ()
