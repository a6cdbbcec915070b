"""How far a stage is, and how far all of them are: the numbers behind the bars."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LOWER_IS_BETTER = frozenset({"loss", "mse"})


@dataclass(slots=True)
class Tally:
    """How far a stage is.

    Attributes:
        started: When it began, on the clock of `time.monotonic`.
        before: Units that an earlier run did; they do not count for the throughput.
    """

    name: str
    total: float | None
    unit: str
    started: float
    done: float = 0
    before: float = 0
    latest: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)

    def advance(self, n: float = 1, **figures: float) -> None:
        self.done += n
        for name, value in figures.items():
            self.latest[name] = value
            better = min if name in LOWER_IS_BETTER else max
            self.best[name] = better(self.best.get(name, value), value)

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    def rate(self, now: float) -> float:
        """Units a second."""
        return (self.done - self.before) / max(now - self.started, 1e-9)

    def seconds_left(self, now: float) -> float | None:
        rate = self.rate(now)
        return max(0.0, self.total - self.done) / rate if self.total and rate > 0 else None

    def count(self) -> str:
        """`120/500 steps`, or `120 steps` where the end is not known."""
        if self.total is None:
            return f"{self.done:.0f} {self.unit}s" if self.done else ""
        return f"{self.done:.0f}/{self.total:.0f} {self.unit}s"

    def figures(self) -> str:
        """`loss 0.02  r2 0.41 (best 0.43)`."""
        parts = []
        for name, value in self.latest.items():
            beaten = name in self.best and self.best[name] != value
            parts.append(f"{name} {value:.4g}" + (f" (best {self.best[name]:.4g})" if beaten else ""))
        return "  ".join(parts)


class Whole:
    """How far all expected stages are, by their shares of the time."""

    def __init__(self) -> None:
        self._shares: dict[str, float] = {}
        self._finished: set[str] = set()

    def expect(self, stages: Mapping[str, float]) -> None:
        """Says what is to come; what was said before is forgotten."""
        self._shares = dict(stages)
        self._finished = set()

    def finish(self, stage: str) -> None:
        self._finished.add(stage)

    def share(self, stage: Tally | None) -> float | None:
        """How much is done, 0 to 1; None where nothing was said of what is to come."""
        if not self._shares:
            return None
        done = sum(share for name, share in self._shares.items() if name in self._finished)
        if stage is not None and stage.name not in self._finished:
            done += self._shares.get(stage.name, 0.0) * stage.share
        return min(1.0, done / (sum(self._shares.values()) or 1.0))
