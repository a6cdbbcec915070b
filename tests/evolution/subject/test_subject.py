from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import small_subjects as small
import torch

from dna_ray.errors import ArtifactError, NetworkError, RecipeError, TaskError
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.sparsity.known_profiles import profiles_of
from dna_ray.evolution.subject.examples import Examples
from dna_ray.evolution.subject.packing import pack, unpack
from dna_ray.evolution.subject.subject import prepare
from dna_ray.evolution.subject.subject_settings import SubjectSettings
from dna_ray.networks import from_state_dict
from dna_ray.tasks import TaskSettings


@pytest.fixture(params=small.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def rows(examples: Examples) -> set[bytes]:
    lengths = examples.lengths if examples.lengths is not None else [None] * len(examples)
    return {example[:length].numpy().tobytes() for example, length in zip(examples.inputs, lengths, strict=True)}


def test_no_example_is_in_two_splits(kind: str):
    of = small.subject(kind)
    for one, other in combinations((of.calibration, of.search, of.finals, of.test), 2):
        assert not rows(one) & rows(other)


def test_minibatches_are_equally_large_and_see_both_classes():
    of = small.subject("texts")
    assert of.search.labels is not None
    assert len(of.search) == of.minibatch * 16
    assert of.search.labels.reshape(-1, of.minibatch).double().mean(1).tolist() == [0.5] * 16


def test_minibatches_become_smaller_where_there_is_little_data(tmp_path: Path):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"this is the text that has number {number}" for number in range(900)))
    task = TaskSettings(texts=texts, limit=20, max_length=16)
    of = prepare(small.network("texts"), small.settings(task=task, minibatch=32, signal="cosine"))
    assert 1 <= of.minibatch < 32


def test_texts_without_labels_have_no_classes(tmp_path: Path):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"this is the text that has number {number}" for number in range(900)))
    task = TaskSettings(texts=texts, limit=20, max_length=16)
    with pytest.raises(TaskError, match="use signal cosine"):
        prepare(small.network("texts"), small.settings(task=task))


def test_too_little_data_are_named(tmp_path: Path):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"this is the text that has number {number}" for number in range(300)))
    task = TaskSettings(texts=texts, limit=20, max_length=16)
    with pytest.raises(TaskError, match="make no 1000 minibatches"):
        prepare(small.network("texts"), small.settings(task=task, signal="cosine", rungs=(1, 1000)))


def test_excluded_layers_stay_dense():
    of = prepare(small.network("images"), small.settings(exclude=("*stages.0*",)))
    assert of.layers
    assert not any("stages.0" in layer.name for layer in of.layers)
    with pytest.raises(NetworkError, match="left to become sparse"):
        prepare(small.network("images"), small.settings(exclude=("*",)))


def test_convolutions_know_their_positions():
    assert {layer.positions for layer in small.subject("images").layers} == {16, 4}


def test_what_stays_dense_counts_among_the_multiply_adds_of_an_image():
    of = small.subject("images")
    sparse = sum(layer.weights * layer.positions for layer in of.layers)
    assert of.multiply_adds == sparse + 8 * 3 * 49 * 64 + 16 * 10, "the stem and the classifier"
    texts = small.subject("texts")
    assert texts.multiply_adds == sum(layer.weights for layer in texts.layers)


def test_running_statistics_are_recalibrated_where_there_are_any():
    assert small.subject("images").repairs == ("batch-norm",)
    assert small.subject("texts").repairs == ("none",)


def test_the_model_reads_the_memory_of_the_network(kind: str):
    of = small.subject(kind)
    for name, matrix in of.matrices.items():
        assert matrix.untyped_storage().data_ptr() == of.network.read(name).untyped_storage().data_ptr()


