"""The frame around every verb: failures, signals, streams."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from dna_ray.cli.output import Output
from dna_ray.cli.progress import Display
from dna_ray.cli.verb import verb
from dna_ray.errors import DnaRayError


class Shown:
    """A result of a verb."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def to_json(self) -> dict[str, Any]:
        return self.values

    def __rich__(self) -> str:
        return f"shown {self.values}"


def call(work: Any, *arguments: str) -> Result:
    """Runs `work` as the verb `try` of a command line of its own."""

    @click.group()
    def group() -> None:
        pass

    def try_it(output: Output, progress: Display) -> int | None:
        return work(output, progress)

    verb(group)(try_it)
    return CliRunner().invoke(group, ["try-it", *arguments], catch_exceptions=False)


def raising(error: BaseException) -> Any:
    def work(output: Output, progress: Display) -> None:
        raise error

    return work


def subclasses(parent: type[DnaRayError]) -> Iterator[type[DnaRayError]]:
    for child in parent.__subclasses__():
        yield child
        yield from subclasses(child)


@pytest.mark.parametrize("kind", list(subclasses(DnaRayError)), ids=lambda kind: kind.__name__)
def test_an_error_that_is_the_users_is_one_line_and_its_exit_code(kind: type[DnaRayError]):
    done = call(raising(kind("a.b: is\n  wrong; mend it")), "-q")
    assert done.exit_code == kind.exit_code != 1
    assert done.stderr == "dna-ray: error: a.b: is wrong; mend it\n"
    assert done.stdout == ""


class OutOfMemoryError(RuntimeError):
    """Called as torch calls its own."""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError(), 8, "out of memory"),
        (OutOfMemoryError("CUDA out of memory"), 8, "CUDA out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 8, "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), 6, "/a/b: no space left"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/a/b"), 6, "no space left"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), 3, "/a/b: Permission denied"),
        (OSError(errno.EROFS, "Read-only file system", "/a/b"), 3, "/a/b: Read-only"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_the_system_lacks_has_its_exit_code(error: Exception, code: int, said: str):
    done = call(raising(error), "-q")
    assert done.exit_code == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_bug_is_one_line_and_its_traceback_lies_in_the_run_folder(tmp_path: Path):
    def work(output: Output, progress: Display) -> None:
        progress.opened(tmp_path)
        raise ZeroDivisionError("by\nzero")

    done = call(work, "-q")
    (saved,) = tmp_path.iterdir()
    assert done.exit_code == 1
    assert done.stderr == f"dna-ray: error: bug: ZeroDivisionError: by zero (please report it, with {saved})\n"
    assert "in work" in saved.read_text()


def test_a_bug_before_there_is_a_run_leaves_its_traceback_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = call(raising(KeyError("x")), "-q")
    (saved,) = tmp_path.iterdir()
    assert str(saved) in done.stderr


def test_debug_shows_the_traceback_of_any_failure():
    done = call(raising(DnaRayError("no")), "-q", "--debug")
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.endswith("dna-ray: error: no\n")


def test_a_failure_under_json_is_one_object():
    done = call(raising(MemoryError("x")), "-q", "--json")
    told = json.loads(done.stdout)
    assert told["schema"] == 1
    assert told["verb"] == "try-it"
    assert told["error"] | {"message": ""} == {"type": "MemoryError", "message": "", "exit_code": 8}


def test_a_result_is_an_object_of_json_without_nan():
    def work(output: Output, progress: Display) -> None:
        output.show(Shown(a=float("nan"), b=[float("inf"), 1.5], c={"d": (1, None)}, e="ü"))

    done = call(work, "--json", "-q")
    assert json.loads(done.stdout) == {
        "schema": 1,
        "verb": "try-it",
        "a": None,
        "b": [None, 1.5],
        "c": {"d": [1, None]},
        "e": "ü",
    }


def test_data_goes_to_stdout_and_everything_else_to_stderr():
    def work(output: Output, progress: Display) -> int:
        progress.note("noted")
        output.show(Shown(a=1))
        return 5

    done = call(work)
    assert done.exit_code == 5
    assert done.stdout == "shown {'a': 1}\n"
    assert re.fullmatch(r"\[ +0 s\] noted\n", done.stderr)


def test_there_is_no_colour_without_a_terminal():
    def work(output: Output, progress: Display) -> None:
        from rich.text import Text

        output.console().print(Text("red", style="red"))

    assert call(work).stdout == "red\n"


def test_a_warning_is_a_line_and_those_for_developers_need_verbose():
    def work(output: Output, progress: Display) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("look\nhere", UserWarning, stacklevel=2)
            warnings.warn("soon gone", DeprecationWarning, stacklevel=2)

    assert call(work, "-q").stderr == "dna-ray: warning: look here\n"
    assert "soon gone" in call(work, "-q", "-v").stderr


SCRIPT = """
import sys, time
from pathlib import Path
import click
from dna_ray.cli.verb import verb

@click.group()
def group(): pass

@verb(group, patient={patient})
def work(output, progress):
    progress.opened(Path("runs/x"))
    print("ready", flush=True)
    for _ in range(600):
        time.sleep(0.05)
        if progress.stopping and {polls}:
            print("saved", flush=True)
            raise KeyboardInterrupt

group(prog_name="dna-ray")
"""


def interrupted(*signals: int, patient: bool = True, polls: bool = True) -> tuple[int, str, list[str]]:
    """Sends signals to a verb at work; returns its exit code, and what it said on both streams."""
    script = SCRIPT.format(patient=patient, polls=polls)
    with subprocess.Popen(
        [sys.executable, "-c", script, "work"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in signals:
            os.kill(process.pid, number)
            time.sleep(0.2)  # two signals of one kind that come at once are one
        out, err = process.communicate(timeout=30)
    return process.returncode, out, err.splitlines()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_lets_a_patient_verb_save_and_the_last_line_goes_on(number: int, code: int):
    returned, out, err = interrupted(number)
    assert returned == code
    assert out == "saved\n"
    assert err[-1] == "dna-ray: stopped; go on with: dna-ray resume runs/x"
    assert any("stopping after this step" in line for line in err)


def test_the_second_signal_stops_at_once():
    returned, out, err = interrupted(signal.SIGINT, signal.SIGINT, polls=False)
    assert returned == 130
    assert out == ""
    assert err[-1] == "dna-ray: stopped; go on with: dna-ray resume runs/x"


def test_a_verb_that_is_not_patient_stops_at_the_first():
    assert interrupted(signal.SIGINT, patient=False, polls=False)[0] == 130
    assert interrupted(signal.SIGTERM, patient=False, polls=False)[0] == 143


def test_a_reader_that_goes_away_is_no_failure():
    script = "from dna_ray.cli import main; main(['mine', 'x', '--print-config'], prog_name='dna-ray')"
    done = subprocess.run(["sh", "-c", f'"{sys.executable}" -c "{script}" | true'], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
