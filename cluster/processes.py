"""Processes that a script starts on this machine, and ends by their ids, with whatever they have started themselves."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

HOST = "127.0.0.1"
_STOP = 20.0  # seconds for a process to end by itself
_POLL = 0.1
_PORTS = range(2000, 10_000)  # below those that Ray and the system give away


class Running:
    """A process in a session of its own, by which all that it starts is known, too.

    Args:
        stop: The signal that asks it to end.

    Attributes:
        pid: Of the process, its group and its session.
    """

    def __init__(
        self, command: Sequence[object], *, log: Path, environment: Mapping[str, str] | None, stop: signal.Signals
    ) -> None:
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                [*map(str, command)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self.pid, self._stop, self._ended = self._process.pid, stop, False

    @property
    def code(self) -> int | None:
        """What it ended with."""
        return self._process.poll()

    def family(self) -> list[psutil.Process]:
        """The process, all below it, and all of its session: who has lost its parent still has that."""
        found: set[psutil.Process] = set()
        with contextlib.suppress(psutil.NoSuchProcess):
            leader = psutil.Process(self.pid)
            found = {leader, *leader.children(recursive=True)}
        for each in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(each.pid) == self.pid:
                    found.add(each)
        return list(found)

    def end(self, *, kill: bool = False) -> None:
        """Asks the process to end, unless it is to be killed, and kills what is then left of its family."""
        if self._ended:  # its id may be another's by now
            return
        family = self.family()
        self._process.send_signal(signal.SIGKILL if kill else self._stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP)
        for each in {*family, *self.family()}:
            with contextlib.suppress(psutil.Error):
                each.kill()
        self._process.wait()
        self._ended = True
        wait_for(lambda: not any(map(_alive, family)), f"what process {self.pid} had started to be gone")


@contextlib.contextmanager
def running(
    command: Sequence[object],
    *,
    log: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[Running]:
    """A process, for the length of a block that begins when it is `ready`.

    Args:
        log: Receives what it says, after what is there.
        stop: Asks it to end.

    Raises:
        RuntimeError: It ended instead, or took too long.
    """
    process = Running(command, log=log, environment=environment, stop=stop)
    try:
        wait_for(lambda: process.code is not None or ready(), f"{log.stem} to start; see {log}")
        if process.code is not None:
            last = (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
            raise RuntimeError(f"{log.stem} ended with code {process.code}; the last that it said: {last}")
        yield process
    finally:
        process.end()


def wait_for(condition: Callable[[], object], what: str, *, seconds: float = 120.0) -> None:
    """Returns as soon as `condition` holds.

    Raises:
        RuntimeError: It did not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(_POLL)


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, drawn at random: two processes that ask at the same time get different ones."""
    found: set[int] = set()
    while len(found) < count:
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.bind((HOST, port := random.SystemRandom().choice(_PORTS)))
            found.add(port)
    return list(found)


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
