from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny_config import TINY

from dna_ray.errors import TaskError
from dna_ray.networks import Network, build, tokenizer
from dna_ray.tasks import agreement, features, heads
from dna_ray.tasks.config import TaskSettings

VOCABULARY = {"vocab_size": 30522}
NETWORKS = {
    "BertModel": {**VOCABULARY, **TINY},
    "BertForMaskedLM": {**VOCABULARY, **TINY},
    "BertForSequenceClassification": {**VOCABULARY, **TINY},
    "RobertaForMaskedLM": {**VOCABULARY, **TINY, "pad_token_id": 0, "max_position_embeddings": 40},
    "MPNetModel": {**VOCABULARY, **TINY, "pad_token_id": 0},
    "DistilBertModel": {**VOCABULARY, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "GPT2LMHeadModel": {**VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
}
WITH_HEAD = {"BertForMaskedLM", "BertForSequenceClassification", "RobertaForMaskedLM", "GPT2LMHeadModel"}


@pytest.fixture
def settings(words_file: Path) -> TaskSettings:
    return TaskSettings(texts=words_file, limit=40, batch_size=16)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_original_agrees_with_itself_and_a_disturbed_one_less(
    architecture: str, tiny: Callable[..., Network], disturb: Callable[..., Network], settings: TaskSettings
):
    original = tiny(architecture, **NETWORKS[architecture])
    prepared = agreement.prepare(original, settings)
    same = agreement.score(prepared, original)
    less = agreement.score(prepared, disturb(original, 0.5))

    assert same.subject == original.fingerprint
    assert same.n == less.n == 40
    assert set(same.metrics) - {"kl", "same_top"} == {"cosine", "rank_correlation", "same_neighbour"}
    assert ("kl" in same.metrics) == (architecture in WITH_HEAD)
    for name, perfect in same.metrics.items():
        assert perfect.value == pytest.approx(0.0 if name == "kl" else 1.0, abs=1e-6)
        assert perfect.stderr == pytest.approx(0, abs=1e-6)
    assert less.metrics["cosine"].value < 0.9999
    assert less.metrics["rank_correlation"].value < 0.999
    if architecture in WITH_HEAD:
        assert less.metrics["kl"].value > 1e-6


def test_minilm_loses_agreement_with_noise(minilm: Network, disturb: Callable[..., Network], settings: TaskSettings):
    prepared = agreement.prepare(minilm, settings)
    scores = [agreement.score(prepared, disturb(minilm, share)).metrics for share in (0, 0.1, 0.5)]
    for metric in ("cosine", "rank_correlation", "same_neighbour"):
        perfect, good, bad = (score[metric].value for score in scores)
        assert perfect == pytest.approx(1, abs=1e-6)
        assert perfect > good > bad


def test_embeddings_are_those_of_the_network_fed_one_text_at_a_time(minilm: Network):
    texts = ["a short text", "a text that is quite a bit longer than the other one, so that it decides the padding"]
    model, words = build(minilm), tokenizer(minilm)
    expected = []
    for text in texts:
        with torch.inference_mode():
            expected.append(model(**words(text, return_tensors="pt")).last_hidden_state[0].mean(0))
    tokens = features.tokenize(minilm, texts, max_length=128)
    embeddings = features.embed(model, tokens, batch_size=2)
    torch.testing.assert_close(embeddings, F.normalize(torch.stack(expected), dim=-1), atol=1e-5, rtol=0)


def test_order_of_the_embeddings_is_that_of_the_texts(minilm: Network):
    texts = ["a text that is longer than all of the others", "short one", "a text between those two"]
    model = build(minilm)
    one_by_one = features.embed(model, features.tokenize(minilm, texts, max_length=128), batch_size=1)
    together = features.embed(model, features.tokenize(minilm, texts, max_length=128), batch_size=3)
    torch.testing.assert_close(one_by_one, together, atol=1e-5, rtol=0)


def test_scores_repeat_exactly(tiny: Callable[..., Network], disturb: Callable[..., Network], settings: TaskSettings):
    original = tiny("BertForMaskedLM", **NETWORKS["BertForMaskedLM"])
    subject = disturb(original, 0.5)
    scores = [agreement.score(agreement.prepare(original, settings), subject).to_json() for _ in range(2)]
    assert scores[0] == scores[1]


def test_texts_are_cut_at_what_the_network_can_read(tiny: Callable[..., Network]):
    network = tiny("RobertaForMaskedLM", **NETWORKS["RobertaForMaskedLM"])
    tokens = features.tokenize(network, ["word " * 200], max_length=128)
    assert len(tokens.ids[0]) == 38  # 40 positions, of which RoBERTa's start at 2


def test_a_masked_language_model_is_asked_for_one_ordinary_token(minilm: Network, tiny: Callable[..., Network]):
    network = tiny("BertForMaskedLM", **NETWORKS["BertForMaskedLM"])
    tokens = features.tokenize(network, ["we drove ten miles", "send the letter"], max_length=128)
    question = heads.question_for(network, build(network), tokens, seed=0)
    assert question is not None
    assert question.places is not None
    mask = tokenizer(minilm).mask_token_id
    for before, after, place in zip(tokens.ids, question.tokens.ids, question.places, strict=True):
        assert 0 < place < len(before) - 1
        assert after == (*before[:place], mask, *before[place + 1 :])


def test_half_precision_is_judged_too(
    tiny: Callable[..., Network], change: Callable[..., Network], settings: TaskSettings
):
    original = tiny("BertModel", **NETWORKS["BertModel"])
    half = change(original, lambda w: w.half())
    assert agreement.score(agreement.prepare(original, settings), half).metrics["cosine"].value > 0.999


def test_a_network_that_tells_nothing_apart_scores_zero_and_says_why(
    tiny: Callable[..., Network], change: Callable[..., Network], settings: TaskSettings
):
    original = tiny("BertModel", **NETWORKS["BertModel"])
    nothing = change(original, torch.zeros_like)
    score = agreement.score(agreement.prepare(original, settings), nothing)
    assert score.metrics["rank_correlation"].value == pytest.approx(0, abs=0.1)
    assert score.metrics["cosine"].value < 0.1


def test_a_network_that_answers_with_nan_has_no_score(
    tiny: Callable[..., Network], change: Callable[..., Network], settings: TaskSettings
):
    original = tiny("BertModel", **NETWORKS["BertModel"])
    broken = change(original, lambda w: torch.full_like(w, torch.nan))
    prepared = agreement.prepare(original, settings)
    with pytest.raises(TaskError, match="changed: answers 40 of 40 examples with NaN or infinity"):
        agreement.score(prepared, broken)


def test_a_network_of_another_width_or_vocabulary_is_refused(tiny: Callable[..., Network], settings: TaskSettings):
    prepared = agreement.prepare(tiny("BertModel", **NETWORKS["BertModel"]), settings)
    with pytest.raises(TaskError, match="answers with 8 values where the original has 16"):
        agreement.score(prepared, tiny("BertModel", **{**NETWORKS["BertModel"], "hidden_size": 8}))
    with pytest.raises(TaskError, match="knows 100 tokens, fewer than the original reads"):
        agreement.score(prepared, tiny("BertModel", **{**NETWORKS["BertModel"], "vocab_size": 100}))


def test_a_network_whose_head_is_gone_is_refused(tiny: Callable[..., Network], settings: TaskSettings):
    whole = tiny("BertForMaskedLM", **NETWORKS["BertForMaskedLM"])
    headless = tiny("BertModel", **NETWORKS["BertModel"])
    with pytest.raises(TaskError, match="BertModel: has no head, but the original has one"):
        agreement.score(agreement.prepare(whole, settings), headless)


def test_a_head_that_the_config_names_but_the_weights_lack_is_not_asked(
    tiny: Callable[..., Network], settings: TaskSettings
):
    bare = tiny("BertModel", **NETWORKS["BertModel"])
    bare = replace(bare, config={**bare.config, "architectures": ["BertForMaskedLM"]})
    assert "kl" not in agreement.score(agreement.prepare(bare, settings), bare).metrics


def test_a_device_that_is_not_there_is_named(tiny: Callable[..., Network], settings: TaskSettings):
    with pytest.raises(TaskError, match="device 'abacus': not available here"):
        agreement.prepare(tiny("BertModel", **NETWORKS["BertModel"]), replace(settings, device="abacus"))


def test_a_vision_network_does_not_read_text(tiny: Callable[..., Network], settings: TaskSettings):
    network = tiny("ViTModel", **TINY, image_size=32, patch_size=8)
    with pytest.raises(TaskError, match="does not read text .* choose --task images"):
        agreement.prepare(network, settings)
