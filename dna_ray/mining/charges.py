"""What each matrix takes of a coded file: its streams and scales, and its share of what matrices have in common."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dna_ray.mining import vectors
from dna_ray.mining.coding.blocks import Block, blocks
from dna_ray.mining.coding.classes import offset
from dna_ray.mining.coding.codebook import Codebook
from dna_ray.mining.coding.counting import tally
from dna_ray.mining.coding.decoder import STREAMS
from dna_ray.mining.coding.mean import MEANS, Means
from dna_ray.mining.coding.side import BASES, COLS, MIDDLES, ROWS, Side
from dna_ray.mining.coding.stream import Models, decode
from dna_ray.mining.coding.threads import share_threads
from dna_ray.mining.coding.trellis import Trellis, trellis
from dna_ray.mining.kind import Payload
from dna_ray.networks import TensorInfo

Bits = NDArray[np.float64]
_NO_MATRIX = (vectors.CODES, vectors.BLOCKS, vectors.STATISTICS, vectors.RAW)


@dataclass(frozen=True, slots=True, eq=False)
class Charges:
    """Bits that each matrix takes, in canonical order: all that sections take, but for those of vectors.

    Attributes:
        means: What was taken from it before coding.
        scales: Its rows' and columns' scales.
        bases: Its transform. Matrices that share one divide it by their weights.
        coder: Its indices; and tables and whatever else there is, by weights.
    """

    means: Bits
    scales: Bits
    bases: Bits
    coder: Bits

    @property
    def all(self) -> Bits:
        return self.means + self.scales + self.bases + self.coder


def charges(payload: Payload, side: Side, means: Means, matrices: Sequence[TensorInfo]) -> Charges:
    """Divides the bytes of a payload that `coded.decode` takes among its matrices.

    Integers that were coded together are charged by their length in the code of all of them, and so are the indices of
    a stream that holds several matrices: by the tables of the file. Both are scaled to the bytes that are there.
    """
    nbytes = {name: section.nbytes for name, section in payload.sections.items() if name not in _NO_MATRIX}
    middles = payload.section(MIDDLES, "i2", len(matrices)).astype(np.int32)
    rows = [own - middle for own, middle in zip(side.rows, middles, strict=True)]
    scales = _of_integers(nbytes.pop(ROWS, 0), rows) + _of_integers(nbytes.pop(COLS, 0), side.cols)
    sizes = np.array([info.size for info in matrices], np.float64)
    bases = np.zeros(len(matrices))
    for basis, bits in enumerate(_of_integers(nbytes.pop(BASES, 0), side.bases)):
        bases += bits * _shares(np.where(np.array(side.turned) == basis, sizes, 0))
    scales += 8 * nbytes.pop(MIDDLES, 0) / len(matrices)
    of_means = np.zeros(len(matrices))
    for mean in means.kept:
        of_means[mean.shape.matrix] = 8 * mean.numbers.nbytes
    coder = _of_streams(payload, side, matrices)
    for name in (MEANS, STREAMS):
        nbytes.pop(name, 0)
    return Charges(of_means, scales, bases, coder + 8 * sum(nbytes.values()) * _shares(sizes))


def _of_streams(payload: Payload, side: Side, matrices: Sequence[TensorInfo]) -> Bits:
    share_threads()
    codebook, step = Codebook.read(payload), offset(payload.params["step"])
    lengths, models, path = payload.params["words"], Models(codebook), trellis(payload.params["states"])
    streams = payload.section(STREAMS, "u4", sum(lengths))
    found, end = np.zeros(len(matrices)), 0
    for block, length in zip(blocks(matrices), lengths, strict=True):
        end += length
        ideal = np.ones(1)
        if len(block.parts) > 1:
            indices = decode(streams[end - length : end], side.class_map(block, step), models, path)
            ideal = _ideal(block, indices, side, step, codebook, path)
        np.add.at(found, [part.matrix for part in block.parts], 32 * length * _shares(ideal))
    return found


def _ideal(block: Block, indices: NDArray[np.int32], side: Side, step: int, codebook: Codebook, path: Trellis) -> Bits:
    """Bits of each part of a block by the tables, escapes estimated."""
    found, first = [], 0
    for part in block.parts:
        here = indices[first : first + part.last - part.first]
        of = side.class_map(Block(block.cols, (part,)), step)
        found.append(codebook.bits(tally(np.zeros(here.shape, np.float32), here, of, path).histogram))
        first += len(here)
    return np.array(found)


def _of_integers(nbytes: int, owned: Sequence[NDArray[np.int32]]) -> Bits:
    """The bits of integers that were coded together, by owner."""
    if not any(len(own) for own in owned):
        return np.zeros(len(owned))
    _, place, counts = np.unique(np.concatenate(owned), return_inverse=True, return_counts=True)
    ideal = np.log2((len(place) + 1) / counts)[place]
    owner = np.repeat(np.arange(len(owned)), [len(own) for own in owned])
    return 8 * nbytes * _shares(np.bincount(owner, ideal, len(owned)).astype(np.float64))


def _shares(amounts: Bits) -> Bits:
    return amounts / max(float(amounts.sum()), 1e-300)
