"""Texts to judge language networks on: distinct, and in disjoint splits that do not depend on their order."""

import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

from dna_ray.errors import TaskError
from dna_ray.networks import samples
from dna_ray.tasks.config import FEWEST_EXAMPLES, SPLIT_SHARES, TaskSettings

# Characters that a text must keep once links, mentions and doubled spaces are taken out.
SHORTEST = 10

# How sure the annotators of the tweets were, at least, for a label to count.
CONFIDENCE = 0.65

_LINK_OR_MENTION = re.compile(r"https?://\S+|@\w+")


@dataclass(frozen=True, slots=True)
class Tweet:
    """One row of the sample: `confidence` in [0, 1], None where the annotators gave none."""

    text: str
    sentiment: str
    confidence: float | None


def normalise(text: str) -> str:
    """What two texts have in common that count as the same one: case, links, mentions and spacing do not matter."""
    plain = _LINK_OR_MENTION.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(plain.split())


def deduplicate(texts: Iterable[str]) -> dict[str, str]:
    """Normalised form -> text, for texts long enough to be judged on.

    Of several texts with one normalised form the alphabetically first stands for all, so that order does not matter.
    """
    distinct: dict[str, str] = {}
    for text in texts:
        key = normalise(text)
        if len(key) >= SHORTEST:
            distinct[key] = min(text, distinct.get(key, text))
    return distinct


def split_of(normalised: str) -> str:
    """The split that a text belongs to, by the hash of its normalised form alone."""
    position = unit_hash(normalised)
    bounds = accumulate(SPLIT_SHARES.values())
    return next((name for name, end in zip(SPLIT_SHARES, bounds, strict=True) if position < end), "test")


def select_texts(settings: TaskSettings, *, split: str | None = None) -> list[str]:
    """At most `settings.limit` distinct texts of a split; the same ones whatever the order of the file.

    Args:
        settings: Names the file, the limit, and the seed of the choice.
        split: Instead of `settings.split`.

    Raises:
        TaskError: The file is missing or not UTF-8, the split holds too few texts, or the tweets are not installed.
        ArtifactError: The tweets are not the published file.
    """
    split = split or settings.split
    distinct = deduplicate(_read_texts(settings.texts))
    keys = _shuffled((key for key in distinct if split_of(key) == split), settings.seed)[: settings.limit]
    if len(keys) < FEWEST_EXAMPLES:
        raise TaskError(
            f"{settings.texts or 'tweets'}: {len(keys)} distinct texts of at least {SHORTEST} characters in split "
            f"{split!r} (of {len(distinct)} in all), but a score needs {FEWEST_EXAMPLES}; give a longer file"
        )
    return [distinct[key] for key in keys]


def select_labelled(settings: TaskSettings, *, split: str, limit: int) -> tuple[list[str], list[int]]:
    """At most `limit` tweets of a split with their labels: 0 negative, 1 positive, equally many, so chance is 1/2.

    Neutral tweets and those whose annotators were less sure than `CONFIDENCE` are left out, and so is a text that was
    labelled both ways.

    Raises:
        TaskError: `settings.texts` names a file, whose lines carry no labels, or the tweets are not installed.
        ArtifactError: The tweets are not the published file.
    """
    if settings.texts is not None:
        raise TaskError(
            f"{settings.texts}: task 'classify' needs labels, and lines of text have none; "
            "leave --texts out to use the tweets, or choose --task agreement"
        )
    sure = [
        t for t in read_tweets() if t.sentiment != "neutral" and (t.confidence is None or t.confidence >= CONFIDENCE)
    ]
    distinct = deduplicate(tweet.text for tweet in sure)
    sentiments = defaultdict(set)
    for tweet in sure:
        sentiments[normalise(tweet.text)].add(tweet.sentiment)
    classes = [
        _shuffled((k for k in distinct if split_of(k) == split and sentiments[k] == {sentiment}), settings.seed)
        for sentiment in ("negative", "positive")
    ]
    each = min(limit // 2, *map(len, classes))
    texts = [distinct[key] for keys in classes for key in keys[:each]]
    return texts, [label for label in (0, 1) for _ in range(each)]


def describe(settings: TaskSettings) -> str:
    """Which texts a score is of, for its notes."""
    return f"{settings.split} split of {settings.texts.name if settings.texts else 'tweets'}, duplicates removed"


def read_tweets() -> list[Tweet]:
    """Every row of the sample, duplicates included.

    Raises:
        ArtifactError: The tweets are not the published file.
    """
    # The file mixes encodings; latin-1 reads every byte, and the same way everywhere.
    with samples.tweets_file().open(encoding="latin-1", newline="") as file:
        return [
            Tweet(row["text"], row["sentiment"], float(row["confidence"]) if row["confidence"] else None)
            for row in csv.DictReader(file)
        ]


def _read_texts(path: Path | None) -> Sequence[str]:
    if path is None:
        return [tweet.text for tweet in read_tweets()]
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8, one text a line") from error
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror}); give a file with one text a line") from error


def _shuffled(keys: Iterable[str], seed: int) -> list[str]:
    """In an order that looks random and that no permutation of `keys` changes."""
    return sorted(keys, key=lambda key: (unit_hash(f"{seed}:{key}"), key))


def unit_hash(text: str) -> float:
    """A number in [0, 1) that looks random and depends on `text` alone."""
    return int.from_bytes(sha256(text.encode("utf-8", "surrogatepass")).digest()[:6]) / 2**48
