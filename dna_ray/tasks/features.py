"""What a language network makes of texts: sentence embeddings.

Texts become tokens once, by the tokenizer of the original, so that every subject reads the same ones. Networks run in
single precision, whatever precision their weights are stored in, and without dropout.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dna_ray.errors import TaskError
from dna_ray.networks import Network, build, tokenizer
from dna_ray.tasks.config import TaskSettings

# RoBERTa's and MPNet's positions start behind that of the padding.
OFFSET_OF_POSITIONS = 2


@dataclass(frozen=True, slots=True)
class Tokens:
    """Texts as token ids.

    Attributes:
        ids: Token ids of each text, special tokens included.
        padding: Id that fills up a batch.
    """

    ids: tuple[tuple[int, ...], ...]
    padding: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fingerprint(self) -> str:
        """sha256 of the ids, in hex."""
        return hashlib.sha256(json.dumps(self.ids, separators=(",", ":")).encode()).hexdigest()


def tokenize(network: Network, texts: Sequence[str], *, max_length: int) -> Tokens:
    """Cuts each text at `max_length` tokens, or at what the network can read if that is less.

    Raises:
        TaskError: The network does not read text.
        NetworkError: It has no tokenizer.
    """
    config = network.config or {}
    if "vocab_size" not in config:
        raise TaskError(f"{network.name}: does not read text (its config has no vocab_size); choose --task images")
    if config.get("is_encoder_decoder"):
        raise TaskError(f"{network.name}: is an encoder-decoder, which no task here fits; judge its encoder alone")
    positions = config.get("max_position_embeddings", config.get("n_positions"))
    if positions is not None:
        max_length = min(max_length, positions - OFFSET_OF_POSITIONS)
    words = tokenizer(network)
    ids = words(list(texts), truncation=True, max_length=max_length)["input_ids"]
    padding = config.get("pad_token_id") if words.pad_token_id is None else words.pad_token_id
    return Tokens(tuple(map(tuple, ids)), padding or 0)


def open_network(network: Network, settings: TaskSettings) -> nn.Module:
    """The network as a module that is ready to be judged.

    Raises:
        TaskError: There is no such device here.
        NetworkError: The network has no config, or no class to build it from.
    """
    try:
        torch.empty(0, device=settings.device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise TaskError(f"device {settings.device!r}: not available here ({reason}); choose cpu") from error
    return build(network, device=settings.device).float().eval()


def open_reader(network: Network, tokens: Tokens, settings: TaskSettings) -> nn.Module:
    """`open_network` for a network that is to read `tokens`.

    Raises:
        TaskError: Its vocabulary does not hold them, or there is no such device here.
        NetworkError: The network has no config, or no class to build it from.
    """
    vocabulary = (network.config or {}).get("vocab_size", 0)
    if max(map(max, tokens.ids)) >= vocabulary:
        raise TaskError(
            f"{network.name}: knows {vocabulary} tokens, fewer than the original reads; "
            "judge it against the network that it was made from"
        )
    return open_network(network, settings)


def embed(model: nn.Module, tokens: Tokens, *, batch_size: int) -> Tensor:
    """Sentence embeddings [texts, width]: the last hidden states, averaged over a text's tokens, at unit length."""
    return over_batches(lambda ids, mask, _: read(model, ids, mask)[0], model, tokens, batch_size=batch_size)


def read(model: nn.Module, ids: Tensor, mask: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Sentence embeddings [texts, width] at unit length, and the hidden states [texts, tokens, width] of all layers."""
    encoder = model.base_model
    assert isinstance(encoder, nn.Module)
    answer = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    hidden = answer.last_hidden_state
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return F.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1), answer.hidden_states


@torch.inference_mode()
def over_batches(
    answer: Callable[[Tensor, Tensor, Tensor], Tensor], model: nn.Module, tokens: Tokens, *, batch_size: int
) -> Tensor:
    """What `answer` makes of (ids, attention mask, indices of the texts) of each batch; on the CPU, in text order."""
    device = next(model.parameters()).device
    answers, order = [], []
    for ids, mask, which in batches(tokens, batch_size):
        answers.append(answer(ids.to(device), mask.to(device), which).cpu())
        order.append(which)
    return torch.cat(answers)[torch.cat(order).argsort()]


def check_answers(network: Network, answers: Tensor, *, like: Tensor | None = None) -> Tensor:
    """Passes on what a network answered, a row an example, if it can be judged.

    Raises:
        TaskError: It holds NaN or infinity, or is not as wide as the answers of the original, `like`.
    """
    if like is not None and answers.shape != like.shape:
        raise TaskError(
            f"{network.name}: answers with {answers.shape[-1]} values where the original has {like.shape[-1]}; "
            "judge it against the network that it was made from"
        )
    bad = int((~answers.isfinite()).any(dim=1).sum())
    if bad:
        raise TaskError(
            f"{network.name}: answers {bad} of {len(answers)} examples with NaN or infinity, so it has no score; "
            "its weights are damaged or overflow"
        )
    return answers


def batches(tokens: Tokens, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(ids, attention mask, indices of the texts). Texts of similar length go together: little is padding."""
    by_length = sorted(range(len(tokens)), key=lambda text: len(tokens.ids[text]))
    for start in range(0, len(by_length), size):
        which = by_length[start : start + size]
        rows = [torch.tensor(tokens.ids[text]) for text in which]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokens.padding)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).long()
        yield ids, mask, torch.tensor(which)
