"""Groups: which tensors share a function. A coordinate runs only its own group's function."""

from collections.abc import Callable
from dataclasses import dataclass

from dna_ray.networks import KINDS, Anatomy, TensorInfo


@dataclass(frozen=True, slots=True)
class Band:
    """Some consecutive rows of one matrix, and the group whose function they belong to."""

    tensor: str
    row: int
    rows: int
    cols: int
    group: int

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.rows * self.cols


def one(anatomy: Anatomy) -> list[Band]:
    """A single function for everything: the original proposal."""
    return [Band(info.name, 0, info.rows, info.cols, 0) for info in anatomy.matrices]


def by_kind(anatomy: Anatomy) -> list[Band]:
    """A function for each kind of tensor, over all layers."""
    return _keyed(anatomy, lambda info: (KINDS.index(info.kind), 0))


def by_layer_and_kind(anatomy: Anatomy) -> list[Band]:
    """A function for each kind of tensor in each layer."""
    return _keyed(anatomy, lambda info: (KINDS.index(info.kind), info.layer))


PARTITIONS: dict[str, Callable[[Anatomy], list[Band]]] = {
    "layer-kind": by_layer_and_kind,
    "kind": by_kind,
    "one": one,
}


def pieces(anatomy: Anatomy, size: int) -> list[Band]:
    """Groups of about `size` weights: large tensors are split by rows, small neighbours are put together.

    Neighbours are tensors of one kind in layers that follow each other, then those of the next kind.

    Every function then describes as many weights as every other one, so that all can have one shape.
    """
    bands: list[Band] = []
    group = filled = 0
    for info in sorted(anatomy.matrices, key=lambda info: (KINDS.index(info.kind), info.layer, info.name)):
        parts = min(info.rows, max(1, round(info.size / size)))
        if filled and (parts > 1 or filled + info.size > 1.5 * size):
            group, filled = group + 1, 0
        edges = [info.rows * i // parts for i in range(parts + 1)]
        for start, stop in zip(edges, edges[1:], strict=False):
            bands.append(Band(info.name, start, stop - start, info.cols, group))
            filled += bands[-1].size
            if parts > 1 or filled >= size:
                group, filled = group + 1, 0
    order = {info.name: i for i, info in enumerate(anatomy.matrices)}
    return sorted(bands, key=lambda band: (order[band.tensor], band.row))


def count(bands: list[Band]) -> int:
    """Number of groups."""
    return 1 + max(band.group for band in bands)


def _keyed(anatomy: Anatomy, key: Callable[[TensorInfo], tuple[int, int]]) -> list[Band]:
    groups = {k: i for i, k in enumerate(sorted({key(info) for info in anatomy.matrices}))}
    return [Band(info.name, 0, info.rows, info.cols, groups[key(info)]) for info in anatomy.matrices]
