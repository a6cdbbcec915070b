"""What there is to say about a DNA, or about several, as plain values: the arguments of figures, pages and cards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dna_ray.mining.measures import Measures
from dna_ray.mining.structure import Structure
from dna_ray.tasks.score import Score

Point = Mapping[str, float]
AnyScore = Score | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A mined network, measured.

    Attributes:
        network: What the user called it.
        kind: Kind of DNA.
        measures: Of its weights and its file.
        story: What happened on the way, a line each.
        structure: What its parts save; None where the kind has no such parts.
        recipe: How it was mined: what the YAML of the run says.
        fingerprint: Of the network, in hex.
        family: Of its architecture, as the anatomy names it.
        curve: Points of training in the order they were written: `step`, `time` (ms), `loss`, maybe `r2`. Where a
            resumed run repeats a step, the later point counts.
        score: How the rebuilt network did; a `Score`, or its `to_json`.
        unscored: Why there is no score.
        seconds: Time that mining took.
        base_model: The network's name on the Hugging Face hub, if it is from there.
        needs_us: Whether the network, rebuilt, opens with this package only.
        dna: Folder of the DNA as the reader of the page finds it, relative to the page.
    """

    network: str
    kind: str
    measures: Measures
    story: tuple[str, ...] = ()
    structure: Structure | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    family: str = ""
    curve: Sequence[Point] = ()
    score: AnyScore | None = None
    unscored: str = "not asked for"
    seconds: float | None = None
    base_model: str | None = None
    needs_us: bool = False
    dna: str = "dna"

    @cached_property
    def steps(self) -> tuple[Point, ...]:
        """The curve in the order of steps, each step once."""
        latest = {point["step"]: point for point in self.curve}
        return tuple(latest[step] for step in sorted(latest))


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One row of a comparison.

    Attributes:
        kind: Kind of DNA, or what else made the file.
        asked: The ratio that a sweep asked for.
        seconds: Time that mining took.
    """

    kind: str
    asked: float | None = None
    measures: Measures
    score: AnyScore | None = None
    seconds: float | None = None


def best_first(rows: Sequence[Compared]) -> list[Compared]:
    """By R2 pooled over the matrices."""
    return sorted(rows, key=lambda row: row.measures.achieved.noise)


def score_json(score: AnyScore) -> Mapping[str, Any]:
    """The JSON values of a score, in whichever form it came."""
    return score.to_json() if isinstance(score, Score) else score


def score_metrics(score: AnyScore) -> dict[str, tuple[float, float | None]]:
    """Name -> (value, standard error), the most telling one first."""
    metrics = score_json(score)["metrics"]
    return {name: (metric["value"], metric.get("stderr")) for name, metric in metrics.items()}


def first_metrics(rows: Sequence[Compared]) -> tuple[str | None, list[float | None]]:
    """Name of the most telling metric, None where nothing was scored, and what each row has of it."""
    metrics = [{} if row.score is None else score_metrics(row.score) for row in rows]
    name = next((next(iter(each)) for each in metrics if each), None)
    return name, [each[name][0] if name is not None and name in each else None for each in metrics]
