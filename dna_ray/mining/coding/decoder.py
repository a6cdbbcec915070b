"""From the sections of a coded DNA back to matrices: streams, points, gains, transforms, means; a block at a time."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.mining.coding.analysis import STEPS
from dna_ray.mining.coding.blocks import Part, blocks
from dna_ray.mining.coding.classes import offset
from dna_ray.mining.coding.codebook import Codebook
from dna_ray.mining.coding.counting import dequantise
from dna_ray.mining.coding.mean import read_means
from dna_ray.mining.coding.side import Side, read_side
from dna_ray.mining.coding.stream import Models
from dna_ray.mining.coding.stream import decode as decode_stream
from dna_ray.mining.coding.threads import share_threads
from dna_ray.mining.coding.trellis import STATES, trellis
from dna_ray.mining.field import from_matrix
from dna_ray.mining.kind import Payload
from dna_ray.networks import Anatomy
from dna_ray.networks.network import DTYPES

STREAMS = "coded.streams"


def decode_matrices(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    """Every matrix in canonical order, in its own dtype.

    Raises:
        ArtifactError: Header and sections do not fit the anatomy or each other.
    """
    share_threads()
    side, means = read_side(payload, anatomy.matrices), read_means(payload, anatomy.matrices)
    rotations = side.rotations(anatomy.matrices)
    rows = {cols: _Rows(parts) for cols, parts in _decode_blocks(payload, anatomy, side).items()}
    for number, info in enumerate(anatomy.matrices):
        matrix = rows[info.matrix_shape[1]].of(number, info.matrix_shape[0])
        if side.gains:
            matrix = side.gains[number].undo(matrix)
        if side.turned[number] >= 0:
            matrix = matrix @ rotations[side.turned[number]].T
        if (mean := means.of(number)) is not None:
            matrix = matrix + mean
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
