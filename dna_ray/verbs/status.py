"""How a run is doing, counted from its journal, so that the counts add up."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from dna_ray.tracking import journal
from dna_ray.tracking.record import fold
from dna_ray.tracking.store import home as default_home
from dna_ray.tracking.synced import all_synced
from dna_ray.verbs import runs
from dna_ray.verbs.result import count, duration, plain, size

Event = Mapping[str, Any]

BEST = {"loss": min, "mse": min, "r2": max, "snr_db": max}


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusResult:
    """How a run is doing.

    Attributes:
        name: Of its folder.
        path: Of its folder.
        verb: That it runs.
        state: `running`, `finished`, `failed`, `stopped`, or `interrupted`: it neither runs nor came to an end.
        reason: Why it ended, as the journal says.
        pid: Of the process at work on it.
        entries: Lines of the journal.
        steps: Different training steps recorded; a resumed run may have recorded some twice.
        last_step: Number of the last step.
        last: Figures of the last step.
        best: Best value of each figure that has a better and a worse.
        seconds: From the first to the last line of the journal.
        checkpoints: Written so far.
        resumed: Times that it went on.
        dna: Each DNA made: id, kind, bytes, folder, metrics.
        scores: Each score taken: task, subject, metrics, and the name of what was judged where a run judges several.
        tracking: For each MLflow that knows it: its URI, entries taken into account, entries behind.
    """

    name: str
    path: str
    verb: str
    state: str
    reason: str
    pid: int | None
    entries: int
    steps: int
    last_step: int | None
    last: dict[str, float]
    best: dict[str, float]
    seconds: float
    checkpoints: int
    resumed: int
    dna: tuple[dict[str, Any], ...]
    scores: tuple[dict[str, Any], ...]
    tracking: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __rich__(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        at_work = f" (process {self.pid})" if self.pid else ""
        table.add_row("run", self.path)
        table.add_row("state", f"{self.state}{at_work}" + (f": {self.reason}" if self.reason else ""))
        table.add_row(
            "time", duration(self.seconds) + (f", resumed {count(self.resumed, 'time')}" if self.resumed else "")
        )
        if self.last_step is not None:
            table.add_row("steps", f"{self.steps} recorded, the last is {self.last_step}: {_figures(self.last)}")
            table.add_row("best", _figures(self.best))
        table.add_row("checkpoints", str(self.checkpoints))
        for dna in self.dna:
            table.add_row("dna", f"{dna['id'][:12]}  {dna['kind']}  {size(dna['bytes'])}  {dna['folder']}")
        for score in self.scores:
            table.add_row("score", plain(f"{_scored(score)}: {_figures(score['metrics'])}"))
        for server in self.tracking:
            behind = f"{server['behind']} entries behind" if server["behind"] else "complete"
            table.add_row("mlflow", f"{server['uri']}: {server['entries']} of {self.entries} entries, {behind}")
        if not self.tracking:
            table.add_row("mlflow", "nothing sent yet")
        return Group(table, *self._next())

    def _next(self) -> list[RenderableType]:
        """The command to go on with, if there is one."""
        if self.state in ("failed", "stopped", "interrupted"):
            return [plain(f"\ngo on: dna-ray resume {self.path}")]
        if self.state == "finished" and any(server["behind"] for server in self.tracking):
            return [plain(f"\ncomplete MLflow: dna-ray track sync {self.path}")]
        return []


def status(run: str, *, home: Path | None = None) -> StatusResult:
    """Counts what the journal of a run says. Needs no lock, so it works while the run goes on.

    Raises:
        InputError: There is no such run.
        ArtifactError: The journal is damaged.
    """
    folder = runs.find(run, home=home or default_home())
    pid = journal.writer(folder.path)
    entries = journal.read(folder.path) if folder.has_begun else []
    record = fold(entries) if entries else None
    points = list(record.points.values()) if record else []
    return StatusResult(
        name=folder.name,
        path=str(folder.path),
        verb=runs.recorded_recipe(folder).verb,
        state="running" if pid is not None else (record and record.status) or "interrupted",
        reason=(pid is None and record and record.reason) or "",
        pid=pid,
        entries=len(entries),
        steps=len(points),
        last_step=points[-1]["step"] if points else None,
        last={key: value for key, value in points[-1].items() if key not in ("step", "time")} if points else {},
        best=_best(points),
        seconds=(record.last - record.started) / 1000 if record else 0.0,
        checkpoints=sum(entry["event"] == "checkpoint" for entry in entries),
        resumed=record.resumes if record else 0,
        dna=_parts(record.dna if record else (), ("id", "kind", "bytes", "folder", "metrics")),
        scores=_parts(record.scores if record else (), ("task", "subject", "name", "metrics")),
        tracking=tuple(
            {"uri": known.uri, "entries": known.entries, "behind": max(0, len(entries) - known.entries)}
            for known in all_synced(folder.path)
        ),
    )


def _best(points: Sequence[Event]) -> dict[str, float]:
    best = {}
    for name, better in BEST.items():
        # NaN compares false with everything: it would hide what is best
        values = [point[name] for point in points if point.get(name) is not None and not isnan(point[name])]
        if values:
            best[name] = better(values)
    return best


def _parts(events: Sequence[Event], keys: Sequence[str]) -> tuple[dict[str, Any], ...]:
    return tuple({key: event.get(key) for key in keys} for event in events)


def _scored(score: Event) -> str:
    """`agreement of 0123456789ab`, `0.6/wanda: test of 0123456789ab`"""
    of = f"{score['task']} of {score['subject'][:12]}"
    return f"{score['name']}: {of}" if score["name"] else of


def _figures(figures: Mapping[str, float]) -> str:
    """`cosine 0.87 +- 0.003  r2 0.6`: a figure whose standard error is known stands beside it."""
    parts = []
    for name, value in figures.items():
        if value is not None and not name.endswith("_stderr"):
            error = figures.get(f"{name}_stderr")
            parts.append(f"{name} {value:.4g}" + (f" +- {error:.2g}" if error is not None else ""))
    return "  ".join(parts) or "no figures"
