"""How a verb tells where it is. A verb only speaks to `Progress`; who called it decides what is drawn."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol


class Stage(Protocol):
    """A part of a verb's work that is counted."""

    def advance(self, n: float = 1, **figures: float) -> None:
        """`n` more units are done. `figures` are the latest of each name, such as `loss` or `r2`."""


class Progress(Protocol):
    """Where the work of a verb is shown, and where it learns that it should stop."""

    @property
    def stopping(self) -> bool:
        """Whether someone asked to stop. A verb that sees it saves its state and raises `KeyboardInterrupt`."""

    def expect(self, stages: Mapping[str, float]) -> None:
        """Announces the stages to come, each with its share of the time, on any scale: it draws the bar for the whole.

        Optional; said again, it replaces what was said before (a resumed run has less to do).
        """

    def stage(
        self, name: str, *, total: float | None = None, unit: str = "step", done: float = 0
    ) -> AbstractContextManager[Stage]:
        """A stage that lasts as long as its context. Stages do not nest.

        Args:
            total: Units that it takes; None: not known.
            unit: A unit in the singular.
            done: Units that an earlier run did already.
        """

    def opened(self, run: Path) -> None:
        """The run folder is known; should the verb fail, its traceback is kept there."""

    def note(self, text: str) -> None:
        """A line for the person who watches."""


class Silent:
    """Shows nothing and never stops: the progress of a verb that Python calls."""

    stopping = False

    def expect(self, stages: Mapping[str, float]) -> None:
        pass

    @contextmanager
    def stage(self, name: str, *, total: float | None = None, unit: str = "step", done: float = 0) -> Iterator[Stage]:
        yield _SilentStage()

    def opened(self, run: Path) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class _SilentStage:
    def advance(self, n: float = 1, **figures: float) -> None:
        pass
