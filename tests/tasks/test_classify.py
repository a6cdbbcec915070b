from collections.abc import Callable

import pytest
import torch

from dna_ray.errors import TaskError
from dna_ray.networks import Network
from dna_ray.tasks import classify
from dna_ray.tasks.config import TaskSettings


@pytest.fixture(scope="module")
def prepared(minilm: Network) -> classify.Prepared:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classify, "TRAINING_TEXTS", 120)
        return classify.prepare(minilm, TaskSettings(limit=60, max_length=24))


def test_original_is_better_than_chance_and_no_different_from_itself(minilm: Network, prepared: classify.Prepared):
    metrics = classify.score(prepared, minilm).metrics
    assert 0.65 < metrics["accuracy"].value < 1
    assert metrics["accuracy"] == metrics["accuracy_of_original"]
    assert (metrics["difference"].value, metrics["difference"].stderr) == (0, 0)


def test_frozen_head_reacts_to_damage(minilm: Network, disturb: Callable[..., Network], prepared: classify.Prepared):
    metrics = classify.score(prepared, disturb(minilm, 1.0)).metrics
    difference = metrics["difference"]
    assert difference.stderr is not None
    assert difference.value < -2 * difference.stderr
    assert difference.value == pytest.approx(metrics["accuracy"].value - metrics["accuracy_of_original"].value)


def test_score_says_that_the_head_is_frozen(minilm: Network, prepared: classify.Prepared):
    score = classify.score(prepared, minilm)
    assert score.n == 60
    assert any("frozen head" in note for note in score.notes)


def test_head_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    generator = torch.Generator().manual_seed(0)
    features = torch.randn(80, 5, generator=generator)
    labels = (features[:, 0] + torch.randn(80, generator=generator) > 0).long()
    expected = LogisticRegression(max_iter=1000).fit(features.double().numpy(), labels.numpy())
    head = classify.fit_head(features, labels)
    assert head(features).tolist() == expected.predict(features.double().numpy()).tolist()


def test_the_split_of_the_head_is_not_scored(minilm: Network):
    with pytest.raises(TaskError, match="split 'training': the head of task 'classify' is fitted on it"):
        classify.prepare(minilm, TaskSettings(split="training"))
