"""What a network is shown: texts or images of the disjoint splits, as tensors that can be sent anywhere."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dna_ray.errors import TaskError
from dna_ray.networks import Network
from dna_ray.tasks.config import FEWEST_EXAMPLES, TaskSettings
from dna_ray.tasks.features import tokenize
from dna_ray.tasks.pictures import pictures
from dna_ray.tasks.texts import select_labelled, select_texts

TWEET_CLASSES = 2

_ALL = 10**9
_FEW, _PORTIONS = 8, 16  # 32 tweets in portions of 8 take minilm half the time of one of 32, most of which is padding


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Texts or images, in an order in which any stretch is as good as any other.

    Attributes:
        inputs: Of texts, token ids (n, longest) int32, padded; of images, grey values (n, height, width) or colours
            (n, 3, height, width), uint8.
        lengths: Tokens of each text, (n,) int32; None for images.
        labels: Class of each, (n,) int64; None if they have none that the network at hand tells apart.
    """

    inputs: Tensor
    lengths: Tensor | None = None
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, n: int) -> "Examples":
        """At most the first `n`."""
        cut = (None if each is None else each[:n] for each in (self.lengths, self.labels))
        return Examples(self.inputs[:n], *cut)

    def unlabelled(self) -> "Examples":
        """The same without labels."""
        return Examples(self.inputs, self.lengths)

    def chunks(self, which: Tensor, size: int) -> Iterator[Tensor]:
        """Indices in portions of `size`; of texts those of similar length together, in smaller portions where they
        are few, so that little is padding."""
        if self.lengths is not None:
            which = which[self.lengths[which].argsort(stable=True)]
            size = min(size, max(_FEW, len(which) // _PORTIONS))
        yield from which.split(size)


def texts_of(network: Network, settings: TaskSettings, *, split: str, limit: int) -> Examples:
    """Texts of a split as the network reads them: tweets with their sentiment, classes in turn, or lines of a file.

    Raises:
        TaskError: The texts are missing or too few, or the network does not read text.
        NetworkError: It has no tokenizer.
    """
    if settings.texts is not None:
        return _tokenized(network, select_texts(settings, split=split)[:limit], None, settings.max_length)
    texts, labels = _in_turn(settings.seed, split)
    limit -= limit % 2  # as many of each class
    return _tokenized(network, texts[:limit], torch.tensor(labels[:limit]), settings.max_length)


@lru_cache(maxsize=8)
def _in_turn(seed: int, split: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """All labelled tweets of a split, of the one class and the other in turn. They take a second to be read."""
    texts, labels = select_labelled(TaskSettings(seed=seed), split=split, limit=_ALL)
    half = len(texts) // 2  # the first class, then as many of the second
    order = [place for pair in zip(range(half), range(half, 2 * half), strict=True) for place in pair]
    return tuple(texts[place] for place in order), tuple(labels[place] for place in order)


def _tokenized(network: Network, texts: Sequence[str], labels: Tensor | None, max_length: int) -> Examples:
    tokens = tokenize(network, texts, max_length=max_length)
    vocabulary = (network.config or {}).get("vocab_size", 0)
    if max(map(max, tokens.ids)) >= vocabulary:
        raise TaskError(
            f"{network.name}: knows {vocabulary} tokens, fewer than its tokenizer; give the tokenizer it belongs to"
        )
    rows = [torch.tensor(ids, dtype=torch.int32) for ids in tokens.ids]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokens.padding)
    return Examples(padded, torch.tensor([len(row) for row in rows], dtype=torch.int32), labels)


def images_of(network: Network, settings: TaskSettings, *, split: str, limit: int) -> Examples:
    """Images of a split: those that the network was trained to tell apart, where they are at hand.

    Labels are there if the network tells as many classes apart.

    Raises:
        TaskError: They are missing, too few, or not those of the network.
    """
    config = network.config or {}
    found = pictures(config, settings, split=split, limit=limit)
    return Examples(found.pixels, None, found.labels)


def image_classes(network: Network, settings: TaskSettings) -> int:
    """How many classes the images are of that the network is shown."""
    return pictures(network.config or {}, settings, split="test", limit=FEWEST_EXAMPLES).classes
