"""Probabilities as bytes: -log2 in eighths of a bit, and the integers that they stand for on every machine."""

import numpy as np
from numpy.typing import NDArray

_EIGHTHS = 8  # of a bit: how finely a probability is stored
_POWERS = (65536, 60097, 55109, 50535, 46341, 42495, 38968, 35734)  # round(2^16 * 2^(-i / 8))
_LEAST_FREQUENT = 127  # of a stored price, in eighths of a bit: 2^-16


def byte_prices(counts: NDArray[np.float64], total: float | None = None) -> NDArray[np.uint8]:
    """-log2 of the share of each count, in eighths of a bit; what never occurs gets a price too."""
    share = np.maximum(counts, 0.25) / (total or counts.sum())
    return np.clip(np.rint(-_EIGHTHS * np.log2(share)), 0, _LEAST_FREQUENT).astype(np.uint8)


def byte_weights(prices: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities in units of 2^-16, integers and so exact, from prices in eighths of a bit."""
    octaves, eighths = np.divmod(prices.astype(np.int64), _EIGHTHS)
    return np.maximum(np.array(_POWERS)[eighths] >> octaves, 1).astype(np.float32)
