"""Label-free: does a network make of texts what the original makes of them?

Embeddings are compared one by one (cosine), and by the geometry that retrieval uses: the rank correlation of pairwise
similarities, as in representational similarity analysis (Kriegeskorte et al. 2008), and nearest neighbours. Where the
network has a head, so are its logits.
"""

from dataclasses import dataclass
from math import isnan

from torch import Tensor

from dna_ray.networks import Network
from dna_ray.tasks import estimates, heads
from dna_ray.tasks.config import TaskSettings
from dna_ray.tasks.features import Tokens, check_answers, embed, open_reader, tokenize
from dna_ray.tasks.score import Measured, Score
from dna_ray.tasks.task import Task
from dna_ray.tasks.texts import describe, select_texts

# Texts among which similarities are compared: two million pairs.
MOST_PAIRED = 2000


@dataclass(frozen=True, slots=True)
class Prepared:
    """The texts as the original reads them, and what it makes of them.

    Attributes:
        embeddings: [texts, width], at unit length.
        question: What the head is asked; None where there is no head that answers in logits.
        logits: What it answers, [texts, classes or vocabulary].
    """

    settings: TaskSettings
    tokens: Tokens
    embeddings: Tensor
    question: heads.Question | None
    logits: Tensor | None


def prepare(original: Network, settings: TaskSettings) -> Prepared:
    """Lets the original read the texts.

    Raises:
        TaskError: The texts are missing or too few, or the network does not read text.
        NetworkError: The network cannot be built.
    """
    tokens = tokenize(original, select_texts(settings), max_length=settings.max_length)
    model = open_reader(original, tokens, settings)
    question = heads.question_for(original, model, tokens, seed=settings.seed)
    embeddings = check_answers(original, embed(model, tokens, batch_size=settings.batch_size))
    logits = None if question is None else heads.ask(model, question, batch_size=settings.batch_size)
    return Prepared(settings, tokens, embeddings, question, None if logits is None else check_answers(original, logits))


def score(prepared: Prepared, network: Network) -> Score:
    """Lets `network` read the same tokens.

    Raises:
        TaskError: It answers with NaN, or in another shape than the original.
        NetworkError: It cannot be built.
    """
    settings = prepared.settings
    model = open_reader(network, prepared.tokens, settings)
    embeddings = embed(model, prepared.tokens, batch_size=settings.batch_size)
    metrics, notes = compare_embeddings(
        prepared.embeddings, check_answers(network, embeddings, like=prepared.embeddings)
    )
    if prepared.question is not None and prepared.logits is not None:
        logits = heads.ask(model, prepared.question, batch_size=settings.batch_size)
        metrics |= compare_logits(prepared.logits, check_answers(network, logits, like=prepared.logits))
    return Score(
        task="agreement",
        subject=network.fingerprint,
        n=len(prepared.tokens),
        metrics=metrics,
        notes=(describe(settings), *notes),
    )


def compare_embeddings(original: Tensor, subject: Tensor) -> tuple[dict[str, Measured], tuple[str, ...]]:
    """Metrics and notes of two sets of embeddings of the same examples, [examples, width] each, at unit length."""
    original, subject = original.double(), subject.double()
    paired, paired_subject = original[:MOST_PAIRED], subject[:MOST_PAIRED]
    similar, similar_subject = paired @ paired.T, paired_subject @ paired_subject.T
    correlation = estimates.rank_correlation(similar, similar_subject)
    notes: tuple[str, ...] = ()
    if isnan(correlation.value):
        correlation = Measured(0.0)
        notes = ("one of the networks finds all pairs equally similar: their rank correlation is set to 0",)
    metrics = {
        "cosine": estimates.mean((original * subject).sum(-1)),
        "rank_correlation": correlation,
        "same_neighbour": estimates.same_neighbour(similar, similar_subject),
    }
    return metrics, notes


def compare_logits(original: Tensor, subject: Tensor) -> dict[str, Measured]:
    """Metrics of two sets of logits of the same examples, [examples, classes] each."""
    return {"kl": estimates.divergence(original, subject), "same_top": estimates.same_top(original, subject)}


TASK = Task(prepare, score)
