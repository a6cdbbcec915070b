"""Probability tables and reconstruction points, learned from a histogram and stored in a byte each."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from dna_ray.errors import ArtifactError
from dna_ray.mining.coding.classes import CLASSES, PER_OCTAVE, UNIT, shifts
from dna_ray.mining.coding.integers import decode_integers, encode_integers
from dna_ray.mining.coding.prices import byte_prices, byte_weights
from dna_ray.mining.coding.viterbi import Costs
from dna_ray.mining.kind import Payload

LENGTHS, PRICES, MOVES = "coded.lengths", "coded.prices", "coded.moves"
MAGNITUDES = 32  # of a table at most; the last stands for itself and all larger ones, which are told apart by more bits
_SHADES = 128  # of a step: how finely a reconstruction point is stored
MOVED = 4  # magnitudes 1 to 4 have points of their own; larger ones move like the fourth
_ENTRY_BITS = 8  # of a table entry, against which an escape is weighed
_ESCAPE_BITS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """What encoder and decoder share about indices, by (class, quantizer).

    Attributes:
        lengths: (classes, 2) uint8: magnitudes in the table, the last of which is the escape; 0: never used.
        prices: Flat uint8, `lengths` values a table: -log2 of the probability of a magnitude in eighths of a bit.
        moves: (classes, 2, 4) int8: how far the points of magnitudes 1 to 4 lie from the grid, in 1/128 step; 0 where
            a table is never used.
    """

    lengths: NDArray[np.uint8]
    prices: NDArray[np.uint8]
    moves: NDArray[np.int8]

    def table(self, of: int, quantizer: int) -> NDArray[np.float32]:
        """Weights, exact in float32, of the symbols -(n - 1) ... n - 1 of a table of length n."""
        length = int(self.lengths[of, quantizer])
        start = int(self.lengths.reshape(-1)[: 2 * of + quantizer].sum(dtype=np.int64))
        weights = byte_weights(self.prices[start : start + length])
        return np.concatenate([weights[:0:-1], weights])

    def moved(self, by: int) -> "Codebook":
        """What the entries have that are `by` classes higher than those that this was learned from."""
        if not by:
            return self
        source = np.clip(np.arange(CLASSES) - by, 0, CLASSES - 1)
        source = np.where(shifts()[source] == shifts(), source, np.arange(CLASSES))  # or a symbol is something else
        tables = np.split(self.prices, self.lengths.reshape(-1).cumsum(dtype=np.int64)[:-1])
        prices = [tables[2 * of + quantizer] for of in source for quantizer in range(2)]
        return Codebook(self.lengths[source], np.concatenate(prices), self.moves[source])

    def points(self) -> NDArray[np.float32]:
        """(classes, 2, magnitudes): where an index of each magnitude is rebuilt, in steps."""
        moved = np.zeros((CLASSES, 2, MAGNITUDES), np.float32)
        reach = np.minimum(np.arange(MAGNITUDES - 1), MOVED - 1)
        moved[:, :, 1:] = self.moves[:, :, reach] / np.float32(_SHADES)
        moved[:, :, -1] = moved[shifts() > 0] = 0
        return grid() + moved

    def costs(self) -> Costs:
        """What the Viterbi search weighs; for a table that was never used, that of Gaussians."""
        bits = _bits_of_gaussians().copy()
        self._price(bits)
        return Costs(bits, self.points(), shifts())

    def _price(self, bits: NDArray[np.float32]) -> None:
        """Writes the bits of every magnitude of the tables that there are."""
        for of, quantizer in zip(*np.nonzero(self.lengths), strict=True):
            table = self.table(of, quantizer).astype(np.float64)
            priced = -np.log2(table[len(table) // 2 :] / table.sum())
            bits[of, quantizer, : len(priced)] = priced
            bits[of, quantizer, len(priced) - 1 :] = priced[-1] + _ESCAPE_BITS * (len(priced) < MAGNITUDES)

    def bits(self, histogram: NDArray[np.int64]) -> float:
        """Bits that the indices of a `histogram` take, escapes estimated."""
        hidden = histogram[:, :, 0].sum(1) * (1 - np.exp2(-shifts().astype(np.float64)))  # signs that no symbol shows
        total = float(np.sum(histogram.sum((1, 2)) * shifts() + hidden))
        for of, quantizer in zip(*np.nonzero(histogram.sum(2)), strict=True):
            table = self.table(of, quantizer).astype(np.float64)
            priced = -np.log2(table[len(table) // 2 :] / table.sum())
            last = len(priced) - 1
            counts = histogram[of, quantizer]
            total += float(counts[:last] @ priced[:last] + counts[last:].sum() * (priced[-1] + _ESCAPE_BITS))
        return total

    def sections(self) -> dict[str, NDArray[Any]]:
        moves = self.moves[self.lengths > 0].reshape(-1)
        found: dict[str, NDArray[Any]] = {
            LENGTHS: encode_integers(self.lengths.reshape(-1)),
            PRICES: self.prices,
            MOVES: moves,
        }
        return {name: section for name, section in found.items() if section.size}

    @property
    def nbytes(self) -> int:
        return sum(section.nbytes for section in self.sections().values())

    @classmethod
    def read(cls, payload: Payload) -> "Codebook":
        """The inverse of `sections`.

        Raises:
            ArtifactError: They do not fit together.
        """
        coded = decode_integers(payload.section(LENGTHS, "u1"), CLASSES * 2).reshape(CLASSES, 2)
        if (coded < 0).any() or (coded > MAGNITUDES).any() or (coded == 1).any():
            raise ArtifactError("a probability table has an impossible length; this DNA was not written by dna_ray")
        lengths = coded.astype(np.uint8)
        prices = payload.section(PRICES, "u1", int(lengths.sum(dtype=np.int64)))
        moves = np.zeros((CLASSES, 2, MOVED), np.int8)
        used = lengths > 0
        moves[used] = payload.section(MOVES, "i1", MOVED * int(used.sum())).reshape(-1, MOVED)
        return cls(lengths, prices, moves)


def learn(histogram: NDArray[np.int64], sums: NDArray[np.float64]) -> Codebook:
    """The codebook of these indices.

    Args:
        histogram: (classes, 2, magnitudes) number of indices of each (shifted) magnitude; the last: and larger.
        sums: Same shape: sum of the values, in steps and with the sign of their index.
    """
    lengths = np.zeros((CLASSES, 2), np.uint8)
    prices: list[NDArray[np.uint8]] = []
    for of in range(CLASSES):
        for quantizer in range(2):
            counts = histogram[of, quantizer]
            if counts.any():
                prices.append(_prices(counts))
                lengths[of, quantizer] = len(prices[-1])
    flat = np.concatenate(prices) if prices else np.empty(0, np.uint8)
    return Codebook(lengths, flat, _moves(histogram, sums))


@functools.cache
def guess() -> Codebook:
    """A codebook for Gaussians, to start from."""
    scale = np.exp2((np.arange(CLASSES) - UNIT) / PER_OCTAVE - shifts())[:, None, None]
    edges = (grid()[:, :, 1:] + grid()[:, :, :-1]) / 2 / scale
    above = np.concatenate([np.ones((CLASSES, 2, 1)), 2 * ndtr(-edges), np.zeros((CLASSES, 2, 1))], axis=2)
    histogram = np.rint(1e6 * -np.diff(above, axis=2)).astype(np.int64) + 1
    return learn(histogram, (histogram * grid()).astype(np.float64))


@functools.cache
def _bits_of_gaussians() -> NDArray[np.float32]:
    bits = np.empty((CLASSES, 2, MAGNITUDES), np.float32)
    guess()._price(bits)
    return bits


def grid() -> NDArray[np.float32]:
    """(classes, 2, magnitudes): the grid points of each quantizer, in steps."""
    k = np.arange(MAGNITUDES, dtype=np.float32)
    return np.broadcast_to(np.stack([2 * k, np.maximum(2 * k - 1, 0)]), (CLASSES, 2, MAGNITUDES))


def _prices(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Prices of the magnitudes 0 ... n - 2, and of the escape. Other than 0, each is halved between its two signs."""
    last = np.flatnonzero(counts)[-1]
    tails = counts[::-1].cumsum()[::-1]
    lengths = np.arange(1, last + 2)
    length = int(lengths[np.argmin(_ENTRY_BITS * lengths + _ESCAPE_BITS * np.append(tails, 0)[lengths])]) + 1
    length = min(length, MAGNITUDES)
    kept = np.append(counts[: length - 1], counts[length - 1 :].sum()).astype(np.float64)
    kept[1:] /= 2
    return byte_prices(kept, total=float(counts.sum()))


def _moves(histogram: NDArray[np.int64], sums: NDArray[np.float64]) -> NDArray[np.int8]:
    few = slice(1, 1 + MOVED)
    mean = sums[:, :, few] / np.maximum(histogram[:, :, few], 1)
    off = np.where(histogram[:, :, few] > 0, mean - grid()[:, :, few], 0)
    return np.clip(np.rint(_SHADES * off), -127, 127).astype(np.int8)
