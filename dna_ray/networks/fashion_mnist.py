"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 60,000 and 10,000 grey images, 28 x 28, of ten kinds of clothes."""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from dna_ray.errors import ArtifactError, TaskError
from dna_ray.networks.idx import Bytes, read_idx

FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package
VARIABLE = "DNA_RAY_FASHION_MNIST"
PACKAGE = "dataset-fashion-mnist"

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The images for training, or those for tests.

    Attributes:
        pixels: Grey values (n, height, width) uint8.
        labels: (n,) uint8, from 0.
    """

    pixels: Bytes
    labels: Bytes


def folder() -> Path:
    """Where the four files are: `DNA_RAY_FASHION_MNIST`, or where Debian's package puts them."""
    return Path(os.environ.get(VARIABLE) or FOLDER).expanduser()


def installed(place: Path | None = None) -> bool:
    """Whether all four files are there."""
    place = place or folder()
    return all(_path(place, name) is not None for names in _FILES.values() for name in names)


def read(name: str, place: Path | None = None) -> Part:
    """Part `train` or `test`; files in its format with other images, such as Kuzushiji-MNIST, are as good.

    Raises:
        TaskError: They are not installed; names the line that installs them.
        ArtifactError: A file is damaged, or images and labels do not belong together.
    """
    return _read(name, place or folder())


def fingerprint(place: Path | None = None) -> str:
    """sha256 over pixels and labels of both parts, in hex.

    Raises:
        TaskError, ArtifactError: As `read`.
    """
    return _fingerprint(place or folder())


@lru_cache(maxsize=2)
def _fingerprint(place: Path) -> str:
    digest = hashlib.sha256()
    for name in _FILES:
        part = _read(name, place)
        digest.update(np.array(part.pixels.shape, dtype=">u4").tobytes())
        digest.update(part.pixels.data)
        digest.update(part.labels.data)
    return digest.hexdigest()


@lru_cache(maxsize=4)
def _read(name: str, place: Path) -> Part:
    paths = [_path(place, file) for file in _FILES[name]]
    if paths[0] is None or paths[1] is None:
        raise TaskError(
            f"Fashion-MNIST: not in {place}; run: apt-get install {PACKAGE} (or name a folder of its files: {VARIABLE})"
        )
    pixels, labels = read_idx(paths[0], axes=3), read_idx(paths[1], axes=1)
    if len(pixels) != len(labels):
        raise ArtifactError(f"{paths[0]}: {len(pixels):,} images, but {len(labels):,} labels; install them again")
    return Part(pixels, labels)


def _path(place: Path, name: str) -> Path | None:
    return next((path for path in (place / f"{name}.gz", place / name) if path.is_file()), None)
