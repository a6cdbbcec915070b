"""How the champion of a search and the known methods did on the test split: the rows of the table that is asked for."""

from dataclasses import dataclass

from dna_ray.evolution.chronicle import Chronicle, Event
from dna_ray.tasks.score import Measured

CHAMPION, DENSE = "champion", "dense"
NORMAL = 1.959964  # standard errors from the middle of a 95 % interval to its ends
_FIGURES = ("accuracy", "cosine")  # the first that was measured is the one to look at


@dataclass(frozen=True, slots=True)
class Method:
    """One network on the test split.

    Attributes:
        name: `dense`, `champion`, or that of the method.
        figures: accuracy, if there are labels, and cosine to the dense network.
        ahead: By how much the champion is ahead of it in the first figure, paired: value, and its 95 % interval.
        skipped: Share of the multiply-adds of the network that zeros save.
        nbytes: Of its layers.
    """

    name: str
    figures: dict[str, Measured]
    ahead: tuple[float, float, float] | None
    skipped: float | None
    nbytes: int | None

    @property
    def value(self) -> float:
        return next(iter(self.figures.values())).value


def methods(search: Chronicle) -> list[Method]:
    """Best first; those of which nothing was measured are left out."""
    found = [_method(score) for score in search.scores]
    return sorted((method for method in found if method.figures), key=lambda method: -method.value)


def interval(measured: Measured) -> tuple[float, float] | None:
    """At 95 %, for a mean of many examples."""
    if measured.stderr is None:
        return None
    half = NORMAL * measured.stderr
    return measured.value - half, measured.value + half


def _method(score: Event) -> Method:
    metrics = score["metrics"]
    figures = {
        name: Measured(metrics[name], metrics.get(f"{name}_stderr"))
        for name in _FIGURES
        if metrics.get(name) is not None
    }
    ahead = [metrics.get(name) for name in ("ahead", "ahead_low", "ahead_high")]
    size = metrics.get("bytes")
    return Method(
        name=score["name"],
        figures=figures,
        ahead=None if None in ahead else (ahead[0], ahead[1], ahead[2]),
        skipped=metrics.get("skipped"),
        nbytes=None if size is None else round(size),
    )
