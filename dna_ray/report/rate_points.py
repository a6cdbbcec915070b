"""Points of rate and distortion, wherever they come from: kinds of DNA, and yardsticks measured here or elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from typing import Any

from dna_ray.mining.fidelity import Fidelity, gap_db
from dna_ray.report.findings import AnyScore, Compared, score_json, score_metrics

GEOMETRY = "rank_correlation"  # of what tasks measure, what is shown beside the most telling figure
NEAR = 1.1  # times: what was measured elsewhere is a row of a table where a DNA has its size within this


class Origin(Enum):
    """What a point is a point of."""

    DNA = "dna"
    YARDSTICK = "yardstick"
    ELSEWHERE = "measured elsewhere"


@dataclass(frozen=True, kw_only=True, slots=True)
class RatePoint:
    """A file, and how near it comes to the network.

    Attributes:
        name: What made the file, in full.
        label: The same where there is little room; points of one label are one curve.
        asked: The ratio that a sweep asked for; None for what comes in sizes of its own.
        ratio: Bytes of the weights in fp32 / bytes of the file.
        achieved, reference: Over all matrices; the reference is that of row x column variances, at the same bytes.
    """

    name: str
    label: str
    origin: Origin
    asked: float | None = None
    file_bytes: int
    ratio: float
    achieved: Fidelity
    reference: Fidelity
    score: AnyScore | None = None

    @property
    def bits_per_weight(self) -> float:
        """Bits of the whole file / number of matrix weights; 0 without matrices."""
        return 8 * self.file_bytes / self.achieved.weights if self.achieved.weights else 0.0

    @property
    def gap_db(self) -> float:
        return gap_db(self.achieved, self.reference)

    @property
    def metrics(self) -> Mapping[str, tuple[float, float | None]]:
        """Name -> (value, standard error) of the task's figures; empty where it was not judged."""
        return {} if self.score is None else score_metrics(self.score)

    def to_json(self) -> dict[str, Any]:
        figures = {
            "bits_per_weight": self.bits_per_weight,
            "r2": self.achieved.r2,
            "snr_db": self.achieved.snr_db,
            "reference_r2": self.reference.r2,
            "gap_db": self.gap_db,
        }
        return {
            "name": self.name,
            "origin": self.origin.value,
            "asked": self.asked,
            "file_bytes": self.file_bytes,
            "ratio": self.ratio,
            **{name: value if isfinite(value) else None for name, value in figures.items()},
            "score": None if self.score is None else dict(score_json(self.score)),
        }


def rate_point(row: Compared, *, origin: Origin = Origin.DNA, label: str = "") -> RatePoint:
    """What was compared, as a point."""
    measures = row.measures
    return RatePoint(
        name=row.kind,
        label=label or row.kind,
        origin=origin,
        asked=row.asked,
        file_bytes=measures.file_bytes,
        ratio=measures.ratio,
        achieved=measures.achieved,
        reference=measures.reference,
        score=row.score,
    )


def curves(points: Iterable[RatePoint]) -> dict[str, list[RatePoint]]:
    """Label -> its points, smallest file first; labels in the order in which they come."""
    found: dict[str, list[RatePoint]] = {}
    for point in points:
        found.setdefault(point.label, []).append(point)
    return {label: sorted(curve, key=lambda point: point.file_bytes) for label, curve in found.items()}


def by_size(points: Sequence[RatePoint]) -> list[list[RatePoint]]:
    """The rows of a table: the DNA of each ratio that was asked for, best first; then what has sizes of its own.

    What was measured elsewhere has a row where a DNA has about its size; there are many such points.
    """
    dna = [point for point in points if point.origin is Origin.DNA]
    groups = [[point for point in dna if point.asked == asked] for asked in dict.fromkeys(point.asked for point in dna)]
    groups = [sorted(group, key=lambda point: point.achieved.noise) for group in groups]
    near = [
        point
        for point in points
        if point.origin is Origin.ELSEWHERE and any(1 / NEAR < point.ratio / each.ratio < NEAR for each in dna)
    ]
    for others in ([point for point in points if point.origin is Origin.YARDSTICK], near):
        groups.append(sorted(others, key=lambda point: point.ratio))
    return [group for group in groups if group]


def shown_metrics(points: Iterable[RatePoint]) -> list[str]:
    """Names of the figures that a table has room for: the most telling one, and that of the geometry."""
    scored = [point.metrics for point in points if point.metrics]
    first = [next(iter(metrics)) for metrics in scored[:1]]
    return list(dict.fromkeys([*first, *(GEOMETRY for metrics in scored if GEOMETRY in metrics)]))


def remarks(points: Iterable[RatePoint]) -> list[str]:
    """What must be known beside the scores, each once."""
    scores = [score_json(point.score) for point in points if point.score is not None]
    return list(dict.fromkeys(note for score in scores for note in score.get("notes", ())))
