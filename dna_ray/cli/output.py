"""Data on stdout, everything else on stderr; JSON on request, colour on terminals only."""

import json
import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console

    from dna_ray.verbs.result import Result

SCHEMA = 1  # of the JSON objects; goes up when a key changes its meaning or goes away
PIPE_WIDTH = 120  # columns of a table that no terminal limits


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """How one call of a verb speaks.

    Attributes:
        verb: Its name.
        as_json: One JSON object on stdout, instead of text.
        quiet: No progress and no notes.
        verbose: Also the warnings that are for developers.
        color: Whether colour is allowed at all.
        debug: Show the traceback of every failure.
    """

    verb: str
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: bool = True
    debug: bool = False

    def show(self, result: "Result") -> None:
        """Prints what a verb returned."""
        if self.as_json:
            self.emit(result.to_json())
        else:
            self.console().print(result, crop=False)

    def emit(self, values: Mapping[str, Any]) -> None:
        """Prints the one JSON object of this call. Figures that are not finite become null: JSON has no NaN."""
        text = json.dumps({"schema": SCHEMA, "verb": self.verb, **_finite(values)}, ensure_ascii=False, allow_nan=False)
        click.echo(text)

    def say(self, text: str) -> None:
        """A line for the person, on stderr."""
        click.echo(f"dna-ray: {text}", err=True)

    def console(self, *, stderr: bool = False) -> "Console":
        from rich.console import Console

        stream = sys.stderr if stderr else sys.stdout
        return Console(
            stderr=stderr,
            no_color=None if self.color else True,
            width=None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH,
            highlight=False,
            markup=False,
            soft_wrap=False,
        )

    @contextmanager
    def warnings(self) -> Iterator[None]:
        """Shows warnings as lines of ours while it lasts; those for developers only when verbose."""
        with warnings.catch_warnings():
            warnings.showwarning = self._show_warning
            yield

    def _show_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if self.verbose or category is UserWarning:
            self.say(f"warning: {' '.join(str(message).split())}")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
