import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_layers import normal

from dna_ray.errors import ArtifactError
from dna_ray.evolution.sparsity.bits import pack, sha256, unpack
from dna_ray.evolution.sparsity.masks import rank


@given(st.integers(1, 9), st.integers(1, 17), st.integers(0, 1000))
def test_bits_and_back_is_the_identity(rows: int, cols: int, seed: int):
    mask = normal(rows, cols, seed=seed) > 0
    bits = pack(mask)
    assert bits.nbytes == -(-mask.numel() // 8)
    assert torch.equal(unpack(bits, rows=rows, cols=cols), mask)


def test_bits_that_are_no_mask_of_that_shape_are_refused():
    bits = pack(torch.ones(3, 3, dtype=torch.bool))
    with pytest.raises(ArtifactError, match="3 x 6 weights is 3 bytes, not 2"):
        unpack(bits, rows=3, cols=6)
    with pytest.raises(ArtifactError, match="bits beyond its end"):
        unpack(np.array([255, 255], np.uint8), rows=3, cols=3)


def test_a_mask_is_known_by_its_shape_and_bits():
    mask = rank(normal(8, 10)).mask(20)
    assert sha256(mask) == hashlib.sha256(b"8 10 " + np.packbits(mask.numpy()).tobytes()).hexdigest()
    assert len({sha256(mask), sha256(mask.reshape(10, 8)), sha256(~mask)}) == 3
