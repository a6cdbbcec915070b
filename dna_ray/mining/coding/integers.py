"""Small integers with a probability table of their own: side information such as scales."""

import struct
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from dna_ray.errors import ArtifactError
from dna_ray.mining.coding.prices import byte_prices, byte_weights

_HEAD = struct.Struct("<iH")  # the smallest, and how many there are from it to the largest
_WIDEST = 4096


def encode_integers(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of `values`, by how often each occurs.

    Raises:
        ValueError: They spread over more than 4,096.
    """
    if not values.size:
        return np.empty(0, np.uint8)
    low, span = int(values.min()), int(values.max()) - int(values.min()) + 1
    if span > _WIDEST:
        raise ValueError(f"integers spread over {span}, at most {_WIDEST} are possible")
    symbols = (values.reshape(-1) - low).astype(np.int32)
    prices = byte_prices(np.bincount(symbols, minlength=span).astype(np.float64))
    coder = constriction.stream.queue.RangeEncoder()
    coder.encode(symbols, _model(prices))
    body = _HEAD.pack(low, span) + prices.tobytes() + coder.get_compressed().astype("<u4").tobytes()
    return np.frombuffer(body, np.uint8)


def decode_integers(raw: NDArray[np.uint8], count: int) -> NDArray[np.int32]:
    """The inverse of `encode_integers`.

    Raises:
        ArtifactError: These are not `count` integers.
    """
    if not count:
        return np.empty(0, np.int32)
    body = raw.tobytes()
    low, span = _HEAD.unpack_from(body) if len(body) >= _HEAD.size else (0, 0)
    start = _HEAD.size + span
    if not 0 < span <= _WIDEST or len(body) < start or (len(body) - start) % 4:
        raise ArtifactError("coded integers are cut short; this DNA was not written by dna_ray")
    prices = np.frombuffer(body, np.uint8, span, _HEAD.size)
    coder = constriction.stream.queue.RangeDecoder(np.frombuffer(body, "<u4", offset=start).astype(np.uint32))
    try:
        values = coder.decode(_model(prices), count)
    except AssertionError as error:  # what the coder raises where no symbol has these bits
        raise ArtifactError("coded integers are damaged; this DNA was not written by dna_ray") from error
    if not coder.maybe_exhausted():
        raise ArtifactError("coded integers are too long; this DNA was not written by dna_ray")
    return (values + low).astype(np.int32)


def _model(prices: NDArray[np.uint8]) -> Any:
    weights = byte_weights(prices)
    if len(weights) == 1:  # the coder wants two symbols at least
        weights = np.append(weights, np.float32(0))
    return constriction.stream.model.Categorical(weights, perfect=False)
