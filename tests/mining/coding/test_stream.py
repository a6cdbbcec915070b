import numpy as np
import pytest
from coded_fixture import class_of, coded_gaussians, counted, one_class
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from dna_ray.errors import ArtifactError
from dna_ray.mining.coding.classes import CLASSES, UNIT, ClassMap, offset, scale_field
from dna_ray.mining.coding.codebook import Codebook, guess, learn
from dna_ray.mining.coding.passes import PRICE
from dna_ray.mining.coding.stream import Models, decode, encode
from dna_ray.mining.coding.trellis import STATES, Trellis, trellis
from dna_ray.mining.coding.viterbi import quantise

GUESS = guess()
LARGEST = 1 << 30
INDICES = st.one_of(st.just(0), st.integers(-3, 3), st.integers(-50, 50), st.integers(-LARGEST, LARGEST))


@st.composite
def blocks(draw: st.DrawFn) -> tuple[NDArray[np.int32], ClassMap]:
    """Any indices, of any classes, in rows of several matrices."""
    rows, cols, matrices = draw(st.integers(1, 24)), draw(st.integers(1, 10)), draw(st.integers(1, 3))
    octaves = st.integers(-100, CLASSES + 100)
    of = ClassMap(
        draw(arrays(np.int32, rows, elements=octaves)),
        draw(arrays(np.int32, (matrices, cols), elements=st.integers(-60, 60))),
        draw(arrays(np.int32, rows, elements=st.integers(0, matrices - 1))),
    )
    return draw(arrays(np.int32, (rows, cols), elements=INDICES)), of


def _same(indices: NDArray[np.int32], of: ClassMap, codebook: Codebook, through: Trellis) -> bool:
    words = encode(indices, of, Models(codebook), through)
    return np.array_equal(decode(words, of, Models(codebook), through), indices)


@given(block=blocks(), states=st.sampled_from(STATES))
@settings(max_examples=80, deadline=None)
def test_indices_and_back_is_the_identity(block: tuple[NDArray[np.int32], ClassMap], states: int):
    indices, of = block
    found = counted(indices, of, trellis(states))
    assert _same(indices, of, learn(found.histogram, found.sums), trellis(states))
    assert _same(indices, of, GUESS, trellis(states))


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 12)),
    octaves=st.integers(-60, 60),
    step=st.floats(-9, 9),
    spread=st.floats(0, 6),
    seed=st.integers(0, 99),
    states=st.sampled_from(STATES[:4]),
)
@settings(max_examples=40, deadline=None)
def test_weights_of_any_shape_scale_and_step_come_back_in_the_integers(
    shape: tuple[int, int], octaves: int, step: float, spread: float, seed: int, states: int
):
    rng = np.random.default_rng(seed)
    scales = np.exp2(octaves + spread * rng.standard_normal((shape[0], 1)))
    weights = (scales * rng.standard_normal(shape)).astype(np.float32)
    size = float(np.exp2(octaves + step))
    rows, cols = scale_field(weights)
    of = ClassMap(rows + np.int32(offset(size)), cols[None], np.zeros(shape[0], np.int32))
    indices = quantise(weights / np.float32(size), of, GUESS.costs(), trellis(states), PRICE)
    found = counted(indices, of, trellis(states))
    assert _same(indices, of, learn(found.histogram, found.sums), trellis(states))


def test_all_zeros_take_next_to_nothing():
    indices, of = np.zeros((500, 200), np.int32), one_class((500, 200), 0)
    found = counted(indices, of, trellis(8))
    assert len(encode(indices, of, Models(learn(found.histogram, found.sums)), trellis(8))) < 40


def test_a_stream_that_uses_a_table_that_is_missing_is_refused():
    indices, of, _, codebook = coded_gaussians(30, 20, sigma=1, trellis=trellis(8))
    words = encode(indices, of, Models(codebook), trellis(8))
    with pytest.raises(ArtifactError, match="a table that the file lacks"):
        decode(words, one_class((30, 20), class_of(1) + 1), Models(codebook), trellis(8))


def test_a_stream_that_is_too_long_is_refused():
    indices, of, _, codebook = coded_gaussians(30, 20, sigma=1, trellis=trellis(8))
    words = encode(indices, of, Models(codebook), trellis(8))
    for more in (np.zeros(3, np.uint32), np.full(3, 0xFFFFFFFF, np.uint32), words):
        with pytest.raises(ArtifactError, match="longer than its indices"):
            decode(np.concatenate([words, more]), of, Models(codebook), trellis(8))


@pytest.mark.parametrize("of", [0, UNIT, 60, CLASSES - 1])
def test_any_words_are_a_stream_or_refused(of: int):
    rng = np.random.default_rng(of)
    made = one_class((12, 9), of)
    for length in (*range(5), *range(5, 60, 5)):
        for low, high in ((0, 1 << 32), (0, 1 << 8), ((1 << 32) - 256, 1 << 32)):
            words = rng.integers(low, high, length, np.uint32)
            try:
                indices = decode(words, made, Models(GUESS), trellis(4))
            except ArtifactError:
                continue
            assert (np.abs(indices.astype(np.int64)) <= LARGEST).all()


@pytest.mark.parametrize("sigma", [1.0, 30.0])
def test_a_stream_cut_or_with_a_bit_flipped_is_a_stream_or_refused(sigma: float):
    indices, of, _, codebook = coded_gaussians(16, 12, sigma=sigma, trellis=trellis(8))
    models = Models(codebook)
    words = encode(indices, of, models, trellis(8))
    mutants = [words[:length] for length in range(len(words))]
    for bit in range(0, 32 * len(words), 3):
        mutants.append(words.copy())
        mutants[-1][bit // 32] ^= np.uint32(1 << bit % 32)
    for mutant in mutants:
        try:
            found = decode(mutant, of, models, trellis(8))
        except ArtifactError:
            continue
        assert found.shape == indices.shape
