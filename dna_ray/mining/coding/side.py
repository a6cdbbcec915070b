"""What a decoder must know before the streams: transforms and scales, in integers, and the sections they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dna_ray.errors import ArtifactError
from dna_ray.mining.coding.blocks import Block
from dna_ray.mining.coding.classes import ClassMap
from dna_ray.mining.coding.integers import decode_integers, encode_integers
from dna_ray.mining.coding.rotation import rotation
from dna_ray.mining.kind import Payload
from dna_ray.networks import TensorInfo

ROWS, COLS, MIDDLES, BASES = "coded.rows", "coded.cols", "coded.middles", "coded.bases"
FINENESS = 128.0  # steps in a unit of an entry of a reflection


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Scales and transforms of all matrices.

    Attributes:
        rows: Log2 scale of each row of each matrix, in eighths of an octave.
        cols: The same of each column, after the transform.
        turned: Which basis turns the columns of each matrix; -1: none.
        bases: Integers of the reflections of each basis.
    """

    rows: tuple[NDArray[np.int32], ...]
    cols: tuple[NDArray[np.int32], ...]
    turned: tuple[int, ...]
    bases: tuple[NDArray[np.int32], ...]

    def class_map(self, block: Block, offset: int) -> ClassMap:
        """The classes of a block, for the step that `offset` stands for."""
        rows = [self.rows[part.matrix][part.first : part.last] for part in block.parts]
        return ClassMap(
            np.concatenate(rows) + np.int32(offset),
            np.stack([self.cols[part.matrix] for part in block.parts]),
            np.repeat(np.arange(len(rows), dtype=np.int32), [len(part) for part in rows]),
        )

    def rotations(self, matrices: Sequence[TensorInfo]) -> list[NDArray[np.float32]]:
        """The bases as orthogonal matrices."""
        sizes = {basis: info.matrix_shape[1] for basis, info in zip(self.turned, matrices, strict=True) if basis >= 0}
        return [
            rotation(integers, sizes[basis], FINENESS).astype(np.float32) for basis, integers in enumerate(self.bases)
        ]

    def sections(self) -> dict[str, NDArray[Any]]:
        middles = np.array([int(np.median(rows)) if len(rows) else 0 for rows in self.rows], np.int16)
        rows = [rows - middle for rows, middle in zip(self.rows, middles.astype(np.int32), strict=True)]
        found: dict[str, NDArray[Any]] = {
            ROWS: encode_integers(np.concatenate([np.empty(0, np.int32), *rows])),
            COLS: encode_integers(np.concatenate([np.empty(0, np.int32), *self.cols])),
            MIDDLES: middles,
            BASES: encode_integers(np.concatenate([np.empty(0, np.int32), *self.bases])),
        }
        return {name: section for name, section in found.items() if section.size}

    @property
    def nbytes(self) -> int:
        return sum(section.nbytes for section in self.sections().values())


def read_side(payload: Payload, matrices: Sequence[TensorInfo]) -> Side:
    """The inverse of `Side.sections`, with the transforms that the header names.

    Raises:
        ArtifactError: Sections and header do not fit the matrices.
    """
    turned = _turned(payload.params.get("turned"), matrices)
    sizes: dict[int, int] = {basis: info.matrix_shape[1] for basis, info in zip(turned, matrices, strict=True)}
    numbers = [sizes[basis] * (sizes[basis] - 1) // 2 for basis in range(max(turned, default=-1) + 1)]
    shapes = np.array([info.matrix_shape for info in matrices], np.int64).reshape(-1, 2)
    middles = payload.section(MIDDLES, "i2", len(matrices)).astype(np.int32)
    rows = _split(decode_integers(payload.section(ROWS, "u1"), int(shapes[:, 0].sum())), shapes[:, 0])
    return Side(
        rows=tuple(middle + part for middle, part in zip(middles, rows, strict=True)),
        cols=tuple(_split(decode_integers(payload.section(COLS, "u1"), int(shapes[:, 1].sum())), shapes[:, 1])),
        turned=turned,
        bases=tuple(_split(decode_integers(payload.section(BASES, "u1"), sum(numbers)), np.array(numbers, np.int64))),
    )


def _turned(named: Any, matrices: Sequence[TensorInfo]) -> tuple[int, ...]:
    known = range(-1, len(matrices))
    whole = type(named) is list and len(named) == len(matrices)
    whole = whole and all(type(basis) is int and basis in known for basis in named)
    if not whole or (named and sorted(set(named) - {-1}) != list(range(max(named) + 1))):
        raise ArtifactError("the header names no transform for each matrix; this DNA was not written by dna_ray")
    for basis in range(max(named, default=-1) + 1):
        shapes = [info.matrix_shape for info, own in zip(matrices, named, strict=True) if own == basis]
        if len({cols for _, cols in shapes}) != 1:
            raise ArtifactError("matrices share a transform that fits only one; this DNA was not written by dna_ray")
        if sum(rows for rows, _ in shapes) < shapes[0][1]:  # so that it is never larger than what it turns
            raise ArtifactError("a transform is larger than its matrices; this DNA was not written by dna_ray")
    return tuple(named)


def _split(values: NDArray[np.int32], lengths: NDArray[np.int64]) -> list[NDArray[np.int32]]:
    return np.split(values, np.cumsum(lengths)[:-1]) if len(lengths) else []
