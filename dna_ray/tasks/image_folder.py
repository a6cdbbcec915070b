"""Colour images in a folder of class folders, as ImageNet is usually laid out: `FOLDER/n01440764/ILSVRC2012_....JPEG`.

Classes are the names of the folders, sorted. Images are shown as is usual on ImageNet: resized so that the shorter side
is 256/224 of what the network takes, and cut out of the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dna_ray.errors import TaskError

SUFFIXES = frozenset((".jpeg", ".jpg", ".png", ".bmp", ".webp", ".ppm"))
_MARGIN = 256 / 224


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """The images, none of them read so far.

    Attributes:
        root: The folder.
        classes: Names of the class folders, sorted.
        files: (path below the root, class), sorted by path.
    """

    root: Path
    classes: tuple[str, ...]
    files: tuple[tuple[str, int], ...]


def list_images(root: Path) -> ImageFolder:
    """Looks at names alone.

    Raises:
        TaskError: The folder is missing, or does not hold at least two class folders with images.
    """
    try:
        classes = tuple(sorted(each.name for each in root.iterdir() if each.is_dir()))
    except OSError as error:
        raise TaskError(f"{root}: cannot be read ({error.strerror}); give a folder of class folders") from error
    files = tuple(
        (path.relative_to(root).as_posix(), number)
        for number, name in enumerate(classes)
        for path in sorted((root / name).rglob("*"))
        if path.suffix.lower() in SUFFIXES
    )
    if len({number for _, number in files}) < 2:
        raise TaskError(
            f"{root}: {len(files)} images in {len(classes)} class folders; give a folder such as ImageNet's val/, "
            "with a folder of images for each class"
        )
    return ImageFolder(root, classes, files)


def read_images(folder: ImageFolder, chosen: Sequence[int], *, side: int, grey: bool = False) -> tuple[Tensor, Tensor]:
    """Pixels uint8, (n, 3, side, side), or (n, side, side) if grey, and labels (n,) int64 of the chosen files.

    Raises:
        TaskError: A file is no image.
    """
    pixels = [_read(folder.root / folder.files[each][0], side, "L" if grey else "RGB") for each in chosen]
    labels = torch.tensor([folder.files[each][1] for each in chosen], dtype=torch.int64)
    stacked = torch.from_numpy(np.stack(pixels))
    return (stacked if grey else stacked.permute(0, 3, 1, 2).contiguous()), labels


def _read(path: Path, side: int, mode: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = file.convert(mode)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise TaskError(f"{path}: is no image that can be read ({error}); remove or replace it") from error
    scale = round(side * _MARGIN) / min(image.size)
    wide, high = (max(side, round(length * scale)) for length in image.size)
    image = image.resize((wide, high), Image.Resampling.BILINEAR)
    left, top = (wide - side) // 2, (high - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)), dtype=np.uint8)
