"""What mining needs in a test: a tiny network on disk, recipes of it, and a person who watches or stops."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import BertConfig, BertModel

from dna_ray.mining.config import MineConfig
from dna_ray.models.architecture import Architecture
from dna_ray.models.architectures import make
from dna_ray.networks import from_state_dict, save
from dna_ray.recipe import MineHow, MineRecipe, MineWhat

BERT = BertConfig(
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    vocab_size=64,
    max_position_embeddings=16,
)
SMALL_NETWORK = Architecture(name="resnet18", width=1 / 8, channels=1, side=8, classes=4)
TRAINED = {"ratio": 4.0, "epochs": 6.0, "batch_size": 64}  # a few dozen steps of the sine kinds on BERT


def write_bert(folder: Path) -> Path:
    """A random BERT of about 6,000 weights as an ordinary folder, without a tokenizer."""
    torch.manual_seed(0)
    BertModel(BERT).save_pretrained(folder)
    return folder


def write_reader(folder: Path) -> Path:
    """The same with a tokenizer, and beside it `texts.txt`, which holds 400 texts of its words."""
    words = [f"word{number}" for number in range(BERT.vocab_size - 5)]
    (write_bert(folder) / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    rng = random.Random(0)
    texts = [" ".join(rng.choices(words, k=rng.randint(3, 9))) for _ in range(400)]
    (folder / "texts.txt").write_text("\n".join(texts))
    return folder


def write_small_network(folder: Path) -> Path:
    """A random residual network of this package, and beside it `images`, a folder of 50 images for each class.

    Evaluators need no transformers for it, which takes 4 s of each.
    """
    torch.manual_seed(0)
    model = make(SMALL_NETWORK)
    network = from_state_dict(model.state_dict(), name=SMALL_NETWORK.name, config=SMALL_NETWORK.to_config())
    save(
        ((info.name, network.read(info.name)) for info in network.anatomy),
        folder,
        anatomy=network.anatomy,
        config=network.config,
    )
    rng = np.random.default_rng(0)
    for label in range(SMALL_NETWORK.classes):
        (place := folder / "images" / str(label)).mkdir(parents=True)
        for number in range(50):
            pixels = rng.integers(0, 60 * (label + 1), (SMALL_NETWORK.side, SMALL_NETWORK.side), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{number}.png")
    return folder


def recipe_for(
    network: Path,
    home: Path,
    *,
    workers: int = 0,
    how: Mapping[str, object] | None = None,
    what: Mapping[str, object] | None = None,
    **config: object,
) -> MineRecipe:
    return MineRecipe(
        what=MineWhat(network=str(network), config=MineConfig(**config), **(what or {})),
        how=MineHow(home=str(home), workers=workers, **(how or {})),
    )


class _Stage:
    def __init__(self, watcher: "Watcher") -> None:
        self._watcher = watcher

    def advance(self, n: float = 1, **figures: float) -> None:
        self._watcher.steps += n


@dataclass
class Watcher:
    """Remembers what a verb told, and asks it to stop after `stop_after` steps, or when `stop_when` says so."""

    stop_after: float = float("inf")
    stop_when: Callable[[], bool] = lambda: False
    steps: float = 0
    stages: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    run: Path | None = None

    @property
    def stopping(self) -> bool:
        return self.steps >= self.stop_after or self.stop_when()

    def expect(self, stages: Mapping[str, float]) -> None:
        pass

    @contextmanager
    def stage(self, name: str, *, total: float | None = None, unit: str = "step", done: float = 0) -> Iterator[_Stage]:
        self.stages.append(name)
        yield _Stage(self)

    def opened(self, run: Path) -> None:
        self.run = run

    def note(self, text: str) -> None:
        self.notes.append(text)
