"""What a decoder must know before the streams: transforms, gains and scales, in integers, and their sections."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dna_ray.errors import ArtifactError
from dna_ray.mining.coding.blocks import Block
from dna_ray.mining.coding.classes import ClassMap
from dna_ray.mining.coding.gains import FURTHEST, Gains
from dna_ray.mining.coding.integers import decode_integers, encode_integers
from dna_ray.mining.coding.rotation import rotation
from dna_ray.mining.kind import Payload
from dna_ray.networks import TensorInfo

ROWS, COLS, MIDDLES, BASES = "coded.rows", "coded.cols", "coded.middles", "coded.bases"
ROW_GAINS, COL_GAINS, LEVELS = "coded.row_gains", "coded.col_gains", "coded.levels"
FINENESS = 128.0  # steps in a unit of an entry of a reflection

Integers = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Transforms, gains and scales of all matrices: what is coded is a matrix turned and scaled up by its gains.

    Attributes:
        rows: Log2 scale of each row of each matrix as coded, in eighths of an octave.
        cols: The same of each column.
        turned: Which basis turns the columns of each matrix; -1: none.
        bases: Integers of the reflections of each basis.
        gains: Of each matrix, after the transform; empty: none has any.
    """

    rows: tuple[NDArray[np.int32], ...]
    cols: tuple[NDArray[np.int32], ...]
    turned: tuple[int, ...]
    bases: tuple[NDArray[np.int32], ...]
    gains: tuple[Gains, ...] = ()

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
        middles, rows = _centred(self.rows)
        levels, row_gains = _centred([gains.rows for gains in self.gains])
        found: dict[str, NDArray[Any]] = {
            ROWS: _coded(rows),
            COLS: _coded(self.cols),
            MIDDLES: middles,
            BASES: _coded(self.bases),
            ROW_GAINS: _coded(row_gains),
            COL_GAINS: _coded([gains.cols for gains in self.gains]),
            LEVELS: levels,
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
    return Side(
        rows=_centred_back(payload, MIDDLES, ROWS, shapes[:, 0]),
        cols=_decoded(payload, COLS, shapes[:, 1]),
        turned=turned,
        bases=_decoded(payload, BASES, np.array(numbers, np.int64)),
        gains=_gains(payload, shapes),
    )


def _gains(payload: Payload, shapes: NDArray[np.int64]) -> tuple[Gains, ...]:
    if LEVELS not in payload.sections:
        return ()
    rows, cols = _centred_back(payload, LEVELS, ROW_GAINS, shapes[:, 0]), _decoded(payload, COL_GAINS, shapes[:, 1])
    if any(np.abs(each).max(initial=0) > FURTHEST for each in (*rows, *cols)):
        raise ArtifactError("a gain is beyond all measure; this DNA was not written by dna_ray")
    return tuple(map(Gains, rows, cols))


def _centred(several: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.int16], list[NDArray[np.int32]]]:
    """The median of each, and what is left: the same few integers wherever the medians lie."""
    middles = np.array([int(np.median(each)) if len(each) else 0 for each in several], np.int16)
    return middles, [each - middle for each, middle in zip(several, middles.astype(np.int32), strict=True)]


def _centred_back(payload: Payload, middles: str, name: str, counts: NDArray[np.int64]) -> tuple[Integers, ...]:
    added = payload.section(middles, "i2", len(counts)).astype(np.int32)
    return tuple(middle + part for middle, part in zip(added, _decoded(payload, name, counts), strict=True))


def _coded(several: Sequence[Integers]) -> NDArray[np.uint8]:
    return encode_integers(np.concatenate([np.empty(0, np.int32), *several]))


def _decoded(payload: Payload, name: str, counts: NDArray[np.int64]) -> tuple[Integers, ...]:
    values = decode_integers(payload.section(name, "u1"), int(counts.sum()))
    return tuple(np.split(values, np.cumsum(counts)[:-1])) if len(counts) else ()


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
