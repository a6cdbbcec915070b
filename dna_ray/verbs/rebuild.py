"""DNA -> an ordinary Hugging Face folder, which opens without this package."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from torch import Tensor

from dna_ray.mining import KINDS
from dna_ray.mining.dna import Dna, read_dna
from dna_ray.mining.dna import rebuild as rebuild_tensors
from dna_ray.mining.folder import NOTES
from dna_ray.networks import load, opening, save
from dna_ray.networks.load import COMPANIONS
from dna_ray.tracking.store import home as default_home
from dna_ray.verbs.progress import Progress, Silent, Stage
from dna_ray.verbs.result import count, plain, size
from dna_ray.verbs.subject import dna_of


@dataclass(frozen=True, kw_only=True, slots=True)
class RebuildResult:
    """What was rebuilt.

    Attributes:
        dna: The DNA's file.
        out: The folder made.
        network: What the original was called.
        fingerprint: Of the rebuilt network; equal to the original's where every bit came back.
        exact: Whether it is.
        tensors: Number of tensors.
        bytes: Of the tensors in fp32.
        opening: Python that opens the folder; None where it holds no config, so that only the weights can be loaded.
    """

    dna: str
    out: str
    network: str
    fingerprint: str
    exact: bool
    tensors: int
    bytes: int
    opening: str | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __rich__(self) -> RenderableType:
        how = self.opening or "its weights, as there is no config"
        bits = ", every bit as in the original" if self.exact else ""
        what = f"{self.network} rebuilt, {count(self.tensors, 'tensor')}, {size(self.bytes)}{bits}"
        return plain(f"{self.out}: {what}\nopen it: {how}")


def rebuild(dna: str, *, out: Path, progress: Progress | None = None, home: Path | None = None) -> RebuildResult:
    """Rebuilds a DNA, given as its file, its folder, or the run that made it, into the new folder `out`.

    One tensor is in memory at a time. `out` appears when it is complete.

    Raises:
        ArtifactError: The DNA is damaged.
        NetworkError: `out` exists.
        SpaceError: No space is left.
    """
    progress = progress or Silent()
    read = read_dna(dna_of(dna, home=home or default_home()))
    config = inner_config(read.path.parent)
    with progress.stage("rebuild", total=len(read.anatomy.tensors), unit="tensor") as stage:
        save(
            _counted(read, stage),
            out,
            anatomy=read.anatomy,
            config=config,
            files=companions(read.path.parent) if config is not None else [],
        )
    with progress.stage("fingerprint"):
        fingerprint = load(str(out)).fingerprint
    return RebuildResult(
        dna=str(read.path),
        out=str(out),
        network=read.header.network,
        fingerprint=fingerprint,
        exact=fingerprint == read.header.fingerprint,
        tensors=len(read.anatomy.tensors),
        bytes=read.anatomy.fp32_bytes,
        opening=None if config is None else opening(out, config),
    )


def inner_config(folder: Path) -> dict[str, Any] | None:
    """The network's own config, which a DNA folder keeps inside its own; None where there is none."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    inner = values.get("network") if isinstance(values, dict) else None
    return {key: value for key, value in inner.items() if key not in NOTES} if isinstance(inner, dict) else None


def companions(folder: Path) -> list[Path]:
    """Tokenizer and the like, by known names: nothing else of a folder is copied."""
    return [folder / name for name in COMPANIONS if (folder / name).is_file()]


def _counted(dna: Dna, stage: Stage) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in rebuild_tensors(dna, KINDS):
        yield name, tensor
        stage.advance()
