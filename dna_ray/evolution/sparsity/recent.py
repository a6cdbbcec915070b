"""A memory of what was computed last, bounded in bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Value = TypeVar("Value")


class Recent:
    """Keeps what was asked for last, as far as `memory` bytes go; the last one always.

    >>> recent = Recent(8)
    >>> recent.get("one", lambda: 1, nbytes=lambda _: 8), recent.get("one", lambda: 2, nbytes=lambda _: 8)
    (1, 1)
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Hashable, compute: Callable[[], Value], *, nbytes: Callable[[Value], int]) -> Value:
        """What is kept under `key`, computed where it is not; `nbytes` says how large it is."""
        if key not in self._held:
            value = compute()
            self._held[key] = (value, nbytes(value))
            self.nbytes += nbytes(value)
        self._held.move_to_end(key)
        while self.nbytes > self._memory and len(self._held) > 1:
            self.nbytes -= self._held.popitem(last=False)[1][1]
        found: Value = self._held[key][0]
        return found
