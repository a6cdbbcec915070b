"""Ends code that is not ours when it takes too long.

By the alarm of the process, so it works for whatever Python does: loops, sleeping, waiting for others. A call into
compiled code that never comes back to Python is not ended by it.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dna_ray.errors import TaskError


class TimeIsUp(BaseException):
    """No `Exception`, so that code which catches all of those does not catch this."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raises `TimeIsUp` in the block when it has taken so long. An alarm that was set before goes on afterwards.

    Raises:
        TaskError: This is not the main thread of the process, the only one that hears the alarm.
    """
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        raise TaskError("a time-out needs the main thread of the process; evaluate there, or leave it out")
    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, _raise)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, left - (time.monotonic() - started)), interval)


def _raise(number: int, frame: FrameType | None) -> None:
    raise TimeIsUp
