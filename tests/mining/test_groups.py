import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import network_of, stack

from dna_ray.mining import groups
from dna_ray.mining.groups import PARTITIONS, Band
from dna_ray.networks import Anatomy, TensorInfo

SHAPES = st.tuples(st.integers(2, 60), st.integers(2, 60))
KINDS = st.sampled_from(["word_embedding", "query", "ffn_in", "other"])


@st.composite
def anatomies(draw: st.DrawFn) -> Anatomy:
    """A few matrices of any shape, kind and layer."""
    found = draw(st.lists(st.tuples(SHAPES, KINDS, st.integers(-1, 2)), min_size=1, max_size=8))
    return Anatomy(
        "none",
        tuple(
            TensorInfo(name=f"{i}.weight", dtype="F32", shape=shape, kind=kind, layer=layer)
            for i, (shape, kind, layer) in enumerate(found)
        ),
    )


def _assert_partition(anatomy: Anatomy, bands: list[Band]) -> None:
    """Every row of every matrix lies in exactly one band, in the order of the anatomy; no group is empty."""
    expected = [(info.name, row, info.cols) for info in anatomy.matrices for row in range(info.rows)]
    assert [(b.tensor, row, b.cols) for b in bands for row in range(b.row, b.row + b.rows)] == expected
    assert {band.group for band in bands} == set(range(groups.count(bands)))


@given(anatomies(), st.integers(1, 5000))
@settings(max_examples=60, deadline=None)
def test_pieces_partition_the_rows(anatomy: Anatomy, size: int):
    _assert_partition(anatomy, groups.pieces(anatomy, size))


@given(anatomies(), st.integers(200, 3000))
@settings(max_examples=60, deadline=None)
def test_pieces_are_of_about_the_size_asked_for(anatomy: Anatomy, size: int):
    filled: dict[int, int] = {}
    for band in groups.pieces(anatomy, size):
        filled[band.group] = filled.get(band.group, 0) + band.size
    widest = max(info.cols for info in anatomy.matrices)  # a row is not split
    assert max(filled.values()) <= 1.5 * size + widest


@given(anatomies())
@settings(max_examples=30, deadline=None)
def test_every_named_partition_is_one(anatomy: Anatomy):
    for partition in PARTITIONS.values():
        _assert_partition(anatomy, partition(anatomy))


def test_a_function_for_each_layer_and_kind_for_each_kind_or_for_all():
    anatomy = stack(3).anatomy
    assert {name: groups.count(partition(anatomy)) for name, partition in PARTITIONS.items()} == {
        "layer-kind": 1 + 3 * 3,  # the two matrices of kind ffn_in in a layer share a function
        "kind": 4,
        "one": 1,
    }


def test_large_matrices_are_split_and_small_ones_put_together():
    network = network_of({"a": torch.zeros(100, 10), "b": torch.zeros(10, 10), "c": torch.zeros(10, 10)})
    bands = groups.pieces(network.anatomy, 250)
    assert [(band.tensor, band.rows, band.group) for band in bands] == [
        *[("a", 25, group) for group in range(4)],
        ("b", 10, 4),
        ("c", 10, 4),
    ]