def test_a_packed_subject_gives_the_same_losses(kind: str):
    of = small.subject(kind)
    packed = pack(of)
    again = unpack(packed)
    space, other = small.space(of), small.space(again)
    agents = small.agents(space)
    assert again.layers == of.layers
    mine, theirs = Evaluator(of, space).evaluate(agents), Evaluator(again, other).evaluate(agents)
    assert [each.losses for each in mine] == [each.losses for each in theirs]


def test_packing_copies_no_weight(kind: str):
    packed = pack(small.subject(kind))
    name = small.subject(kind).layers[0].name
    again = unpack(packed)
    assert again.matrices[name].untyped_storage().data_ptr() == packed[f"weight/{name}"].untyped_storage().data_ptr()


def test_a_damaged_pack_is_refused():
    packed = pack(small.subject("images"))
    del packed["search/inputs"]
    with pytest.raises(ArtifactError, match="damaged"):
        unpack(packed)


@pytest.mark.parametrize("repair", ["none", "batch-norm"])
def test_replaced_weights_are_put_back_bit_for_bit(kind: str, repair: str):
    of = small.subject(kind)
    before = small.state(of)
    zeros = {name: torch.zeros_like(matrix) for name, matrix in of.matrices.items()}
    within = []
    with suppress(KeyboardInterrupt), of.replaced(zeros, repair=repair):
        within.append(small.state(of))
        raise KeyboardInterrupt
    assert not small.same(within[0], before)
    assert small.same(small.state(of), before)
    assert not any(module.training for module in of.model.modules())


def test_batch_norms_that_are_estimated_anew_undo_a_change_of_scale():
    of = small.subject("images")
    halved = {name: matrix / 2 for name, matrix in of.matrices.items()}
    with of.replaced(of.matrices, repair="batch-norm"):
        expected = of.answer(of.search).features
    with of.replaced(halved, repair="batch-norm"):
        mended = of.answer(of.search).features
    with of.replaced(halved):
        spoilt = of.answer(of.search).features
    assert (mended - expected).abs().max() < 1e-2 < (spoilt - expected).abs().max()


def test_every_known_profile_spends_the_budget(kind: str):
    of = small.subject(kind)
    budget = small.space(of).budget
    profiles = profiles_of(of, budget)
    assert len(profiles) == 8
    assert {budget.spent(profile) for profile in profiles.values()} == {budget.total}


def test_settings_survive_json():
    settings = SubjectSettings(signal="cosine", rungs=(2, 3), task=TaskSettings(texts=Path("a.txt"), limit=20))
    assert SubjectSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signal": "hope"}, "signal 'hope'"),
        ({"rungs": (4, 4)}, "that rise"),
        ({"rungs": ()}, "that rise"),
        ({"precision": "float8"}, "precision 'float8'"),
        ({"minibatch": 0}, "minibatch is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, object], message: str):
    with pytest.raises(RecipeError, match=message):
        SubjectSettings(**changes)  # type: ignore[arg-type]


def test_nothing_writes_to_packed_tensors(kind: str):
    packed = pack(small.subject(kind))
    before = {name: tensor.clone() for name, tensor in packed.items()}
    again = unpack(packed)
    space = small.space(again)
    for repair in ("none", "scale", "batch-norm"):
        agents = [replace(agent, repair=repair) for agent in small.agents(space)]
        Evaluator(again, space).evaluate(agents)
    assert small.same(packed, before)


def test_images_whose_classes_the_network_does_not_know_have_no_labels():
    config = dict(small.network("images").config or {})
    tensors = {info.name: small.network("images").read(info.name) for info in small.network("images").anatomy}
    tensors |= {name: tensors[name][:7] for name in ("classifier.1.weight", "classifier.1.bias")}
    labels = {"id2label": {str(n): str(n) for n in range(7)}, "label2id": {str(n): n for n in range(7)}}
    network = from_state_dict(tensors, name="seven classes", config=config | labels)
    assert prepare(network, small.settings()).test.labels is None
    with pytest.raises(TaskError, match="no labels of classes"):
        prepare(network, small.settings(signal="loss"))
