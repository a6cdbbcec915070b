"""How far a sparse network is from the dense one on each example: what a search minimises."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from dna_ray.errors import TaskError
from dna_ray.evolution.subject.answers import Answers


def kl(dense: Answers, sparse: Answers, labels: Tensor | None) -> Tensor:
    """KL(dense || sparse) of the class probabilities, in nats. Needs classes, but no labels.

    Raises:
        TaskError: There are no classes.
    """
    p, q = _logits(dense).double().log_softmax(-1), _logits(sparse).double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).clamp_min(0)


def loss(dense: Answers, sparse: Answers, labels: Tensor | None) -> Tensor:
    """Cross-entropy with the labels, in nats.

    Raises:
        TaskError: There are no classes, or no labels of them.
    """
    logits = _logits(sparse)
    if labels is None:
        raise TaskError("signal 'loss': no labels of classes that the network tells apart; choose signal kl or cosine")
    return F.cross_entropy(logits.double(), labels, reduction="none")


def cosine(dense: Answers, sparse: Answers, labels: Tensor | None) -> Tensor:
    """1 - cosine of the features."""
    return 1 - (dense.features.double() * sparse.features.double()).sum(-1)


def _logits(answers: Answers) -> Tensor:
    if answers.logits is None:
        raise TaskError("the network tells no classes apart, and there are no labels to fit a head; use signal cosine")
    return answers.logits


Signal = Callable[[Answers, Answers, Tensor | None], Tensor]

# (dense, sparse, labels) -> (n,) float64, 0 or more; smaller is better
SIGNALS: dict[str, Signal] = {"kl": kl, "loss": loss, "cosine": cosine}
