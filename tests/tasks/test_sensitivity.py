"""What an error in a matrix costs, foretold from calibration texts and measured on them."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tiny_config import TINY

from dna_ray.errors import TaskError
from dna_ray.mining.field import from_matrix
from dna_ray.networks import Network, from_state_dict, in_memory
from dna_ray.tasks import features, sensitivity
from dna_ray.tasks.config import TaskSettings
from dna_ray.tasks.sensitivity import Sensitivity

VOCABULARY = {"vocab_size": 30522}
SPREAD = {"initializer_range": 0.15}  # wide enough for attention to tell tokens apart
BERT = {**VOCABULARY, **TINY, **SPREAD}
GPT2 = {**VOCABULARY, **SPREAD, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64,
        "bos_token_id": 101, "eos_token_id": 102}  # fmt: skip
LARGER = 0.02  # of the deviation of a matrix: the errors that are measured
OVER = 4.0  # times that a matrix's measured error may be foretold
WORDS = "embeddings.word_embeddings.weight"
QUERY, INNER = "encoder.layer.0.attention.self.query.weight", "encoder.layer.1.intermediate.dense.weight"


@pytest.fixture(scope="module")
def settings(words_file: Path) -> TaskSettings:
    return TaskSettings(texts=words_file, split="calibration", limit=64, batch_size=16)


@pytest.fixture(scope="module")
def bert(tiny: Callable[..., Network]) -> Network:
    return tiny("BertModel", **BERT)


@pytest.fixture(scope="module")
def found(bert: Network, settings: TaskSettings) -> dict[str, Sensitivity]:
    return sensitivities(bert, settings)


def sensitivities(network: Network, settings: TaskSettings) -> dict[str, Sensitivity]:
    """As mining measures them, all parts in this process."""
    tokens = sensitivity.tokenized(network, settings)
    parts = [sensitivity.sums_of(network, tokens, part, settings) for part in range(sensitivity.PARTS)]
    return dict(sensitivity.combined(network, parts, sensitivity.token_counts(network, settings)))


def _same(one: dict[str, Sensitivity], other: dict[str, Sensitivity]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name].rows, other[name].rows) and np.array_equal(one[name].moments, other[name].moments)
        for name in one
    )


def _embeddings(network: Network, settings: TaskSettings) -> torch.Tensor:
    tokens = sensitivity.tokenized(network, settings)
    model = features.open_reader(network, tokens, settings)
    return features.embed(model, tokens, batch_size=64).double()


def _moved(network: Network, errors: dict[str, NDArray[np.float32]], settings: TaskSettings) -> float:
    """Sum of |de|^2 over the calibration texts, for errors in matrices."""
    weights = {info.name: network.read(info.name).clone() for info in network.anatomy}
    for name, error in errors.items():
        weights[name] += from_matrix(torch.from_numpy(error), network.anatomy.by_name[name])
    disturbed = from_state_dict(weights, name="disturbed", config=network.config, files=network.files)
    return float((_embeddings(disturbed, settings) - _embeddings(network, settings)).square().sum())


def _foretold(of: Sensitivity, error: NDArray[np.float32]) -> float:
    return float(of.rows @ np.einsum("ij,jk,ik->i", error, of.moments, error, dtype=np.float64, optimize=True))


def _error(network: Network, name: str, rows: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
    """A random error in some rows of a matrix; None: in all."""
    shape = network.anatomy.by_name[name].matrix_shape
    error = LARGER * float(network.read(name).std()) * np.random.default_rng(0).standard_normal(shape, np.float32)
    if rows is not None:
        error[np.setdiff1d(np.arange(shape[0]), rows)] = 0
    return error


def _read(network: Network, settings: TaskSettings) -> NDArray[np.intp]:
    """The tokens that the calibration texts hold."""
    return np.unique([token for text in sensitivity.tokenized(network, settings).ids for token in text])


def test_every_matrix_that_embeddings_depend_on_is_known_and_the_pooler_is_not(
    bert: Network, found: dict[str, Sensitivity]
):
    assert {info.name for info in bert.anatomy.matrices} - set(found) == {"pooler.dense.weight"}
    for name, each in found.items():
        rows, cols = bert.anatomy.by_name[name].matrix_shape
        assert each.rows.shape == (rows,)
        assert (each.rows > 0).all()
        assert each.moments.shape == (cols, cols)
        assert np.allclose(each.moments, each.moments.T, atol=1e-6)
        assert np.trace(each.moments) == pytest.approx(1, abs=1e-5)
        assert np.linalg.eigvalsh(each.moments.astype(np.float64)).min() > -1e-6


def test_random_errors_cost_about_what_is_foretold(
    bert: Network, found: dict[str, Sensitivity], settings: TaskSettings
):
    """Of tables only rows that texts read: what others cost, no text tells."""
    tokens = sensitivity.tokenized(bert, settings)
    longest = max(map(len, tokens.ids))
    read = {WORDS: _read(bert, settings), "embeddings.position_embeddings.weight": np.arange(longest),
            "embeddings.token_type_embeddings.weight": np.arange(1)}  # fmt: skip
    errors = {name: _error(bert, name, read.get(name)) for name in found}
    foretold = [_foretold(found[name], error) for name, error in errors.items()]
    measured = [_moved(bert, {name: error}, settings) for name, error in errors.items()]
    ratios = dict(zip(found, np.divide(foretold, measured).tolist(), strict=True))
    assert all(0.5 < ratio < OVER for ratio in ratios.values()), ratios
    assert spearmanr(foretold, measured).statistic > 0.9


@pytest.mark.parametrize("name", [QUERY, INNER])
def test_the_row_and_the_direction_that_weigh_most_cost_most(
    bert: Network, found: dict[str, Sensitivity], settings: TaskSettings, name: str
):
    rows, cols = bert.anatomy.by_name[name].matrix_shape
    of, size = found[name], LARGER * float(bert.read(name).norm())
    _, axes = np.linalg.eigh(of.moments)

    def cost(row: int, axis: int) -> float:
        error = np.zeros((rows, cols), np.float32)
        error[row] = size * axes[:, axis]
        return _moved(bert, {name: error}, settings)

    light, heavy = int(of.rows.argmin()), int(of.rows.argmax())
    assert cost(heavy, cols - 1) > 1.5 * cost(light, cols - 1)
    assert cost(heavy, cols - 1) > 10 * cost(heavy, 0)


def test_rows_of_tokens_that_no_text_holds_weigh_little_but_not_nothing(
    bert: Network, found: dict[str, Sensitivity], settings: TaskSettings
):
    counts = sensitivity.token_counts(bert, settings)
    seen = counts.nonzero().flatten().numpy()
    assert set(_read(bert, settings)) <= set(seen)
    rows = found[WORDS].rows
    unseen = np.delete(rows, seen)
    assert len(set(unseen.tolist())) == 1
    assert 0 < unseen[0] < rows[seen].mean() / 4


def test_a_row_costs_what_a_read_of_it_costs_times_how_often_it_is_read(bert: Network, settings: TaskSettings):
    tokens = sensitivity.tokenized(bert, settings)
    sums = sensitivity.sums_of(bert, tokens, 0, settings)[WORDS]
    assert sums.reads is not None
    alone, twice = sums.sensitivity(), sums.sensitivity(2 * sums.reads)
    assert alone is not None
    assert twice is not None
    read = (sums.reads > 0).numpy()
    assert np.allclose(twice.rows[read] / alone.rows[read], ((2 * sums.reads + 1) / (2 * sums.reads + 2)).numpy()[read])
    assert np.allclose(twice.rows[~read], alone.rows[~read] / 2)


def test_the_same_texts_tell_the_same_bit_for_bit_from_memory_too(
    bert: Network, found: dict[str, Sensitivity], settings: TaskSettings
):
    assert _same(found, sensitivities(bert, settings))
    tokens = sensitivity.tokenized(bert, settings)
    parts = [sensitivity.sums_of(in_memory(bert), tokens, part, settings) for part in range(sensitivity.PARTS)]
    assert _same(found, sensitivity.combined(bert, parts, sensitivity.token_counts(bert, settings)))


def test_the_order_of_the_texts_in_the_file_does_not_matter(
    bert: Network, found: dict[str, Sensitivity], settings: TaskSettings, tmp_path: Path
):
    assert settings.texts is not None
    lines = settings.texts.read_text(encoding="utf-8").split("\n")
    shuffled = tmp_path / "shuffled.txt"
    shuffled.write_text("\n".join(random.Random(0).sample(lines, len(lines))), encoding="utf-8")
    assert _same(found, sensitivities(bert, replace(settings, texts=shuffled)))


def test_the_parts_add_up_to_all_texts(bert: Network, settings: TaskSettings):
    """Directions are random, so the sums are near each other, and only counts the same."""
    tokens = sensitivity.tokenized(bert, settings)
    quarters = [sensitivity.sums_of(bert, tokens, part, settings)[WORDS] for part in range(sensitivity.PARTS)]
    spaced = replace(tokens, ids=tuple(text for text in tokens.ids for _ in range(sensitivity.PARTS)))
    whole = sensitivity.sums_of(bert, spaced, 0, settings)[WORDS]
    together = sum(quarters[1:], start=quarters[0])
    assert together.reads is not None
    assert whole.reads is not None
    assert torch.equal(together.reads, whole.reads)
    assert together.reads.sum() == sum(map(len, tokens.ids))
    assert torch.equal(together.rows > 0, whole.rows > 0)
    assert float(together.rows.sum()) == pytest.approx(float(whole.rows.sum()), rel=0.25)


def test_more_parts_than_texts_leave_parts_empty(bert: Network, settings: TaskSettings):
    tokens = sensitivity.tokenized(bert, settings)
    one = replace(tokens, ids=tokens.ids[:1])
    parts = [sensitivity.sums_of(bert, one, part, settings) for part in range(sensitivity.PARTS)]
    assert [len(part) > 0 for part in parts] == [True, False, False, False]
    reached = set(parts[0])
    assert set(sensitivity.combined(bert, parts)) == reached


def test_a_transposed_layer_is_measured_as_the_matrix_that_it_is(tiny: Callable[..., Network], settings: TaskSettings):
    network = tiny("GPT2Model", **GPT2)
    known = sensitivities(network, settings)
    assert set(known) == {info.name for info in network.anatomy.matrices}
    name = "h.0.attn.c_attn.weight"
    assert known[name].rows.shape == (48,)
    assert known[name].moments.shape == (16, 16)
    error = _error(network, name)
    assert 0.2 < _foretold(known[name], error) / _moved(network, {name: error}, settings) < OVER


@pytest.mark.parametrize(
    ("architecture", "config", "unread"),
    [
        ("BertForMaskedLM", BERT, {"cls.predictions.transform.dense.weight"}),
        ("RobertaForMaskedLM", {**BERT, "pad_token_id": 0, "max_position_embeddings": 40}, {"lm_head.dense.weight"}),
        ("GPT2LMHeadModel", GPT2, set()),
    ],
)
def test_a_table_that_is_tied_to_a_head_is_known_by_the_name_that_it_is_mined_under(
    tiny: Callable[..., Network], settings: TaskSettings, architecture: str, config: dict[str, object], unread: set[str]
):
    network = tiny(architecture, **config)
    known = sensitivities(network, settings)
    assert {info.name for info in network.anatomy.matrices} - set(known) == unread
    (table,) = (each for each in known.values() if each.rows.shape == (30522,))
    assert table.rows[_read(network, settings)].min() > table.rows.min()


def test_a_table_that_all_layers_share_is_measured_over_all_of_them(
    tiny: Callable[..., Network], settings: TaskSettings
):
    network = tiny("MPNetModel", **BERT, pad_token_id=0)
    name = "encoder.relative_attention_bias.weight"
    known = sensitivities(network, settings)[name]
    read = np.flatnonzero(known.rows > 1.01 * known.rows.min())
    error = _error(network, name, read)
    assert len(read) < 32
    assert 0.3 < _foretold(known, error) / _moved(network, {name: error}, settings) < OVER


def test_a_network_that_answers_with_nan_is_refused_in_one_line(
    bert: Network, change: Callable[..., Network], settings: TaskSettings
):
    broken = change(bert, lambda w: torch.full_like(w, torch.nan))
    with pytest.raises(TaskError, match="changed: calibration reaches none of its matrices .* NaN.*; leave --calibr"):
        sensitivities(broken, settings)


def test_too_few_texts_are_refused(bert: Network, settings: TaskSettings, tmp_path: Path):
    few = tmp_path / "few.txt"
    few.write_text("\n".join(f"sentence number {i} of few" for i in range(30)), encoding="utf-8")
    with pytest.raises(TaskError, match=r"few\.txt: \d distinct texts .* in split 'calibration' \(of 30 in all\)"):
        sensitivities(bert, replace(settings, texts=few))


def test_a_vision_network_cannot_be_calibrated(tiny: Callable[..., Network], settings: TaskSettings):
    network = tiny("ViTModel", **TINY, image_size=32, patch_size=8)
    with pytest.raises(TaskError, match="does not read text"):
        sensitivities(network, settings)
