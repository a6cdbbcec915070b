"""One thing that was looked at, whether it is well, and what to do if it is not."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dna_ray.errors import DnaRayError, InputError, ResourceError, SpaceError, UnreachableError
from dna_ray.verbs.result import size

GIB = 2**30
_ERRORS: dict[int, type[DnaRayError]] = {
    error.exit_code: error for error in (InputError, SpaceError, ResourceError, UnreachableError)
}

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        state: `warn` where it works but slowly or in part, `fail` where a run cannot work or is not safe.
        found: What is there.
        fix: What to do, empty when ok.
        exit_code: Of `dna-ray doctor` if this is the first that fails.
    """

    name: str
    state: State
    found: str
    fix: str = ""
    exit_code: int = 8

    def line(self) -> str:
        return f"{self.name}: {self.found}" + (f"; {self.fix}" if self.fix else "")


def failing(checks: Iterable[Check]) -> list[Check]:
    return [check for check in checks if check.state == "fail"]


def as_error(faults: list[Check]) -> DnaRayError:
    """The faults as the error of the first of them."""
    return _ERRORS[faults[0].exit_code](" | ".join(fault.line() for fault in faults))


def disk_check(name: str, place: Path | str, free: int, fix: str) -> Check:
    """Is there room for runs?"""
    found = f"{size(free)} free at {place}"
    if free < GIB:
        return Check(name, "fail", found, fix, exit_code=6)
    if free < 5 * GIB:
        return Check(name, "warn", found, "enough for small networks only")
    return Check(name, "ok", found)
