"""The images that a network is shown, by what it is: those of its own data set, of a folder, or any that are installed.

Splits are disjoint, and follow from the images alone. A network that was trained on Fashion-MNIST has seen `training`
only; `test` is the data set's own.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dna_ray.errors import TaskError
from dna_ray.models.samples import DATASET
from dna_ray.networks import fashion_mnist, samples
from dna_ray.networks.images import Labels, Pixels
from dna_ray.tasks.config import FEWEST_EXAMPLES, TaskSettings
from dna_ray.tasks.image_folder import list_images, read_images
from dna_ray.tasks.texts import split_of, unit_hash

# Of Fashion-MNIST's 60,000 images for training: about 5,000 each that no weight is trained on.
_HELD_OUT = {"calibration": 1 / 12, "validation": 1 / 12, "healing": 1 / 12}
_ALL = 10**9


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Labelled images.

    Attributes:
        pixels: 0 to 255: grey (n, height, width), or red, green and blue (n, 3, height, width); uint8.
        labels: (n,) int64.
        classes: How many there are.
        source: Name of the data set.
    """

    pixels: Tensor
    labels: Tensor
    classes: int
    source: str

    def __len__(self) -> int:
        return len(self.pixels)


def pictures(config: Mapping[str, Any], settings: TaskSettings, *, split: str, limit: int = _ALL) -> Pictures:
    """At most `limit` images of a split, for a network with this config, in an order that depends on the seed.

    Raises:
        TaskError: They are missing, too few, or others than those that the network was trained on.
        ArtifactError: The data set is damaged.
    """
    if settings.images is not None:
        found = _of_folder(config, settings, split, limit)
    elif trained_here(config):
        found = _of_fashion_mnist(config["dataset"], settings, split, limit)
    else:
        found = _of_any(settings, split, limit)
    if len(found) < FEWEST_EXAMPLES:
        raise TaskError(f"{found.source}: {len(found)} images in split {split!r}, but {FEWEST_EXAMPLES} are needed")
    return found


def trained_here(config: Mapping[str, Any]) -> bool:
    """Whether a network with this config was trained on a data set that is known here."""
    dataset = config.get("dataset")
    return isinstance(dataset, Mapping) and dataset.get("name") == DATASET


def has_own_classes(config: Mapping[str, Any], settings: TaskSettings) -> bool:
    """Whether the images come with classes that are meant to be the network's."""
    return settings.images is not None or trained_here(config)


def _of_fashion_mnist(dataset: Mapping[str, Any], settings: TaskSettings, split: str, limit: int) -> Pictures:
    expected, found = dataset.get("sha256"), fashion_mnist.fingerprint()
    if expected != found:
        raise TaskError(
            f"{fashion_mnist.folder()}: holds other data ({found[:12]}) than those that the network was trained on "
            f"({str(expected)[:12]}); name their folder in {fashion_mnist.VARIABLE}"
        )
    part = fashion_mnist.read("test" if split == "test" else "train")
    places = _fashion_places(found)[split]
    chosen = places[_order(len(places), settings.seed)[:limit]]
    labels = part.labels[chosen].astype(np.int64)
    classes = int(part.labels.max()) + 1
    return Pictures(torch.from_numpy(part.pixels[chosen]), torch.from_numpy(labels), classes, "Fashion-MNIST")


def training_pictures() -> Pictures:
    """All of Fashion-MNIST that weights may be trained on.

    Raises:
        TaskError, ArtifactError: It is not installed, too small, or damaged.
    """
    config = {"dataset": {"name": DATASET, "sha256": fashion_mnist.fingerprint()}}
    return pictures(config, TaskSettings(), split="training")


@lru_cache(maxsize=2)
def _fashion_places(_fingerprint: str) -> Mapping[str, np.ndarray[Any, np.dtype[np.int64]]]:
    """Split -> places in its part. Equal images are in one split, as in `test` if they are there too."""
    bounds = list(zip(_HELD_OUT, accumulate(_HELD_OUT.values()), strict=True))
    tests = fashion_mnist.read("test").pixels
    seen = {_key(image) for image in tests}
    found: dict[str, list[int]] = {name: [] for name in (*_HELD_OUT, "training")}
    for place, image in enumerate(fashion_mnist.read("train").pixels):
        key = _key(image)
        if key not in seen:
            at = unit_hash(key)
            found[next((name for name, end in bounds if at < end), "training")].append(place)
    return {name: np.array(places, dtype=np.int64) for name, places in found.items()} | {"test": np.arange(len(tests))}


def _of_folder(config: Mapping[str, Any], settings: TaskSettings, split: str, limit: int) -> Pictures:
    assert settings.images is not None
    folder = list_images(settings.images)
    keys = [path for path, _ in folder.files]
    chosen = _chosen(keys, settings.seed, split)[:limit]
    side = config.get("image_size", 224)
    side = side if isinstance(side, int) else max(side)
    if not chosen:
        raise TaskError(f"{folder.root}: no images in split {split!r} of {len(keys)} in all; give a larger folder")
    pixels, labels = read_images(folder, chosen, side=side, grey=config.get("num_channels", 3) == 1)
    return Pictures(pixels, labels, len(folder.classes), str(folder.root))


def _of_any(settings: TaskSettings, split: str, limit: int) -> Pictures:
    """Distinct images. Which split one belongs to follows from its pixels, as that of a text from its words."""
    pixels, labels, source, keys = _any()
    places = [keys[key] for key in _in_order((key for key in keys if split_of(key) == split), settings.seed)[:limit]]
    classes = int(labels.max()) + 1
    return Pictures(torch.from_numpy(pixels[places]), torch.from_numpy(labels[places]), classes, source)


@lru_cache(maxsize=1)
def _any() -> tuple[Pixels, Labels, str, Mapping[str, int]]:
    """All images, their labels, what they are, and the place of each by the sha256 of its pixels."""
    pixels, labels, source = samples.images(_ALL)
    return pixels, labels, source, {_key(each): place for place, each in enumerate(pixels)}


def _chosen(keys: Sequence[str], seed: int, split: str) -> list[int]:
    places = {key: place for place, key in enumerate(keys)}
    return [places[key] for key in _in_order((key for key in keys if split_of(key) == split), seed)]


def _in_order(keys: Iterable[str], seed: int) -> list[str]:
    """By a hash once more: of which split an image is follows from its own."""
    return sorted(keys, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest())


def _order(n: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.random.default_rng(seed).permutation(n)


def _key(image: Pixels) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()
