"""What is seen while a verb works: bars on a terminal, a line every 10 s without one, nothing when quiet."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import click

from dna_ray.cli.interrupt import Interrupt
from dna_ray.cli.output import Output
from dna_ray.cli.tally import Tally, Whole

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

    from dna_ray.verbs.progress import Stage

EVERY = 10.0  # seconds between two lines without a terminal
BRIEF = 1.0  # seconds; a shorter stage that counts nothing is not worth a line
REDRAW = 0.1  # seconds between two updates of a bar: a fast loop must not wait for its picture


class Screen(Protocol):
    """Where progress is drawn."""

    def open(self) -> None: ...

    def close(self) -> None:
        """May come twice."""

    def draw(self, stage: Tally, whole: float | None) -> None:
        """A stage has begun or moved."""

    def finish(self) -> None:
        """The stage has ended."""

    def note(self, text: str) -> None: ...


class Display:
    """The `Progress` of a verb that the command line runs.

    Attributes:
        run: The run folder, as soon as the verb has opened it.
    """

    def __init__(self, screen: Screen, interrupt: Interrupt) -> None:
        self.run: Path | None = None
        self._screen = screen
        self._interrupt = interrupt
        self._whole = Whole()

    @property
    def stopping(self) -> bool:
        return self._interrupt.received is not None

    def expect(self, stages: Mapping[str, float]) -> None:
        self._whole.expect(stages)

    @contextmanager
    def stage(self, name: str, *, total: float | None = None, unit: str = "step", done: float = 0) -> Iterator["Stage"]:
        self._interrupt.arm()
        tally = Tally(name, total, unit, started=time.monotonic(), done=done, before=done)
        self._screen.draw(tally, self._whole.share(tally))
        yield _Drawn(tally, lambda: self._screen.draw(tally, self._whole.share(tally)))
        self._whole.finish(name)
        if tally.done or time.monotonic() - tally.started > BRIEF:
            self._screen.note(finished(tally))
        self._screen.finish()

    def opened(self, run: Path) -> None:
        self.run = run
        self.note(f"run folder: {run}")

    def note(self, text: str) -> None:
        self._screen.note(text)

    def close(self) -> None:
        """Draws no more; notes still come."""
        self._screen.close()

    def __enter__(self) -> Self:
        self._screen.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def display(output: Output, interrupt: Interrupt) -> Display:
    """The display that fits: where stderr goes, and what was asked for."""
    if output.quiet:
        screen: Screen = Nothing()
    elif sys.stderr.isatty():
        screen = Terminal(output.console(stderr=True), title=output.verb)
    else:
        screen = Lines(lambda line: click.echo(line, err=True), title=output.verb)
    return Display(screen, interrupt)


class _Drawn:
    """A stage that redraws itself, but not at every step."""

    def __init__(self, tally: Tally, draw: Callable[[], None]) -> None:
        self._tally = tally
        self._draw = draw
        self._next = 0.0

    def advance(self, n: float = 1, **figures: float) -> None:
        self._tally.advance(n, **figures)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + REDRAW
            self._draw()


class Nothing:
    """Shows nothing."""

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def draw(self, stage: Tally, whole: float | None) -> None:
        pass

    def finish(self) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Lines:
    """A line for each note, each finished stage, and each `every` seconds in between; stands still for nobody."""

    def __init__(self, write: Callable[[str], None], *, title: str, every: float = EVERY) -> None:
        self._write = write
        self._title = title
        self._every = every
        self._started = time.monotonic()
        self._closed = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._stage: Tally | None = None
        self._share: float | None = None

    def open(self) -> None:
        self._ticker.start()

    def close(self) -> None:
        self._closed.set()
        self._ticker.join()

    def draw(self, stage: Tally, whole: float | None) -> None:
        self._stage, self._share = stage, whole

    def finish(self) -> None:
        self._stage = None

    def note(self, text: str) -> None:
        self._write(f"[{time.monotonic() - self._started:4.0f} s] {text}")

    def _tick(self) -> None:
        while not self._closed.wait(self._every):
            stage = self._stage
            whole = f", {self._share:.0%} of the whole" if self._share is not None else ""
            self.note(running(stage) + whole if stage else f"{self._title}: at work")


class Terminal:
    """A bar for the whole, one for the stage with throughput and time left, and a line of figures, the best beside."""

    def __init__(self, console: "Console", *, title: str) -> None:
        from rich.console import Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.text import Text

        self._bars: Bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}", markup=False),
            console=console,
        )
        self._figures = Text(style="dim", no_wrap=True, overflow="ellipsis")
        self._live = Live(
            Group(self._bars, self._figures),
            console=console,
            transient=True,
            redirect_stdout=False,  # stdout is for data, and often goes elsewhere
        )
        self._whole = self._bars.add_task(title, total=None, said="")
        self._task = self._bars.add_task("starting", total=None, said="")
        self._stage: Tally | None = None

    def open(self) -> None:
        self._live.start(refresh=True)  # the first sign of life, before anything is imported

    def close(self) -> None:
        self._live.stop()

    def draw(self, stage: Tally, whole: float | None) -> None:
        if stage is not self._stage:
            self._stage = stage
            self._bars.reset(self._task, description=stage.name)
        self._bars.update(self._task, total=stage.total, completed=stage.done, said=_pace(stage))
        self._bars.update(self._whole, total=None if whole is None else 1.0, completed=whole or 0.0)
        self._figures.plain = f"  {stage.figures()}"

    def finish(self) -> None:
        self._stage = None
        self._bars.reset(self._task, description="going on", total=None, said="")
        self._figures.plain = ""

    def note(self, text: str) -> None:
        self._live.console.print(text, style="dim", soft_wrap=True)


def running(stage: Tally) -> str:
    """`train: 120/500 steps, 31 steps/s, 12 s left, loss 0.02`."""
    said = ", ".join(part for part in (_pace(stage), stage.figures()) if part)
    return f"{stage.name}: {said}" if said else stage.name


def finished(stage: Tally) -> str:
    """`train done: 500/500 steps, 16.1 s, loss 0.02`."""
    parts = (stage.count(), f"{time.monotonic() - stage.started:.1f} s", stage.figures())
    return f"{stage.name} done: {', '.join(part for part in parts if part)}"


def _pace(stage: Tally) -> str:
    """How much, how fast, and how long still."""
    from dna_ray.verbs.result import duration

    now = time.monotonic()
    left, rate = stage.seconds_left(now), stage.rate(now)
    parts = (
        stage.count(),
        f"{rate:.3g} {stage.unit}s/s" if rate else "",
        f"{duration(left)} left" if left is not None else "",
    )
    return ", ".join(part for part in parts if part)
