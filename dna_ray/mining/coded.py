"""Coded DNA: weights at the rate-distortion function, by transform, scale field, trellis and range coder.

A matrix is W = Y V', where V is an orthogonal transform of its columns (or none) and Y has a scale for each row and
each column. Y is quantised by a trellis, at one step for the whole network: at one slope, which is reverse
water-filling. The indices are coded with a table for each class of scale / step. All that a decoder needs to tell one
symbol from another is made of integers.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import ArtifactError, BudgetError
from dna_ray.mining.coding.analysis import (
    STEPS,
    Scales,
    first_step,
    plain_scales,
    steps,
    with_transforms,
    without_transforms,
)
from dna_ray.mining.coding.blocks import Part, blocks
from dna_ray.mining.coding.classes import offset
from dna_ray.mining.coding.codebook import Codebook
from dna_ray.mining.coding.counting import dequantise
from dna_ray.mining.coding.encoder import Encoder
from dna_ray.mining.coding.passes import Here, Read, Runner
from dna_ray.mining.coding.rate import Found
from dna_ray.mining.coding.side import Side, read_side
from dna_ray.mining.coding.stream import Models
from dna_ray.mining.coding.stream import decode as decode_stream
from dna_ray.mining.coding.trellis import STATES, trellis
from dna_ray.mining.coding.viterbi import use_threads
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field, from_matrix
from dna_ray.mining.kind import Kind, Payload
from dna_ray.mining.vectors import encode_vectors, with_vectors
from dna_ray.networks import Anatomy, TensorInfo
from dna_ray.networks.network import DTYPES

STREAMS = "coded.streams"
Sections = dict[str, NDArray[Any]]
_SPARE = 0.0003  # of the room: what the estimate of a stream's length does not see
_WASTE = 0.004  # of the room: a result nearer to it is kept
_TRIES = 4
_PLAIN_BITS = 1.5  # a weight, where no budget is given
_LARGEST = 1e38  # weight, of a float64
_ERROR_A_STEP = 0.25  # squared steps a weight, roughly


def fit(field: Field, budget: int | None, config: MineConfig, runner: Runner | None = None) -> Payload:
    """The smallest error within `budget`; None: the fewest bytes that reach `config.r2`.

    Args:
        runner: Where blocks are worked on; None: here. The bytes do not depend on it.

    Raises:
        BudgetError: Scales and vectors alone take more.
    """
    matrices, runner = field.anatomy.matrices, runner or Here()
    vectors = encode_vectors(field)
    if not matrices:
        return Payload({"step": 1.0, "states": config.effort, "turned": [], "words": []}, vectors)

    def read(name: str) -> NDArray[np.float32]:
        matrix = field.matrix(name)
        if matrix.dtype is torch.float64:
            matrix = matrix.clamp(-_LARGEST, _LARGEST)
        return matrix.to(torch.float32).numpy()

    scales = plain_scales(read, matrices)
    if budget is None and config.target_r2 is not None:
        error = (1 - config.target_r2) * _spread(read, matrices)
        start = min(max((error / field.anatomy.weights / _ERROR_A_STEP) ** 0.5, steps(scales)[0]), steps(scales)[1])
        side = with_transforms(read, matrices, scales, start)
        encoder = Encoder(read, matrices, side, config.effort, steps(scales), start, runner)
        found = encoder.within_error(error)
        return _payload(found, encoder.streams(found), side, vectors, config)
    room = field.anatomy.weights * _PLAIN_BITS / 8 if budget is None else budget - _nbytes(vectors)
    start = first_step(scales, 8 * max(room, 1))
    side = with_transforms(read, matrices, scales, start)
    encoder = Encoder(read, matrices, side, config.effort, steps(scales), start, runner)
    payload = _fitted(encoder, side, vectors, room - side.nbytes, config)
    if budget is None or payload.nbytes <= budget:
        return payload
    smallest = _smallest(read, matrices, scales, vectors, config)
    if smallest.nbytes <= budget:
        return smallest
    raise BudgetError(
        f"coded takes at least {smallest.nbytes:,} bytes here, the budget is {budget:,}; raise it",
        smallest=smallest.nbytes,
    )


def _spread(read: Read, matrices: Sequence[TensorInfo]) -> float:
    """Sum of squares of all weights about the means of their matrices."""
    found = 0.0
    for info in matrices:
        matrix = read(info.name)
        found += float(np.var(matrix, dtype=np.float64)) * matrix.size
    return found


def _smallest(
    read: Read, matrices: Sequence[TensorInfo], scales: Sequence[Scales], vectors: Sections, config: MineConfig
) -> Payload:
    """Every weight zero, and no transform: the same whatever the budget."""
    side = without_transforms(scales)
    coarsest = steps(scales)[1]
    encoder = Encoder(read, matrices, side, config.effort, (coarsest, coarsest), coarsest, Here())
    return _fitted(encoder, side, vectors, 1, config)


def _fitted(encoder: Encoder, side: Side, vectors: Sections, room: float, config: MineConfig) -> Payload:
    """The payload whose streams and codebook fill `room`; the estimate of a stream's length is mended if need be."""
    allowed = room * (1 - _SPARE)
    tries: list[tuple[float, Found, list[NDArray[np.uint32]]]] = []
    for _ in range(_TRIES):
        found = encoder.within_bytes(allowed)
        streams = encoder.streams(found)
        taken = found.learned.nbytes + sum(words.nbytes for words in streams)
        tries.append((taken if taken <= room else -taken, found, streams))  # the most that fits, or else the least
        if found.step in encoder.scope or room * (1 - _WASTE) <= taken <= room:
            break
        allowed *= room * (1 - _SPARE) / taken
    _, found, streams = max(tries, key=lambda tried: tried[0])
    return _payload(found, streams, side, vectors, config)


