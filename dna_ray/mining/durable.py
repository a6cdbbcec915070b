"""A final name means a complete file, and a complete folder: written under another name, synced, then renamed."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from dna_ray.errors import InputError, SpaceError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_file(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Writes `parts` one after the other to `path`, replacing what is there; on any failure nothing changes.

    Raises:
        SpaceError: No space is left.
        InputError: The folder cannot be written to.
    """
    with new_file(path) as partial, partial.open("wb") as file:
        file.writelines(parts)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its name when the block ends well; to be opened by its path.

    Raises:
        SpaceError: No space is left.
        InputError: The folder cannot be written to.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            os.fchmod(handle, 0o644)
            yield Path(name)
            os.fsync(handle)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
        sync_folder(path.parent)


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its name when the block ends well; a folder there is replaced.

    Raises:
        SpaceError: No space is left.
        InputError: The folder above cannot be written to.
    """
    with _explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            temporary.chmod(0o755)
            filled, replaced = temporary / "new", temporary / "old"
            filled.mkdir()
            yield filled
            sync_folder(filled)
            if folder.exists():
                os.replace(folder, replaced)
            os.replace(filled, folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise SpaceError(f"{path}: no space left; free some and run the same command again") from error
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error
