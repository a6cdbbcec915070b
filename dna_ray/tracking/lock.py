"""One process at a time: an advisory lock on a file, which ends with the process that holds it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dna_ray.errors import LockedError

_PAUSE = 0.02  # seconds between two tries
_GRACE = 0.2  # seconds; `holder` holds a lock for an instant, which must not look like another process at work


def acquire(path: Path, *, what: str, wait: float = _GRACE) -> int:
    """Locks the file `path`, made if missing, and returns its descriptor; closing that releases the lock.

    Args:
        path: Stays where it is after the lock: removing it would let two processes hold two files of one name.
        what: What the lock protects, for the message.
        wait: Seconds to wait for another holder.

    Raises:
        LockedError: Another process holds it, named by its pid.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + wait
    while not _locked(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            pid = _read_pid(descriptor)
            os.close(descriptor)
            raise LockedError(
                f"{what}: {f'process {pid}' if pid else 'another process'} is at work on it; "
                "wait until it ends, or stop it, then repeat the command"
            )
        time.sleep(_PAUSE)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def holder(path: Path) -> int | None:
    """The pid that holds the lock, or None where nobody does; -1 for a holder that has not written its pid yet."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return None if _locked(descriptor, fcntl.LOCK_SH) else _read_pid(descriptor) or -1
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, what: str, wait: float = _GRACE) -> Iterator[None]:
    """`acquire` for the length of a block."""
    descriptor = acquire(path, what=what, wait=wait)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode("ascii", errors="replace").strip()
    return int(text) if text.isdigit() else None
