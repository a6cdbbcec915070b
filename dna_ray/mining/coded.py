"""Coded DNA: weights at the rate-distortion function, by transform, scale field, trellis and range coder.

A matrix is W = Y V', where V is an orthogonal transform of its columns (or none) and Y has a scale for each row and
each column. Y is quantised by a trellis, at one step for the whole network: at one slope, which is reverse
water-filling. The indices are coded with a table for each class of scale / step. All that a decoder needs to tell one
symbol from another is made of integers.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from math import log2
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import ArtifactError, BudgetError
from dna_ray.mining.coding import rate
from dna_ray.mining.coding.analysis import Scales, first_step, plain_scales, steps, with_transforms, without_transforms
from dna_ray.mining.coding.blocks import Block, Part, blocks
from dna_ray.mining.coding.classes import offset
from dna_ray.mining.coding.codebook import Codebook
from dna_ray.mining.coding.counting import Tally, dequantise
from dna_ray.mining.coding.passes import Blocks, Read
from dna_ray.mining.coding.rate import Found
from dna_ray.mining.coding.side import Side, read_side
from dna_ray.mining.coding.stream import Models, encode
from dna_ray.mining.coding.stream import decode as decode_stream
from dna_ray.mining.coding.trellis import STATES, trellis
from dna_ray.mining.coding.viterbi import use_threads
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field, from_matrix
from dna_ray.mining.kind import Kind, Payload
from dna_ray.mining.vectors import decode_vectors, encode_vectors
from dna_ray.networks import Anatomy, TensorInfo
from dna_ray.networks.network import DTYPES

STREAMS = "coded.streams"
Sections = dict[str, NDArray[Any]]
_SAMPLE = 1 << 21  # weights that the search for a step begins with
_SPARE = 0.0003  # of the room: what the estimate of a stream's length does not see
_WASTE = 0.004  # of the room: a result nearer to it is kept
_TRIES = 4
_SLOPE = -0.8  # of log2 bytes against log2 step, roughly


def fit(field: Field, budget: int | None, config: MineConfig) -> Payload:
    """The smallest error within `budget`; None: at one bit and a half a weight.

    Raises:
        BudgetError: Scales and vectors alone take more.
    """
    matrices = field.anatomy.matrices

    def read(name: str) -> NDArray[np.float32]:
        return field.matrix(name).to(torch.float32).numpy()

    use_threads(torch.get_num_threads())
    vectors = encode_vectors(field)
    room = field.anatomy.weights * 1.5 / 8 if budget is None else budget - sum(each.nbytes for each in vectors.values())
    if not matrices:
        return Payload({"step": 1.0, "states": config.effort, "turned": [], "words": []}, vectors)
    scales = plain_scales(read, matrices)
    start = first_step(scales, 8 * max(room, 1))
    side = with_transforms(read, matrices, scales, start)
    coder = _Coder(Blocks(read, matrices, side), blocks(matrices), config.effort, steps(scales), start)
    payload = _fitted(coder, side, vectors, room - side.nbytes, config)
    if budget is None or payload.nbytes <= budget:
        return payload
    smallest = _smallest(read, matrices, scales, vectors, config)
    if smallest.nbytes <= budget:
        return smallest
    raise BudgetError(
        f"coded takes at least {smallest.nbytes:,} bytes here, the budget is {budget:,}; raise it",
        smallest=smallest.nbytes,
    )


def _smallest(
    read: Read, matrices: Sequence[TensorInfo], scales: Sequence[Scales], vectors: Sections, config: MineConfig
) -> Payload:
    """Every weight zero, and no transform: the same whatever the budget."""
    side = without_transforms(scales)
    coarsest = steps(scales)[1]
    coder = _Coder(Blocks(read, matrices, side), blocks(matrices), config.effort, (coarsest, coarsest), coarsest)
    return _fitted(coder, side, vectors, 1, config)


def _fitted(coder: "_Coder", side: Side, vectors: Sections, room: float, config: MineConfig) -> Payload:
    """The payload whose streams and codebook fill `room`; the estimate of a stream's length is mended if need be."""
    allowed = room * (1 - _SPARE)
    for _ in range(_TRIES):
        found = coder.search(allowed)
        sections = coder.sections(found)
        taken = sum(section.nbytes for section in sections.values())
        if found.step in coder.range or room * (1 - _WASTE) <= taken <= room:
            break
        allowed *= room * (1 - _SPARE) / taken
    params = {"step": found.step, "states": config.effort, "turned": list(side.turned), "words": coder.lengths}
    sections = vectors | side.sections() | sections
    return Payload(params, {name: section for name, section in sections.items() if section.size})


