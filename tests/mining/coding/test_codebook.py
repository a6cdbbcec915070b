import numpy as np
import pytest
from coded_fixture import coded_gaussians, gaussians, one_class
from numpy.typing import NDArray

from dna_ray.errors import ArtifactError
from dna_ray.mining.coding.classes import CLASSES, UNIT, shifts
from dna_ray.mining.coding.codebook import LENGTHS, MAGNITUDES, MOVES, PRICES, Codebook, grid, guess, learn
from dna_ray.mining.coding.counting import dequantise, tally
from dna_ray.mining.coding.stream import Models, encode
from dna_ray.mining.coding.trellis import trellis
from dna_ray.mining.kind import Payload


def _same(one: Codebook, other: Codebook) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("lengths", "prices", "moves"))


def _read(codebook: Codebook, **changed: NDArray[np.generic]) -> Codebook:
    return Codebook.read(Payload({}, codebook.sections() | {f"coded.{name}": part for name, part in changed.items()}))


def _entropy(histogram: NDArray[np.int64]) -> float:
    """Bits of the magnitudes, each table on its own, and of the signs."""
    total = histogram.sum(2, keepdims=True)
    bits = -np.sum(histogram * np.log2(np.maximum(histogram, 1) / np.maximum(total, 1)))
    return float(bits + histogram[:, :, 1:].sum())


@pytest.mark.parametrize("sigma", [0.1, 1.0, 5.0, 40.0])
def test_sections_and_back_is_the_identity(sigma: float):
    codebook = coded_gaussians(60, 50, sigma=sigma, trellis=trellis(8))[-1]
    assert _same(_read(codebook), codebook)
    assert codebook.nbytes == sum(section.nbytes for section in codebook.sections().values())


def test_a_codebook_of_nothing_has_no_tables():
    nothing = learn(np.zeros((CLASSES, 2, MAGNITUDES), np.int64), np.zeros((CLASSES, 2, MAGNITUDES)))
    assert not nothing.lengths.any()
    assert _same(_read(nothing), nothing)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 5.0])
def test_what_is_learned_takes_the_entropy(sigma: float):
    _, _, found, codebook = coded_gaussians(500, 200, sigma=sigma, trellis=trellis(32))
    assert codebook.bits(found.histogram) == pytest.approx(_entropy(found.histogram), rel=0.01)


@pytest.mark.parametrize("sigma", [1.0, 5.0, 40.0, 1000.0])
def test_the_bits_foretold_are_those_of_the_stream(sigma: float):
    indices, of, found, codebook = coded_gaussians(500, 200, sigma=sigma, trellis=trellis(32))
    words = encode(indices, of, Models(codebook), trellis(32))
    assert codebook.bits(found.histogram) == pytest.approx(32 * len(words), rel=0.01)


def test_what_the_search_weighs_are_the_bits_that_are_spent():
    _, _, found, codebook = coded_gaussians(300, 100, sigma=1, trellis=trellis(32))
    spent = np.sum(found.histogram * codebook.costs().bits)
    assert codebook.bits(found.histogram) == pytest.approx(float(spent), rel=1e-5)


@pytest.mark.parametrize("by", [-3, 0, 1, 200])
def test_tables_move_with_the_classes_where_symbols_stay_what_they_are(by: int):
    codebook = coded_gaussians(60, 50, sigma=1, trellis=trellis(8))[-1]
    moved = codebook.moved(by)
    for quantizer in range(2):
        place = min(UNIT + by, CLASSES - 1)
        if shifts()[place] == shifts()[UNIT]:
            assert np.array_equal(moved.table(place, quantizer), codebook.table(UNIT, quantizer))
            assert np.array_equal(moved.moves[place], codebook.moves[UNIT])
    assert _same(_read(moved), moved)


def test_a_table_that_was_never_used_is_weighed_like_that_of_a_gaussian():
    codebook = coded_gaussians(60, 50, sigma=1, trellis=trellis(8))[-1]
    unused = codebook.lengths == 0
    assert np.array_equal(codebook.costs().bits[unused], guess().costs().bits[unused])


def test_points_are_the_means_of_what_they_stand_for():
    of, values = one_class((400, 100)), gaussians(400, 100)
    indices, _, found, codebook = coded_gaussians(400, 100, sigma=1, trellis=trellis(8))
    rebuilt = dequantise(indices, of, codebook.points(), trellis(8))
    for quantizer, k in ((0, 1), (1, 1), (1, 2)):
        mean = found.sums[UNIT, quantizer, k] / found.histogram[UNIT, quantizer, k]
        assert abs(codebook.points()[UNIT, quantizer, k] - mean) <= 1 / 256
    on_the_grid = dequantise(indices, of, grid(), trellis(8))
    assert np.square(rebuilt - values).mean() < np.square(on_the_grid - values).mean()


def test_where_low_bits_are_stored_as_they_are_points_lie_on_the_grid():
    points = guess().points()
    assert np.array_equal(points[shifts() > 0], grid()[shifts() > 0])
    assert np.array_equal(points[:, :, -1], grid()[:, :, -1])
    assert not points[:, :, 0].any()


def test_a_guess_has_a_table_for_every_class():
    assert (guess().lengths >= 2).all()
    assert np.isfinite(guess().costs().bits).all()


def test_a_rare_large_index_costs_an_escape_and_not_a_long_table():
    values = gaussians(200, 100)
    values[0, 0] = 55
    of = one_class((200, 100))
    indices = np.rint(values / 2).astype(np.int32)
    found = tally(values, indices, of, trellis(4))
    assert learn(found.histogram, found.sums).lengths.max() < 10


def test_sections_that_do_not_fit_together_are_refused():
    codebook = coded_gaussians(60, 50, sigma=1, trellis=trellis(8))[-1]
    longer = learn(*_shorter(codebook))
    for changed in (
        {"prices": codebook.prices[:-1]},
        {"moves": codebook.moves[codebook.lengths > 0].reshape(-1)[:-1]},
        {"lengths": longer.sections()[LENGTHS]},
        {"lengths": codebook.sections()[LENGTHS][:-1]},
        {"prices": codebook.prices.astype(np.int8)},
    ):
        with pytest.raises(ArtifactError):
            _read(codebook, **changed)
    assert {LENGTHS, PRICES, MOVES} == set(codebook.sections())


@pytest.mark.parametrize("length", [1, MAGNITUDES + 1, 255])
def test_an_impossible_length_of_a_table_is_refused(length: int):
    lengths = np.zeros((CLASSES, 2), np.uint8)
    lengths[UNIT] = length
    forged = Codebook(lengths, np.zeros(2 * length, np.uint8), np.zeros((CLASSES, 2, 4), np.int8))
    with pytest.raises(ArtifactError, match="impossible length"):
        _read(forged)


def _shorter(codebook: Codebook) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What another codebook is learned from."""
    histogram = np.zeros((CLASSES, 2, MAGNITUDES), np.int64)
    histogram[codebook.lengths > 0, 0] = 5
    return histogram, np.zeros(histogram.shape)
