"""Ctrl-C: the first asks for a stop after the current step, the second stops at once. SIGTERM counts alike."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTICE = b"\ndna-ray: stopping after this step, and saving; once more stops at once\n"


class Interrupt:
    """Listens to signals while its context lasts.

    Attributes:
        received: The last signal that came, or None.
    """

    def __init__(self, *, patient: bool) -> None:
        """With `patient` the first signal only asks; otherwise every signal raises `KeyboardInterrupt`."""
        self.received: int | None = None
        self._patient = patient
        self._before: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        return 128 + (self.received or signal.SIGINT)

    def arm(self) -> None:
        """Listens (again): Ray puts its own handlers in place when it starts."""
        if threading.current_thread() is threading.main_thread():
            for each in SIGNALS:
                before = signal.signal(each, self._receive)
                if before != self._receive:
                    self._before.setdefault(each, before)

    def __enter__(self) -> Self:
        self.arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for each, before in self._before.items():
            signal.signal(each, before)
        self._before.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        first = self.received is None
        self.received = number
        if not self._patient or not first:
            raise KeyboardInterrupt
        os.write(2, NOTICE)  # the only way of printing that is safe in a handler
