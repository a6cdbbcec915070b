"""Errors raised on purpose, each with the exit code of `dna-ray`.

DnaRayError                what the user can do something about
├── InputError         3   an input or a recipe is invalid
│   ├── NetworkError       a network is missing, unreadable or of an unusable shape
│   ├── FieldError         a tensor cannot be a field: not finite, empty, not floating-point
│   ├── RecipeError        a recipe or option does not fit
│   ├── BudgetError        no file of this kind is that small
│   ├── TaskError          a task or its data is missing or does not fit the network
│   └── ProgramError       a metric is no program of the metric language
├── QualityError       4   the result misses the quality that was asked for
├── ArtifactError      5   a DNA, tile store or checkpoint is damaged, foreign or from a later version
├── SpaceError         6   no space left
├── LockedError        7   another process works on this run
├── ResourceError      8   not enough memory, processors or workers
├── UnreachableError   9   the cluster or the tracking server does not answer
└── PartialError      10   a part succeeded, the rest did not

Every message is one line: what, where, why, what to do next.
"""

from typing import ClassVar


class DnaRayError(Exception):
    """Base of every error that is the user's to act on; anything else is a bug (exit code 1)."""

    exit_code: ClassVar[int] = 1


class InputError(DnaRayError, ValueError):
    exit_code = 3


class NetworkError(InputError):
    pass


class FieldError(InputError):
    pass


class RecipeError(InputError):
    pass


class BudgetError(InputError):
    """`smallest` is a number of bytes that would do."""

    def __init__(self, message: str, *, smallest: int = 0) -> None:
        super().__init__(message)
        self.smallest = smallest


class TaskError(InputError):
    pass


class ProgramError(InputError):
    pass


class QualityError(DnaRayError):
    exit_code = 4


class ArtifactError(DnaRayError):
    exit_code = 5


class SpaceError(DnaRayError):
    exit_code = 6


class LockedError(DnaRayError):
    exit_code = 7


class ResourceError(DnaRayError):
    exit_code = 8


class UnreachableError(DnaRayError):
    exit_code = 9


class PartialError(DnaRayError):
    exit_code = 10
