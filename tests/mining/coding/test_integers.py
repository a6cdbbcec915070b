import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from dna_ray.errors import ArtifactError
from dna_ray.mining.coding.integers import decode_integers, encode_integers

INTEGERS = st.integers(0, 4095).flatmap(
    lambda spread: st.integers(-(1 << 31), (1 << 31) - 1 - spread).flatmap(
        lambda low: arrays(np.int32, st.integers(0, 120), elements=st.integers(low, low + spread))
    )
)
SCALES = np.rint(8 * np.random.default_rng(0).standard_normal(400)).astype(np.int32)


def _answered(raw: NDArray[np.uint8], count: int) -> NDArray[np.int32] | None:
    """What the bytes stand for; None where they are refused. Whatever else is raised, goes through."""
    try:
        values = decode_integers(raw, count)
    except ArtifactError:
        return None
    assert (values.shape, values.dtype) == ((count,), np.int32)
    return values


@given(values=INTEGERS)
@settings(max_examples=150, deadline=None)
def test_integers_and_back_is_the_identity(values: NDArray[np.int32]):
    assert np.array_equal(decode_integers(encode_integers(values), len(values)), values)


@pytest.mark.parametrize("values", [[7] * 1000, [0], [-(1 << 31)], [(1 << 31) - 1] * 3, [0, 4095], []])
def test_one_value_few_values_and_none_come_back(values: list[int]):
    found = decode_integers(encode_integers(np.array(values, np.int64)), len(values))
    assert found.tolist() == values


def test_equal_integers_take_a_few_bytes_and_others_their_entropy():
    assert encode_integers(np.full(100_000, -3)).nbytes < 20
    many = np.rint(8 * np.random.default_rng(1).standard_normal(40_000)).astype(np.int32)
    share = np.bincount(many - many.min()) / len(many)
    entropy = -np.sum(share * np.log2(np.maximum(share, 1e-9)))
    assert 8 * encode_integers(many).nbytes == pytest.approx(entropy * len(many), rel=0.01)


def test_integers_spread_too_widely_are_refused():
    with pytest.raises(ValueError, match="spread over 4097, at most 4096"):
        encode_integers(np.array([0, 4096]))


def test_bytes_cut_at_any_place_are_refused_or_an_answer():
    raw = encode_integers(SCALES)
    for length in range(len(raw)):
        _answered(raw[:length], len(SCALES))
    for length in (0, 1, 5, 6, 20, len(raw) - 1, len(raw) - 2, len(raw) - 3):
        assert _answered(raw[:length], len(SCALES)) is None


def test_more_bytes_than_the_integers_take_are_refused():
    raw = encode_integers(SCALES)
    for more in (1, 3, 8, 400):
        with pytest.raises(ArtifactError, match="cut short|too long"):
            decode_integers(np.append(raw, np.full(more, 0x5A, np.uint8)), len(SCALES))
    with pytest.raises(ArtifactError, match="too long"):
        decode_integers(raw, len(SCALES) // 2)


def test_every_flipped_bit_is_refused_or_an_answer():
    raw = encode_integers(SCALES[:60])
    for bit in range(8 * len(raw)):
        flipped = raw.copy()
        flipped[bit // 8] ^= np.uint8(1 << bit % 8)
        _answered(flipped, 60)


@given(raw=st.binary(max_size=80), count=st.integers(1, 300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_refused_or_an_answer(raw: bytes, count: int):
    _answered(np.frombuffer(raw, np.uint8), count)


@given(
    low=st.integers(-(1 << 31), (1 << 31) - 1),
    prices=st.binary(min_size=1, max_size=60),
    words=st.lists(st.integers(0, (1 << 32) - 1), max_size=12),
    count=st.integers(1, 300),
)
@settings(max_examples=300, deadline=None)
def test_any_head_prices_and_words_are_refused_or_an_answer(low: int, prices: bytes, words: list[int], count: int):
    body = struct.pack("<iH", low, len(prices)) + prices + struct.pack(f"<{len(words)}I", *words)
    _answered(np.frombuffer(body, np.uint8), count)
