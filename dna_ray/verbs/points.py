"""Points of a curve on their way to the journal."""

import time
from collections.abc import Callable
from typing import Any

Tell = Callable[..., None]
_FLUSH_SECONDS = 1.0  # between two batches


class Points:
    """Gathers points into batches: the journal is synced to disk once for each.

    Attributes:
        told: All points so far.
    """

    def __init__(self, tell: Tell) -> None:
        self.told: list[dict[str, float]] = []
        self._tell = tell
        self._waiting: list[dict[str, float]] = []
        self._flushed = time.monotonic()

    def add(self, point: dict[str, float]) -> None:
        self._waiting.append(point)

    @property
    def due(self) -> bool:
        """Whether it is time for another batch."""
        return time.monotonic() - self._flushed >= _FLUSH_SECONDS

    def flush(self, *events: dict[str, Any]) -> None:
        """Writes what waits, and these events after it."""
        batch = [{"event": "steps", "points": self._waiting}] if self._waiting else []
        self._tell(*batch, *events)
        self.told += self._waiting
        self._waiting, self._flushed = [], time.monotonic()