def _payload(
    found: Found, streams: list[NDArray[np.uint32]], side: Side, vectors: Sections, config: MineConfig
) -> Payload:
    params = {
        "step": found.step,
        "states": config.effort,
        "turned": list(side.turned),
        "words": [len(words) for words in streams],
    }
    sections = vectors | side.sections() | found.learned.sections() | {STREAMS: np.concatenate(streams)}
    return Payload(params, {name: section for name, section in sections.items() if section.size})


def _nbytes(sections: Sections) -> int:
    return sum(section.nbytes for section in sections.values())


def decode(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    """Matrices from their streams, in float32, and the vectors; a block in memory at a time."""
    return with_vectors(payload, anatomy, _decode_matrices(payload, anatomy))


def _decode_matrices(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    use_threads(torch.get_num_threads())
    side = read_side(payload, anatomy.matrices)
    rotations = side.rotations(anatomy.matrices)
    rows = {cols: _Rows(parts) for cols, parts in _decode_blocks(payload, anatomy, side).items()}
    for number, info in enumerate(anatomy.matrices):
        matrix = rows[info.matrix_shape[1]].of(number, info.matrix_shape[0])
        if side.turned[number] >= 0:
            matrix = matrix @ rotations[side.turned[number]].T
        limit = min(torch.finfo(DTYPES[info.dtype]).max, torch.finfo(torch.float32).max)
        tensor = torch.from_numpy(np.ascontiguousarray(matrix)).clamp(-limit, limit).to(DTYPES[info.dtype])
        yield info.name, from_matrix(tensor, info)


def _decode_blocks(
    payload: Payload, anatomy: Anatomy, side: Side
) -> dict[int, Iterator[tuple[Part, NDArray[np.float32]]]]:
    """For each length of row, the rows of its blocks in order, decoded when asked for."""
    step, states = payload.params.get("step"), payload.params.get("states")
    lengths, all_blocks = payload.params.get("words"), blocks(anatomy.matrices)
    if not (type(step) is float and STEPS[0] <= step <= STEPS[1] and type(states) is int and states in STATES):
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
