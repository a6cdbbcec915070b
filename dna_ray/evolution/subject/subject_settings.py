"""What agents are judged by, as data. Imports no torch: the command line shows its defaults from here."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dna_ray.errors import RecipeError
from dna_ray.tasks.config import TaskSettings

SIGNAL_NAMES = ("kl", "loss", "cosine")
PRECISIONS = ("float32", "bfloat16")

# The splits of the data. They are disjoint, and the head is fitted on a fourth, `training`.
CALIBRATION, SEARCH, TEST = "calibration", "validation", "test"


@dataclass(frozen=True, kw_only=True, slots=True)
class SubjectSettings:
    """What agents are judged by, and on how much data.

    Attributes:
        signal: What the search minimises: `kl`, `loss` or `cosine`; or `module:function`, a task of the user's own.
        calibration: Largest number of examples that the statistics of inputs are of.
        minibatch: Largest number of examples in a minibatch of the search split.
        rungs: Minibatches that an agent has seen after each round of a race, rising.
        exclude: Names of tensors that stay dense; `*` stands for anything.
        precision: `float32`; or `bfloat16`, which is faster on some processors and is not the same on all of them.
        task: The texts, and how networks are run; `limit` is the largest number of examples of the test split.
    """

    signal: str = "kl"
    calibration: int = 128
    minibatch: int = 32
    rungs: tuple[int, ...] = (1, 4, 16)
    exclude: tuple[str, ...] = ()
    precision: str = "float32"
    task: TaskSettings = field(default_factory=TaskSettings)

    def __post_init__(self) -> None:
        if self.signal not in SIGNAL_NAMES and ":" not in self.signal:
            raise RecipeError(
                f"signal {self.signal!r}: unknown; choose one of {', '.join(SIGNAL_NAMES)}, or module:function"
            )
        if self.precision not in PRECISIONS:
            raise RecipeError(f"precision {self.precision!r}: unknown; choose one of {', '.join(PRECISIONS)}")
        if not self.rungs or any(one >= other for one, other in zip((0, *self.rungs), self.rungs, strict=False)):
            raise RecipeError(f"rungs are {self.rungs}; give numbers of minibatches that rise, such as (1, 4, 16)")
        for name in ("calibration", "minibatch"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name} is {getattr(self, name)}; give a number of examples, at least 1")

    @property
    def own(self) -> bool:
        """Whether a function of the user's is the signal."""
        return self.signal not in SIGNAL_NAMES

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        values = asdict(self)
        values["task"]["texts"] = None if self.task.texts is None else str(self.task.texts)
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "SubjectSettings":
        """The inverse of `to_json`."""
        task = dict(values["task"])
        task["texts"] = None if task["texts"] is None else Path(task["texts"])
        tuples = {name: tuple(values[name]) for name in ("rungs", "exclude")}
        return cls(**(values | tuples | {"task": TaskSettings(**task)}))