class _Coder:
    """Passes over all blocks, remembering the indices of the last whole one."""

    def __init__(
        self, values: Blocks, parts: tuple[Block, ...], states: int, scope: tuple[float, float], start: float
    ) -> None:
        self._values, self._blocks, self._trellis = values, parts, trellis(states)
        self._step, self.range = start, scope
        self._indices: list[NDArray[Any]] = []
        self._at: tuple[float, Codebook] | None = None
        self.lengths: list[int] = []

    def go(self, step: float, codebook: Codebook, every: int) -> Tally:
        """One pass over every `every`-th row."""
        costs = codebook.costs()
        passes = [
            self._values.go(block, step, costs, self._trellis, every=every, keep=every == 1) for block in self._blocks
        ]
        if every == 1:
            self._indices, self._at = [each.indices for each in passes if each.indices is not None], (step, codebook)
        return reduce(Tally.__add__, (each.tally for each in passes))

    def search(self, room: float) -> Found:
        """The step at which streams and codebook fill `room` bytes."""
        weights = sum(block.rows * block.cols for block in self._blocks)

        def spent(found: Found) -> float:
            seen = int(found.tally.histogram.sum())
            streams = found.learned.bits(found.tally.histogram) / 8 * weights / max(seen, 1) + 8 * len(self._blocks)
            return log2((streams + found.learned.nbytes) / max(room, 1))

        found = rate.search(self.go, self._step, max(1, weights // _SAMPLE), spent, _SLOPE, *self.range)
        self._step = found.step
        return found

    def sections(self, found: Found) -> dict[str, NDArray[Any]]:
        """The streams at that step, and the codebook that reads them."""
        if self._at != (found.step, found.used):
            self.go(found.step, found.used, 1)
        models = Models(found.learned)
        streams = [
            encode(indices.astype(np.int32), self._values.class_map(block, found.step), models, self._trellis)
            for block, indices in zip(self._blocks, self._indices, strict=True)
        ]
        self.lengths = [len(words) for words in streams]
        return found.learned.sections() | {STREAMS: np.concatenate([np.empty(0, np.uint32), *streams])}


def decode(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    """Matrices from their streams, in float32, and the vectors; a block in memory at a time."""
    vectors = decode_vectors(payload, anatomy)
    matrices = _decode_matrices(payload, anatomy)
    for info in anatomy:
        if info.tied_to is None:
            yield next(matrices if info.is_matrix else vectors)


def _decode_matrices(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    use_threads(torch.get_num_threads())
    side = read_side(payload, anatomy.matrices)
    rotations = side.rotations(anatomy.matrices)
    rows = {cols: _Rows(parts) for cols, parts in _decode_blocks(payload, anatomy, side).items()}
    for number, info in enumerate(anatomy.matrices):
        matrix = rows[info.matrix_shape[1]].of(number, info.matrix_shape[0])
        if side.turned[number] >= 0:
            matrix = matrix @ rotations[side.turned[number]].T
        limit = torch.finfo(DTYPES[info.dtype]).max
        tensor = torch.from_numpy(np.ascontiguousarray(matrix)).clamp(-limit, limit).to(DTYPES[info.dtype])
        yield info.name, from_matrix(tensor, info)


def _decode_blocks(
    payload: Payload, anatomy: Anatomy, side: Side
) -> dict[int, Iterator[tuple[Part, NDArray[np.float32]]]]:
    """For each length of row, the rows of its blocks in order, decoded when asked for."""
    step, states = payload.params.get("step"), payload.params.get("states")
    lengths, all_blocks = payload.params.get("words"), blocks(anatomy.matrices)
    if not (type(step) is float and 1e-30 < step < 1e30 and type(states) is int and states in STATES):
        raise ArtifactError("the header names no step or no trellis; this DNA was not written by dna_ray")
    if not (
        type(lengths) is list and len(lengths) == len(all_blocks) and all(type(n) is int and n >= 0 for n in lengths)
    ):
        raise ArtifactError("the header does not say where streams end; this DNA was not written by dna_ray")
    streams = payload.section(STREAMS, "u4", sum(lengths))
    codebook = Codebook.read(payload)
    models, points = Models(codebook), codebook.points()

    def decoded(cols: int) -> Iterator[tuple[Part, NDArray[np.float32]]]:
        at = 0
        for block, length in zip(all_blocks, lengths, strict=True):
            at += length
            if block.cols != cols:
                continue
            of = side.class_map(block, offset(step))
            indices = decode_stream(streams[at - length : at], of, models, trellis(states))
            values = dequantise(indices, of, points, trellis(states)) * np.float32(step)
            first = 0
            for part in block.parts:
                yield part, values[first : first + part.last - part.first]
                first += part.last - part.first

    return {block.cols: decoded(block.cols) for block in all_blocks}


class _Rows:
    """Hands out matrices from the parts that blocks are made of."""

    def __init__(self, parts: Iterator[tuple[Part, NDArray[np.float32]]]) -> None:
        self._parts = parts

    def of(self, matrix: int, rows: int) -> NDArray[np.float32]:
        found: list[NDArray[np.float32]] = []
        while sum(len(each) for each in found) < rows:
            part, values = next(self._parts)
            if part.matrix != matrix:
                raise AssertionError("blocks are cut in the order of matrices")
            found.append(values)
        return np.concatenate(found)


KIND = Kind(fit, decode)
