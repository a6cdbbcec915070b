"""How a network did on a task: figures, each with its standard error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """An estimate from a sample.

    Attributes:
        value: The estimate.
        stderr: Its standard error, of the draw of examples; None where a task does not know it.
    """

    value: float
    stderr: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How one network did on one task.

    Attributes:
        task: Name of the task, or its `module:function`.
        subject: Fingerprint of the network that was judged.
        n: Number of texts or images that it was judged on; 1 for a task that counts none.
        metrics: Name -> figure. The first is the one to look at where there is room for one.
        notes: What a reader must know beside the figures: which data, which head.
    """

    task: str
    subject: str
    n: int
    metrics: Mapping[str, Measured]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The score as JSON values; metrics keep their order."""
        return {
            "task": self.task,
            "subject": self.subject,
            "n": self.n,
            "metrics": {name: {"value": m.value, "stderr": m.stderr} for name, m in self.metrics.items()},
            "notes": list(self.notes),
        }
