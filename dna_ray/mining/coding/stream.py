"""Indices to and from a range-coded stream (`constriction`), a column of all rows at a time.

Which table an index has depends on its class, and on the state that the indices before it in its row have led to. So a
decoder goes from column to column, with all rows side by side; within a column, indices of one table stand together.
"""

import functools
from collections.abc import Iterator
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from dna_ray.errors import ArtifactError
from dna_ray.mining.coding.classes import ClassMap, shifts
from dna_ray.mining.coding.codebook import Codebook
from dna_ray.mining.coding.trellis import Trellis

_models = constriction.stream.model
_queue = constriction.stream.queue
_WIDEST = 16  # bits that the coder takes in one symbol
_LENGTHS = 31  # bits of the largest excess beyond a table
_LARGEST = 1 << 30  # index: its double, a place on the grid, is an integer of 32 bits

Words = NDArray[np.uint32]


class Models:
    """The tables of a codebook as the coder's models, made when first used.

    Attributes:
        reach: Of each table, the magnitude that stands for itself and all larger ones.
        shifts: Of each table, how many low bits of an index stand outside it.
    """

    def __init__(self, codebook: Codebook) -> None:
        self.reach = codebook.lengths.reshape(-1).astype(np.int32) - 1
        self.shifts = np.repeat(shifts(), 2)
        self._codebook = codebook
        self._made: dict[int, Any] = {}

    def __getitem__(self, table: int) -> Any:
        if table not in self._made:
            if self.reach[table] < 1:
                raise ArtifactError("a stream uses a table that the file lacks; this DNA was not written by dna_ray")
            weights = self._codebook.table(*divmod(table, 2))
            self._made[table] = _models.Categorical(weights, perfect=False)
        return self._made[table]


def encode(indices: NDArray[np.int32], of: ClassMap, models: Models, trellis: Trellis) -> Words:
    """The stream of a block of indices (rows, cols), every row from state 0 on."""
    coder = _queue.RangeEncoder()
    states = np.zeros(len(indices), np.uint8)
    for c, column in enumerate(np.ascontiguousarray(indices.T)):
        order, tables, runs = _by_table(states, of.column(c))
        here, reach, shift = column[order], models.reach[tables], models.shifts[tables]
        magnitude = np.abs(here)
        coded = magnitude >> shift
        symbols = np.sign(here) * np.minimum(coded, reach) + reach
        for start, end in runs:
            coder.encode(symbols[start:end], models[int(tables[start])])
        for excess in (coded - reach)[coded >= reach].tolist():
            _encode_excess(coder, excess + 1)
        for bits in np.unique(shift[shift > 0]).tolist():
            _encode_bits(coder, (magnitude & ((1 << bits) - 1))[shift == bits], bits)
        _encode_bits(coder, (here < 0)[(coded == 0) & (here != 0)], 1)
        states = trellis.following[states, column & 1]
    return coder.get_compressed()


def decode(words: Words, of: ClassMap, models: Models, trellis: Trellis) -> NDArray[np.int32]:
    """The inverse of `encode`.

    Raises:
        ArtifactError: The stream is none of ours.
    """
    try:
        return _decode(words, of, models, trellis)
    except AssertionError as error:  # what the coder raises where no symbol has these bits
        raise ArtifactError("a stream is damaged; this DNA was not written by dna_ray") from error


def _decode(words: Words, of: ClassMap, models: Models, trellis: Trellis) -> NDArray[np.int32]:
    coder = _queue.RangeDecoder(np.ascontiguousarray(words, np.uint32))
    rows, cols = of.shape
    states = np.zeros(rows, np.uint8)
    indices, symbols = np.empty((cols, rows), np.int32), np.empty(rows, np.int32)
    for c in range(cols):
        order, tables, runs = _by_table(states, of.column(c))
        reach, shift = models.reach[tables], models.shifts[tables]
        for start, end in runs:
            symbols[start:end] = coder.decode(models[int(tables[start])], end - start)
        here = symbols - reach
        _decode_rest(coder, here, reach, shift)
        indices[c, order] = here
        states = trellis.following[states, indices[c] & 1]
    if not coder.maybe_exhausted():
        raise ArtifactError("a stream is longer than its indices; this DNA was not written by dna_ray")
    return indices.T


def _by_table(
    states: NDArray[np.uint8], of: NDArray[np.int32]
) -> tuple[NDArray[np.intp], NDArray[np.intp], Iterator[tuple[int, int]]]:
    """The rows of a column in the order of their tables, those tables, and where the runs of equal ones lie."""
    tables = (2 * of + (states & 1)).astype(np.uint8)  # a byte, so that numpy sorts by radix
    order = np.argsort(tables, kind="stable")
    tables = tables[order]
    ends = [*(np.flatnonzero(tables[1:] != tables[:-1]) + 1).tolist(), len(tables)]
    return order, tables.astype(np.intp), zip([0, *ends[:-1]], ends, strict=True)


def _decode_rest(coder: Any, here: NDArray[np.int32], reach: NDArray[np.int32], shift: NDArray[np.int32]) -> None:
    """What the tables do not tell of a column: how far beyond its table an index lies, and low bits."""
    for i in np.flatnonzero(np.abs(here) >= reach).tolist():
        magnitude = abs(int(here[i])) + _decode_excess(coder) - 1
        if magnitude << int(shift[i]) > _LARGEST:
            raise ArtifactError("a stream holds an impossible index; this DNA was not written by dna_ray")
        here[i] = magnitude if here[i] > 0 else -magnitude
    if not shift.any():
        return
    sign, magnitudes = np.sign(here), np.abs(here) << shift
    for bits in np.unique(shift[shift > 0]).tolist():
        magnitudes[shift == bits] |= _decode_bits(coder, int((shift == bits).sum()), bits)
    hidden = (sign == 0) & (magnitudes != 0)
    sign[hidden] = 1 - 2 * _decode_bits(coder, int(hidden.sum()), 1)
    here[:] = sign * magnitudes


def _encode_excess(coder: Any, value: int) -> None:
    """A number from 1 on: its length, and its bits after the first (Elias)."""
    length = value.bit_length() - 1
    coder.encode(length, _uniform(_LENGTHS))
    _encode_bits(coder, np.array([value - (1 << length)]), length)


def _decode_excess(coder: Any) -> int:
    length = int(coder.decode(_uniform(_LENGTHS)))
    return (1 << length) + int(_decode_bits(coder, 1, length)[0])


def _encode_bits(coder: Any, values: NDArray[Any], bits: int) -> None:
    """Values below 2^bits as they are."""
    for at in range(0, bits if len(values) else 0, _WIDEST):
        width = min(_WIDEST, bits - at)
        coder.encode(((values.astype(np.int32) >> at) & ((1 << width) - 1)), _uniform(1 << width))


def _decode_bits(coder: Any, count: int, bits: int) -> NDArray[np.int32]:
    values = np.zeros(count, np.int32)
    for at in range(0, bits if count else 0, _WIDEST):
        width = min(_WIDEST, bits - at)
        values |= coder.decode(_uniform(1 << width), count) << at
    return values


@functools.cache
def _uniform(size: int) -> Any:
    return _models.Uniform(size)
