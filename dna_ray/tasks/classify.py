"""Sentiment of tweets, by a frozen head: does a network still feed a classifier that was fitted on the original?

The head is fitted once, on features of the original, and then applied unchanged to every subject. A head that were
fitted anew would hide damage: it learns to read what is left.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dna_ray.errors import TaskError
from dna_ray.networks import Network
from dna_ray.tasks import estimates
from dna_ray.tasks.config import TaskSettings
from dna_ray.tasks.features import Tokens, check_answers, embed, open_reader, tokenize
from dna_ray.tasks.score import Score
from dna_ray.tasks.task import Task
from dna_ray.tasks.texts import describe, select_labelled

# Texts that the head is fitted on; four times as many change the accuracy of minilm by less than its standard error.
TRAINING_TEXTS = 1000

Head = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The labelled texts, the head, and how the original did.

    Attributes:
        labels: Class of each text, [texts].
        head: Features [texts, width] -> class of each text.
        features: Of the original, [texts, width].
    """

    settings: TaskSettings
    tokens: Tokens
    labels: Tensor
    head: Head
    features: Tensor


def prepare(original: Network, settings: TaskSettings) -> Prepared:
    """Fits the head on the training split of the original's features.

    Raises:
        TaskError: The texts carry no labels, are those that the head is fitted on, or the network reads no text.
        NetworkError: The network cannot be built.
    """
    if settings.split == "training":
        raise TaskError(
            "split 'training': the head of task 'classify' is fitted on it; score another one, such as test"
        )
    training_texts, training_labels = select_labelled(settings, split="training", limit=TRAINING_TEXTS)
    texts, labels = select_labelled(settings, split=settings.split, limit=settings.limit)
    tokens = tokenize(original, training_texts + texts, max_length=settings.max_length)
    model = open_reader(original, tokens, settings)
    features = check_answers(original, embed(model, tokens, batch_size=settings.batch_size))
    n = len(training_texts)
    head = fit_head(features[:n], torch.tensor(training_labels))
    return Prepared(settings, Tokens(tokens.ids[n:], tokens.padding), torch.tensor(labels), head, features[n:])


def fit_head(features: Tensor, labels: Tensor) -> Head:
    """Logistic regression on features [texts, width] and labels in {0, 1} [texts]; deterministic."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(max_iter=1000).fit(features.double().numpy(), labels.numpy())
    weight, bias = torch.from_numpy(fitted.coef_[0]), torch.from_numpy(fitted.intercept_)
    return lambda features: (features.double() @ weight + bias > 0).long()


def score(prepared: Prepared, network: Network) -> Score:
    """Applies the head of the original to the features of `network`.

    Raises:
        TaskError: It answers with NaN, or in another shape than the original.
        NetworkError: It cannot be built.
    """
    settings = prepared.settings
    model = open_reader(network, prepared.tokens, settings)
    features = embed(model, prepared.tokens, batch_size=settings.batch_size)
    features = check_answers(network, features, like=prepared.features)
    right = (prepared.head(features) == prepared.labels).double()
    right_of_original = (prepared.head(prepared.features) == prepared.labels).double()
    return Score(
        task="classify",
        subject=network.fingerprint,
        n=len(prepared.tokens),
        metrics={
            "accuracy": estimates.mean(right),
            "accuracy_of_original": estimates.mean(right_of_original),
            "difference": estimates.mean(right - right_of_original),
        },
        notes=(
            f"{describe(settings)}; two classes of equal size, so chance is 0.5",
            "frozen head: logistic regression fitted once on the features of the original, applied unchanged",
            "difference is paired, text by text: accuracy less that of the original",
        ),
    )


TASK = Task(prepare, score)
