"""What a word on the command line means: a run, a DNA, or a network."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dna_ray.errors import ArtifactError, InputError
from dna_ray.verbs import runs

HEADER_LIMIT = 2**26  # bytes; a longer header is not looked at


@dataclass(frozen=True, slots=True)
class Subject:
    """What was named.

    Attributes:
        sort: Decided by what lies there, not by how it is called.
        name: As it was given.
        path: Where it lies; None for a network that is not a path.
    """

    sort: Literal["run", "dna", "network"]
    name: str
    path: Path | None


def locate(name: str, *, home: Path) -> Subject:
    """Looks at paths first, then at the runs in `home`; whatever is neither is taken for the name of a network."""
    path = Path(name)
    if path.exists():
        if runs.is_run(path):
            return Subject("run", name, path)
        return Subject("dna" if is_dna(path) else "network", name, path)
    try:
        return Subject("run", name, runs.find(name, home=home).path)
    except InputError:
        return Subject("network", name, None)


def dna_of(name: str, *, home: Path) -> Path:
    """The DNA that `name` means: its file, its folder, or the run that made it.

    Raises:
        InputError: It means no DNA.
        ArtifactError: The run has made none, or it is gone.
    """
    subject = locate(name, home=home)
    if subject.sort == "run" and subject.path is not None:
        return _newest(subject.path)
    if subject.sort == "dna" and subject.path is not None:
        return subject.path
    if subject.path is None:
        raise InputError(f"{name}: no such file, folder or run; give a DNA folder, its file, or a run in {home}")
    raise InputError(f"{name}: is no DNA; give a DNA folder, its file `model.safetensors`, or a run")


def is_dna(path: Path) -> bool:
    """Whether a file or folder presents itself as DNA; it may still be damaged.

    A file of nothing but bytes counts too: no network is, and a DNA whose metadata was damaged must not pass for one.
    """
    if path.is_dir():
        try:
            config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            config = None
        return (isinstance(config, dict) and config.get("model_type") == "dna") or is_dna(path / "model.safetensors")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= HEADER_LIMIT else {}
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(header, dict):
        return False
    metadata, *tensors = header.pop("__metadata__", None), *header.values()
    only_bytes = bool(tensors) and all(isinstance(each, dict) and each.get("dtype") == "U8" for each in tensors)
    return only_bytes or (isinstance(metadata, dict) and "dna" in metadata)


def _newest(run: Path) -> Path:
    from dna_ray.tracking import journal

    made = [event for event in journal.read(run) if event["event"] == "dna"]
    if not made:
        raise ArtifactError(f"{run}: the run has made no DNA so far; continue it with `dna-ray resume {run}`")
    path = run / made[-1]["folder"]  # an absolute folder of `--out` stays as it is
    if not path.exists():
        raise ArtifactError(f"{path}: the DNA of this run is gone; repeat `dna-ray run {run}/recipe.yaml --fresh`")
    return path
