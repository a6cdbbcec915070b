"""The contract of a task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from dna_ray.networks import Network
from dna_ray.tasks.config import TaskSettings
from dna_ray.tasks.score import Score

Prepared = TypeVar("Prepared")


@dataclass(frozen=True, slots=True)
class Task(Generic[Prepared]):
    """What networks are judged on. Every subject is held against the original that the task was prepared with.

    Attributes:
        prepare: Reads the data and lets the original answer: what all subjects share, done once.
        score: Judges one network by what was prepared. Changes nothing, so one `prepare` serves many subjects.
    """

    prepare: Callable[[Network, TaskSettings], Prepared]
    score: Callable[[Prepared, Network], Score]
