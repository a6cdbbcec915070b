"""One pass over a block: its values to indices at a step, what was counted on the way, and the stream of the indices.

The functions here are all that is done for each block, and they share nothing: any process may run any of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dna_ray.mining.coding.blocks import Block
from dna_ray.mining.coding.classes import ClassMap, offset
from dna_ray.mining.coding.codebook import Codebook
from dna_ray.mining.coding.counting import Tally, tally
from dna_ray.mining.coding.side import Side
from dna_ray.mining.coding.stream import Models, Words, encode
from dna_ray.mining.coding.trellis import trellis
from dna_ray.mining.coding.viterbi import Costs, quantise, use_threads
from dna_ray.networks import TensorInfo

PRICE = 0.35  # lambda: squared steps a bit, about the slope of the rate-distortion function at every rate

Values = NDArray[np.float32]
Read = Callable[[str], Values]
Handle = Any  # of what a runner holds: a callable in this process, a reference on a cluster


class Runner(Protocol):
    """Runs a function for each of several blocks, here or elsewhere."""

    def hold(self, make: Callable[[], Values]) -> Handle:
        """A handle on values that functions will take as an argument, several times."""

    def map(self, function: Callable[..., tuple[Any, Any]], items: Sequence[tuple[Any, ...]]) -> list[tuple[Any, Any]]:
        """The two results of `function(*item)` for each item, in order. The second may be a handle."""


class Here:
    """One after the other in this process. Values are made again for every pass, so that only one block is held."""

    def hold(self, make: Callable[[], Values]) -> Handle:
        return make

    def map(self, function: Callable[..., tuple[Any, Any]], items: Sequence[tuple[Any, ...]]) -> list[tuple[Any, Any]]:
        return [function(*item) for item in items]


def values_of(
    block: Block, read: Read, matrices: Sequence[TensorInfo], side: Side, rotations: Sequence[Values]
) -> Values:
    """(rows, cols): the values of a block after the transforms."""
    parts = []
    for part in block.parts:
        rows = read(matrices[part.matrix].name)[part.first : part.last]
        basis = side.turned[part.matrix]
        parts.append(rows @ rotations[basis] if basis >= 0 else rows)
    return np.ascontiguousarray(np.concatenate(parts), np.float32)


def count(
    source: Handle, block: Block, side: Side, step: float, costs: Costs, states: int, every: int
) -> tuple[Tally, None]:
    """A pass over each `every`-th row of each part of a block."""
    use_threads(torch.get_num_threads())
    kept = _sampled(block, every)
    whole = side.class_map(block, offset(step))
    of = ClassMap(whole.rows[kept], whole.cols, whole.matrix[kept])
    values = _values(source)[kept] / np.float32(step)
    return tally(values, quantise(values, of, costs, trellis(states), PRICE), of, trellis(states)), None


def index(
    source: Handle, block: Block, side: Side, step: float, costs: Costs, states: int
) -> tuple[Tally, NDArray[Any]]:
    """A pass over a whole block, and its indices in the smallest integer dtype that holds them."""
    use_threads(torch.get_num_threads())
    of = side.class_map(block, offset(step))
    values = _values(source) / np.float32(step)
    indices = quantise(values, of, costs, trellis(states), PRICE)
    return tally(values, indices, of, trellis(states)), _narrow(indices)


def write(
    indices: NDArray[Any], block: Block, side: Side, step: float, codebook: Codebook, states: int
) -> tuple[Words, None]:
    """The stream of a block's indices."""
    of = side.class_map(block, offset(step))
    return encode(indices.astype(np.int32), of, Models(codebook), trellis(states)), None


def _values(source: Handle) -> Values:
    return source() if callable(source) else source


def _sampled(block: Block, every: int) -> NDArray[np.intp]:
    ends = np.cumsum([part.last - part.first for part in block.parts])
    starts = ends - [part.last - part.first for part in block.parts]
    return np.concatenate([np.arange(start, end, every) for start, end in zip(starts, ends, strict=True)])


def _narrow(indices: NDArray[np.int32]) -> NDArray[Any]:
    largest = int(np.abs(indices).max(initial=0))
    return indices.astype(np.int8 if largest < 1 << 7 else np.int16 if largest < 1 << 15 else np.int32)
