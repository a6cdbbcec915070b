"""What the head of a language network answers, in logits: one answer a text, so that answers are independent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dna_ray.errors import TaskError
from dna_ray.networks import Network, tokenizer
from dna_ray.tasks.features import Tokens, over_batches

# Logits of a batch that are in memory at once, 256 MB: a vocabulary makes them many.
MOST_LOGITS = 2**26


@dataclass(frozen=True, slots=True)
class Question:
    """Texts, and where in each the answer is read off.

    Attributes:
        places: Index of a token in each text; None for a head that answers for the text as a whole.
        vocabulary: Logits that the head gives at every token, or for the text.
    """

    tokens: Tokens
    places: tuple[int, ...] | None
    vocabulary: int


def question_for(network: Network, model: nn.Module, tokens: Tokens, *, seed: int) -> Question | None:
    """What the head of `model` is asked, by its class; None where there is no head that answers in logits.

    The class is not always the one that the config names: weights are often published without their head.

    Raises:
        TaskError: A masked language model whose tokenizer has no mask token.
    """
    name = type(model).__name__
    return next((asked(network, tokens, seed) for suffix, asked in QUESTIONS.items() if name.endswith(suffix)), None)


def ask(model: nn.Module, question: Question, *, batch_size: int) -> Tensor:
    """Logits [texts, classes or vocabulary].

    Raises:
        TaskError: The model has no head to ask.
    """
    places = None if question.places is None else torch.tensor(question.places)

    def answer(ids: Tensor, mask: Tensor, which: Tensor) -> Tensor:
        output = model(input_ids=ids, attention_mask=mask)
        if "logits" not in output:
            raise TaskError(
                f"{type(model).__name__}: has no head, but the original has one; "
                "judge it against the network that it was made from"
            )
        logits: Tensor = output["logits"]
        return logits if places is None else logits[torch.arange(len(ids)), places[which]]

    longest = max(map(len, question.tokens.ids))
    batch_size = max(1, min(batch_size, MOST_LOGITS // (longest * question.vocabulary)))
    return over_batches(answer, model, question.tokens, batch_size=batch_size)


def _class(network: Network, tokens: Tokens, seed: int) -> Question:
    return Question(tokens, None, 1)


def _hidden_token(network: Network, tokens: Tokens, seed: int) -> Question:
    """Hides one ordinary token of each text, to be filled in."""
    words = tokenizer(network)
    if words.mask_token_id is None:
        raise TaskError(
            f"{network.name}: a masked language model, but its tokenizer has no mask token to ask it with; "
            "add the tokenizer that it was trained with"
        )
    special = set(words.all_special_ids)
    ordinary = [[place for place, token in enumerate(ids) if token not in special] or [0] for ids in tokens.ids]
    places = _pick(ordinary, seed)
    ids = ((*t[:place], words.mask_token_id, *t[place + 1 :]) for t, place in zip(tokens.ids, places, strict=True))
    return Question(Tokens(tuple(ids), tokens.padding), places, _vocabulary(network))


def _next_token(network: Network, tokens: Tokens, seed: int) -> Question:
    """Asks what follows one of the tokens of each text."""
    return Question(tokens, _pick([range(len(ids)) for ids in tokens.ids], seed), _vocabulary(network))


# What a head is asked, by how its architecture's name ends.
QUESTIONS: dict[str, Callable[[Network, Tokens, int], Question]] = {
    "ForSequenceClassification": _class,
    "ForMaskedLM": _hidden_token,
    "ForCausalLM": _next_token,
    "LMHeadModel": _next_token,
}


def _vocabulary(network: Network) -> int:
    assert network.config is not None
    return int(network.config["vocab_size"])


def _pick(places: Sequence[Sequence[int]], seed: int) -> tuple[int, ...]:
    draws = torch.rand(len(places), generator=torch.Generator().manual_seed(seed)).tolist()
    return tuple(options[int(draw * len(options))] for options, draw in zip(places, draws, strict=True))
