import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dna_ray.mining.packing import pack, packed_size, unpack


@given(bits=st.integers(1, 16), seed=st.integers(0, 1000), count=st.integers(0, 300))
@settings(max_examples=150, deadline=None)
def test_packing_and_back_is_the_identity(bits: int, seed: int, count: int):
    values = np.random.default_rng(seed).integers(0, 2**bits, count)
    packed = pack(values, bits)
    assert packed.size == packed_size(count, bits)
    assert np.array_equal(unpack(packed, bits, count), values)


@pytest.mark.parametrize("bits", [1, 3, 8, 13, 16])
@pytest.mark.parametrize("count", [1 << 16, (1 << 16) + 1, 150_001])
def test_long_arrays_are_packed_across_chunks(bits: int, count: int):
    values = np.random.default_rng(0).integers(0, 2**bits, count)
    assert np.array_equal(unpack(pack(values, bits), bits, count), values)


def test_bits_are_in_the_order_that_the_format_promises():
    assert pack(np.array([1, 2, 3]), 4).tolist() == [0x21, 0x03]


@pytest.mark.parametrize(("values", "bits"), [([8], 3), ([-1], 8), ([0], 0), ([0], 17)])
def test_what_does_not_fit_is_refused(values: list[int], bits: int):
    with pytest.raises(ValueError, match="fit in|must be 1 to 16"):
        pack(np.array(values), bits)


def test_unpacking_refuses_another_length():
    with pytest.raises(ValueError, match="take 2 bytes, got 3"):
        unpack(np.zeros(3, np.uint8), 4, 4)
