"""One pass over a block: its values to indices at a step, what was counted on the way, and the stream of the indices.

The functions here are all that is done for each block, and they share nothing: any process may run any of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dna_ray.mining.coding.blocks import Block
from dna_ray.mining.coding.classes import ClassMap, offset
from dna_ray.mining.coding.codebook import Codebook
from dna_ray.mining.coding.counting import Tally, tally
from dna_ray.mining.coding.feedback import Fed, quantise_fed
from dna_ray.mining.coding.side import Side
from dna_ray.mining.coding.stream import Models, Words, encode
from dna_ray.mining.coding.threads import share_threads
from dna_ray.mining.coding.trellis import Trellis, trellis
from dna_ray.mining.coding.viterbi import Costs, quantise
from dna_ray.networks import TensorInfo

PRICE = 0.35  # lambda: squared steps a bit, about the slope of the rate-distortion function at every rate

Values = NDArray[np.float32]
Read = Callable[[str], Values]
Handle = Any  # of what a runner holds: a callable in this process, a reference on a cluster


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What a block is made of.

    Attributes:
        values: (rows, cols), turned and scaled.
        fed: What rows are fed errors by; empty: none are.
    """

    values: Values
    fed: tuple[Fed, ...] = ()


class Runner(Protocol):
    """Runs a function for each of several blocks, here or elsewhere."""

    def hold(self, make: Callable[[], Source]) -> Handle:
        """A handle on what functions will take as an argument, several times."""

    def map(self, function: Callable[..., tuple[Any, Any]], items: Sequence[tuple[Any, ...]]) -> list[tuple[Any, Any]]:
        """The two results of `function(*item)` for each item, in order. The second may be a handle."""


class Here:
    """One after the other in this process. Values are made again for every pass, so that only one block is held."""

    def hold(self, make: Callable[[], Source]) -> Handle:
        return make

    def map(self, function: Callable[..., tuple[Any, Any]], items: Sequence[tuple[Any, ...]]) -> list[tuple[Any, Any]]:
        return [function(*item) for item in items]


def values_of(
    block: Block, read: Read, matrices: Sequence[TensorInfo], side: Side, rotations: Sequence[Values]
) -> Values:
    """(rows, cols): the values of a block after transforms and gains."""
    parts = []
    for part in block.parts:
        rows = read(matrices[part.matrix].name)[part.first : part.last]
        basis = side.turned[part.matrix]
        turned = rows @ rotations[basis] if basis >= 0 else rows
        parts.append(side.gains[part.matrix].apply(turned, part.first) if side.gains else turned)
    return np.ascontiguousarray(np.concatenate(parts), np.float32)


def source_of(values: Callable[[], Values], block: Block, feedback: Mapping[int, Values]) -> Source:
    """The block that `values` makes.

    Args:
        feedback: By the place of a matrix, what its rows are fed by.
    """
    ranges = zip(block.parts, block.starts, strict=True)
    fed = [
        Fed(start, start + part.last - part.first, feedback[part.matrix])
        for part, start in ranges
        if part.matrix in feedback
    ]
    return Source(values(), tuple(fed))


def count(
    source: Handle, block: Block, side: Side, step: float, costs: Costs, states: int, every: int
) -> tuple[Tally, None]:
    """A pass over each `every`-th row of each part of a block."""
    share_threads()
    kept = _sampled(block, every)
    whole, made = side.class_map(block, offset(step)), _made(source)
    of = ClassMap(whole.rows[kept], whole.cols, whole.matrix[kept])
    ends = [np.searchsorted(kept, (each.first, each.last)).tolist() for each in made.fed]
    fed = [Fed(first, last, each.matrix) for (first, last), each in zip(ends, made.fed, strict=True)]
    targets, indices = _quantised(Source(made.values[kept], tuple(fed)), of, step, costs, trellis(states))
    return tally(targets, indices, of, trellis(states)), None


def index(
    source: Handle, block: Block, side: Side, step: float, costs: Costs, states: int
) -> tuple[Tally, NDArray[Any]]:
    """A pass over a whole block, and its indices in the smallest integer dtype that holds them."""
    share_threads()
    of = side.class_map(block, offset(step))
    targets, indices = _quantised(_made(source), of, step, costs, trellis(states))
    return tally(targets, indices, of, trellis(states)), _narrow(indices)


def write(
    indices: NDArray[Any], block: Block, side: Side, step: float, codebook: Codebook, states: int
) -> tuple[Words, None]:
    """The stream of a block's indices."""
    of = side.class_map(block, offset(step))
    return encode(indices.astype(np.int32), of, Models(codebook), trellis(states)), None


def _made(source: Handle) -> Source:
    made: Source = source() if callable(source) else source
    return made


def _quantised(
    source: Source, of: ClassMap, step: float, costs: Costs, trellis: Trellis
) -> tuple[Values, NDArray[np.int32]]:
    """Targets, in steps, and their indices."""
    values = source.values / np.float32(step)
    if not source.fed:
        return values, quantise(values, of, costs, trellis, PRICE)
    return quantise_fed(values, of, costs, trellis, PRICE, source.fed)


def _sampled(block: Block, every: int) -> NDArray[np.intp]:
    parts = zip(block.parts, block.starts, strict=True)
    return np.concatenate([np.arange(start, start + part.last - part.first, every) for part, start in parts])


def _narrow(indices: NDArray[np.int32]) -> NDArray[Any]:
    largest = int(np.abs(indices).max(initial=0))
    return indices.astype(np.int8 if largest < 1 << 7 else np.int16 if largest < 1 << 15 else np.int32)
