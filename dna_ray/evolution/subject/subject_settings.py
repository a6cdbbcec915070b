"""What agents are judged by, as data. Imports no torch: the command line shows its defaults from here."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dna_ray.errors import RecipeError
from dna_ray.models.precision import PRECISIONS
from dna_ray.tasks.config import TaskSettings

SIGNAL_NAMES = ("kl", "loss", "cosine")
_PATHS = ("texts", "images")

# The splits of the data. They are disjoint, and the head is fitted on a fifth, `training`. Finalists are ranked on one
# that nothing else of a search reads.
CALIBRATION, SEARCH, FINALS, TEST = "calibration", "validation", "healing", "test"


@dataclass(frozen=True, kw_only=True, slots=True)
class SubjectSettings:
    """What agents are judged by, and on how much data.

    Attributes:
        signal: What the search minimises: `kl`, `loss` or `cosine`; or `module:function`, a task of the user's own.
        calibration: Largest number of examples that the statistics of inputs are of.
        minibatch: Largest number of examples in a minibatch of the search split.
        rungs: Minibatches that an agent has seen after each round of a race, rising.
        exclude: Names of tensors that stay dense; `*` stands for anything.
        precision: Of the products in races, `float32` or `bfloat16`, as in `EvolveConfig`.
        draw: Which examples are drawn to calibrate, search and rank finalists on; None: those of the seed of `task`.
            The test split and the head are the same for every draw.
        timeout: Seconds after which a call of a task of the user's own has failed; None: never. What it decides
            depends on how fast the machine is, so it is no part of any promise to repeat.
        task: The texts, and how networks are run; `limit` is the largest number of examples of the test split.
    """

    signal: str = "kl"
    calibration: int = 128
    minibatch: int = 32
    rungs: tuple[int, ...] = (1, 4, 16)
    exclude: tuple[str, ...] = ()
    precision: str = "float32"
    draw: int | None = None
    timeout: float | None = None
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
        if self.timeout is not None and not self.timeout > 0:
            raise RecipeError(f"timeout is {self.timeout}; give seconds, more than 0")
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
        for name in _PATHS:
            values["task"][name] = None if values["task"][name] is None else str(values["task"][name])
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "SubjectSettings":
        """The inverse of `to_json`."""
        task = dict(values["task"])
        task |= {name: None if task[name] is None else Path(task[name]) for name in _PATHS}
        tuples = {name: tuple(values[name]) for name in ("rungs", "exclude")}
        return cls(**(values | tuples | {"task": TaskSettings(**task)}))
