"""What networks are judged on, and the one judge of them all.

Only the settings are imported with the package; the rest needs torch and comes when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dna_ray.tasks.config import SPLIT_SHARES, TASK_NAMES, TaskSettings
from dna_ray.tasks.score import Measured, Score

if TYPE_CHECKING:
    from dna_ray.tasks.judge import TASKS, default_task, evaluate, why_unmeasured
    from dna_ray.tasks.task import Task

_LATER = {
    "TASKS": "judge",
    "default_task": "judge",
    "evaluate": "judge",
    "why_unmeasured": "judge",
    "Task": "task",
}

__all__ = [
    "SPLIT_SHARES",
    "TASKS",
    "TASK_NAMES",
    "Measured",
    "Score",
    "Task",
    "TaskSettings",
    "default_task",
    "evaluate",
    "why_unmeasured",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
