"""The contract of what a verb returns: a frozen dataclass that is shown in two ways."""

from typing import Any, Protocol

from rich.console import Group, RenderableType
from rich.text import Text


class Result(Protocol):
    def to_json(self) -> dict[str, Any]:
        """JSON values; keys keep their meaning within a schema number of the command line."""

    def __rich__(self) -> RenderableType:
        """What a terminal shows."""


def plain(text: str) -> RenderableType:
    """Text whose lines are never broken: paths, commands and trees stay whole, to be copied."""
    return Group(Text(text, no_wrap=True, overflow="ignore"))


def count(number: int, what: str) -> str:
    """`1 layer`, `6 layers`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def size(count: float) -> str:
    """Bytes for people, in powers of 1024: `4.0 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds for people: `41 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
