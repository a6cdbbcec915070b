"""The test split, touched once: how a champion and what it is compared with do on data that nothing was chosen by."""

from dataclasses import dataclass
from math import sqrt

from torch import Tensor

from dna_ray.errors import TaskError
from dna_ray.evolution.agent import Agent
from dna_ray.evolution.judging.bounds import Bound, disagreement
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.pruner import Pruned, Pruner, count
from dna_ray.evolution.subject.answers import Answers
from dna_ray.evolution.subject.subject import Subject
from dna_ray.networks import DTYPES
from dna_ray.tasks import Measured, estimates

_NORMAL = 1.959964  # of a 95 % interval


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Judgement:
    """How one network did on the test split.

    Attributes:
        name: Id of the agent, or `dense`.
        accuracy: Share of the examples that it classifies as labelled; None without labels of its classes.
        cosine: Of its features to those of the dense network.
        disagreement: Limit of the share of all such examples that it classifies otherwise than the dense network, at
            95 % confidence, beside the share of these; None without classes.
        kept: Weights, of `weights` in its layers.
        skipped: Share of the multiply-adds of the network that zeros save, as `Subject.multiply_adds` counts them.
        nbytes: Of its layers, a bit for each weight and the kept ones in full, or all of them in full if that is less.
        dense_nbytes: Of the dense layers.
        right: Whether each example is classified as labelled, (n,) bool.
        cosines: Of each example, (n,).
    """

    name: str
    accuracy: Measured | None
    cosine: Measured
    disagreement: Bound | None
    kept: int
    weights: int
    skipped: float
    nbytes: int
    dense_nbytes: int
    right: Tensor | None
    cosines: Tensor

    @property
    def n(self) -> int:
        """Examples."""
        return len(self.cosines)


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two networks on the same examples, with its 95 % interval."""

    value: float
    low: float
    high: float


class Judge:
    """Judges networks on the test split of one subject. Reads it when first asked.

    Args:
        dense: What the dense network answers to the test split, where it is known already.
    """

    def __init__(
        self, subject: Subject, space: Space, *, pruner: Pruner | None = None, dense: Answers | None = None
    ) -> None:
        self._subject = subject
        self._space = space
        self._pruner = pruner or Pruner(subject.layers, subject.matrices, subject.statistics)
        self._dense = dense

    def judge(self, agent: Agent) -> Judgement:
        """How the network does as the agent wants it.

        Raises:
            TaskError: It answers with NaN or infinity.
            RecipeError: The agent is of another space, or its genes do not go together.
        """
        dense = self._answers_of_dense()
        pruned = self._pruner.prune(agent, self._space.kept(agent))
        with self._subject.replaced(pruned.matrices, repair=agent.repair):
            answers = self._subject.answer_test()
        dense_work = sum(each.weights * each.positions for each in self._subject.layers)
        skipped = (dense_work - pruned.multiply_adds) / self._subject.multiply_adds
        return self._judgement(agent.id, dense, answers, pruned.kept, skipped, self._nbytes(pruned))

    def judge_dense(self) -> Judgement:
        """How the network does as it is."""
        dense = self._answers_of_dense()
        return self._judgement("dense", dense, dense, self._weights, 0.0, self._dense_nbytes)

    def _judgement(
        self, name: str, dense: Answers, answers: Answers, kept: int, skipped: float, nbytes: int
    ) -> Judgement:
        if bad := int((~answers.features.isfinite()).any(1).sum()):
            raise TaskError(f"{name[:12]}: answers {bad} of {len(answers.features)} examples with NaN or infinity")
        labels, right, other = self._subject.test.labels, None, None
        if answers.logits is not None and dense.logits is not None:
            classes = answers.logits.argmax(1)
            other = disagreement(int((classes != dense.logits.argmax(1)).sum()), len(classes))
            right = None if labels is None else classes == labels
        cosines = (dense.features.double() * answers.features.double()).sum(1)
        return Judgement(
            name=name,
            accuracy=None if right is None else estimates.mean(right),
            cosine=estimates.mean(cosines),
            disagreement=other,
            kept=kept,
            weights=self._weights,
            skipped=skipped,
            nbytes=nbytes,
            dense_nbytes=self._dense_nbytes,
            right=right,
            cosines=cosines,
        )

    def _answers_of_dense(self) -> Answers:
        if self._dense is None:
            self._dense = self._subject.answer_test()
        return self._dense

    @property
    def _weights(self) -> int:
        return sum(layer.weights for layer in self._subject.layers)

    @property
    def _dense_nbytes(self) -> int:
        return sum(layer.weights * self._size(layer.name) for layer in self._subject.layers)

    def _nbytes(self, pruned: Pruned) -> int:
        """With basis `svd` each layer comes with the matrix that turns its inputs."""
        total = 0
        for layer in self._subject.layers:
            size = self._size(layer.name)
            turn = layer.cols**2 * size if pruned.turned else 0
            masked = -(-layer.weights // 8) + count(pruned.masks[layer.name]) * size
            total += min(layer.weights * size, masked + turn)
        return total

    def _size(self, name: str) -> int:
        """Bytes of one weight, as stored."""
        return DTYPES[self._subject.network.anatomy.by_name[name].dtype].itemsize


def accuracy_difference(one: Judgement, other: Judgement) -> Difference:
    """Accuracy of `one` less that of `other`, paired example by example.

    Raises:
        TaskError: There are no labels, or they were judged on different examples.
    """
    if one.right is None or other.right is None or one.n != other.n:
        raise TaskError("accuracies can be compared in pairs only where both were judged on the same labelled examples")
    return _difference(one.right.double() - other.right.double())


def cosine_difference(one: Judgement, other: Judgement) -> Difference:
    """Cosine to the dense network of `one` less that of `other`, paired.

    Raises:
        TaskError: They were judged on different examples.
    """
    if one.n != other.n:
        raise TaskError(f"one was judged on {one.n} examples, the other on {other.n}: they cannot be paired")
    return _difference(one.cosines - other.cosines)


def _difference(values: Tensor) -> Difference:
    value, half = float(values.mean()), _NORMAL * float(values.std()) / sqrt(len(values))
    return Difference(value, value - half, value + half)
