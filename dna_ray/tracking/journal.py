"""The journal of a run: append-only JSON lines, the single truth that MLflow, reports and lineage are made from.

A line is one JSON object with `seq`, `time` and `checksum` around the event's own keys. A checksum covers its line and
the checksum before it, so that no line can be altered, dropped or moved unnoticed. Floats that are not finite are
written as Python writes them (NaN, Infinity): a diverged loss is recorded, not hidden.
"""

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dna_ray.errors import ArtifactError, SpaceError
from dna_ray.tracking import lock

FILE = "journal.jsonl"
LOCK = ".lock"

_START = hashlib.sha256(b"dna_ray journal 1").hexdigest()[:32]
_TAIL = len(',"checksum":""}') + len(_START)
_RESERVED = frozenset({"seq", "time", "checksum"})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Journal:
    """The one writer of a run's journal; holds the lock of the run folder until it is closed.

    Opening cuts a last line that was torn by a crash. Not for several threads.

    Attributes:
        past: The entries that were there when the journal was opened.

    Raises:
        LockedError: Another process writes to this run.
        ArtifactError: A line of the journal is damaged.
    """

    def __init__(self, run: Path, *, clock: Callable[[], int] = now) -> None:
        self._clock = clock
        self._path = run / FILE
        run.mkdir(parents=True, exist_ok=True)
        self._lock = lock.acquire(run / LOCK, what=str(run))
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            _sync_folder(run)
            data = self._path.read_bytes()
            self.past, self._size, self._checksum = _parse(data, self._path)
            self._next = len(self.past)
            if self._size < len(data):
                self._cut()
        except BaseException:
            os.close(self._lock)
            raise

    def append(self, *events: Mapping[str, Any]) -> None:
        """Writes `events`, all or none of them, and returns when they are on disk: one fsync for the batch.

        After a crash in the middle of a batch its first lines may be there.

        Raises:
            SpaceError: No space left. The journal is as it was before the call.
        """
        lines, checksum = [], self._checksum
        for number, event in enumerate(events, start=self._next):
            line, checksum = _line(number, self._clock(), event, checksum)
            lines.append(line)
        try:
            _write(self._file, b"".join(lines))
            os.fsync(self._file)
        except OSError as error:
            self._cut()
            if error.errno in _FULL:
                raise SpaceError(
                    f"{self._path}: no space left to record the run; "
                    "free some and repeat the command: it goes on from the last checkpoint"
                ) from error
            raise
        self._size += sum(map(len, lines))
        self._next += len(lines)
        self._checksum = checksum

    def close(self) -> None:
        """Releases the run folder. Everything appended is on disk already."""
        os.close(self._file)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _cut(self) -> None:
        os.ftruncate(self._file, self._size)
        os.fsync(self._file)


def read(run: Path) -> list[dict[str, Any]]:
    """Every entry of a run folder's journal, oldest first.

    Needs no lock: a last line that is not yet complete is left out.

    Raises:
        ArtifactError: There is no journal, or one of its lines is damaged.
    """
    path = run / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{run}: no run folder, its {FILE} cannot be read ({error.strerror})") from error
    return _parse(data, path)[0]


def writer(run: Path) -> int | None:
    """The pid that writes to this run, or None where nobody does."""
    return lock.holder(run / LOCK)


def _line(number: int, time: int, event: Mapping[str, Any], previous: str) -> tuple[bytes, str]:
    if _RESERVED & event.keys() or not isinstance(event.get("event"), str):
        raise ValueError(f"an event needs a key 'event' and none of {sorted(_RESERVED)}, got {sorted(event)}")
    body = json.dumps({"seq": number, "time": time, **event}, separators=(",", ":")).encode()
    checksum = _chain(previous, body)
    return body[:-1] + f',"checksum":"{checksum}"}}\n'.encode(), checksum


def _parse(data: bytes, path: Path) -> tuple[list[dict[str, Any]], int, str]:
    """The entries, the bytes that they take, and the last checksum; what follows the last newline is left out."""
    entries: list[dict[str, Any]] = []
    size, checksum = 0, _START
    while end := data.find(b"\n", size) + 1:
        line = data[size : end - 1]
        checksum = _chain(checksum, line[:-_TAIL] + b"}")
        entry = _entry(line)
        if entry.get("checksum") != checksum or entry.get("seq") != len(entries):
            raise ArtifactError(
                f"{path}: line {len(entries) + 1} is damaged; restore the file from a copy, "
                "or start the run again in another folder"
            )
        entries.append(entry)
        size = end
    return entries, size, checksum


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


def _chain(previous: str, body: bytes) -> str:
    return hashlib.sha256(previous.encode() + body).hexdigest()[:32]


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
