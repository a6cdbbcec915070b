"""The frame around every verb: the options that all have, and what becomes of failures and signals."""

import functools
import traceback
from collections.abc import Callable
from typing import Any

import click

from dna_ray.cli import failures
from dna_ray.cli.interrupt import Interrupt
from dna_ray.cli.output import Output
from dna_ray.cli.progress import Display, display

Work = Callable[..., int | None]


def _output_options() -> list[click.Parameter]:
    return [
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object instead of text."),
        click.Option(["-q", "--quiet"], is_flag=True, help="Show no progress."),
        click.Option(["-v", "--verbose"], is_flag=True, help="Also show warnings for developers."),
        click.Option(["--no-color"], is_flag=True, help="No colour; NO_COLOR does the same."),
        click.Option(["--debug"], is_flag=True, help="Show the traceback of a failure."),
    ]


def verb(group: click.Group, *, patient: bool = False) -> Callable[[Work], click.Command]:
    """Registers a function as a verb of `group`.

    The function receives an `Output`, a `Display` and its own options. It shows its result, and returns its exit code
    or None for 0.

    Args:
        patient: The first Ctrl-C only asks the verb to stop; for verbs that look at `progress.stopping`.
    """

    def register(work: Work) -> click.Command:
        @functools.wraps(work)
        def command(*, as_json: bool, quiet: bool, verbose: bool, no_color: bool, debug: bool, **options: Any) -> None:
            output = Output(
                verb=_full_name(click.get_current_context()),
                as_json=as_json,
                quiet=quiet,
                verbose=verbose,
                color=not no_color,
                debug=debug,
            )
            code = _guarded(work, options, output, patient=patient)
            if code:
                raise click.exceptions.Exit(code)

        made = group.command()(command)
        made.params.extend(_output_options())  # last in --help, after the verb's own
        return made

    return register


def _full_name(context: click.Context) -> str:
    """`mine`, or `track sync`."""
    names = []
    while context.parent is not None:
        names.append(context.info_name or "")
        context = context.parent
    return " ".join(reversed(names))


def _guarded(work: Work, options: dict[str, Any], output: Output, *, patient: bool) -> int:
    """Runs a verb, and turns whatever it raises into one line and an exit code."""
    with Interrupt(patient=patient) as interrupt, output.warnings():
        drawn = display(output, interrupt)
        try:
            with drawn:
                return work(output, drawn, **options) or 0
        except KeyboardInterrupt:
            _say_stopped(output, drawn)
            return interrupt.exit_code
        except BrokenPipeError:  # the reader of our stdout is gone; click ends quietly
            raise
        except Exception as error:  # the one place: a person should see a line, whatever happens
            return _failed(error, output, drawn)


def _say_stopped(output: Output, drawn: Display) -> None:
    """The last line is the command to go on."""
    if drawn.run is None:
        output.say("stopped")
    else:
        output.say(f"stopped; go on with: dna-ray resume {drawn.run}")


def _failed(error: Exception, output: Output, drawn: Display) -> int:
    code, line = failures.exit_code(error), failures.line(error)
    if output.debug:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    elif code == failures.BUG:
        saved = failures.save_traceback(error, drawn.run)
        line = f"bug: {line} (please report it, with {saved or 'the output of --debug'})"
    if output.as_json:
        output.emit({"error": {"type": type(error).__name__, "message": line, "exit_code": code}})
    output.say(f"error: {line}")
    return code
