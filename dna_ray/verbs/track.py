"""Completes MLflow from the journal of a run."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from dna_ray.tracking.store import home as default_home
from dna_ray.tracking.store import with_credentials
from dna_ray.tracking.synced import SyncReport
from dna_ray.verbs import runs
from dna_ray.verbs.result import plain


@dataclass(frozen=True, slots=True)
class SyncResult:
    run: str
    report: SyncReport

    def to_json(self) -> dict[str, Any]:
        return {"folder": self.run, **asdict(self.report)}

    def __rich__(self) -> RenderableType:
        report = self.report
        sent = f"{report.entries - report.missing} of {report.entries} entries"
        why = f" ({report.reason})" if report.reason else ""
        return plain(f"{self.run}: {sent} are in {report.uri}{why}, as run {report.run} with {len(report.models)} DNA")


def sync(run: str, *, uri: str | None = None, home: Path | None = None) -> SyncResult:
    """Sends what MLflow does not have yet. What is sent twice is stored once.

    Args:
        uri: Of the tracking server; None: the one that the run recorded, or the default beside the runs.

    Raises:
        UnreachableError: The tracking server does not answer.
        LockedError: Another process does the same.
    """
    folder = runs.find(run, home=home or default_home())
    recorded = runs.recorded_recipe(folder).how.tracking

    from dna_ray.tracking.mlflow import sync as replay  # imports mlflow, which takes seconds

    return SyncResult(str(folder.path), replay(folder.path, uri=uri or (recorded and with_credentials(recorded))))
