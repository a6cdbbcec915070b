"""How far MLflow is with a run: a small file of ids in the run folder, one entry a server.

Disposable: without it the next `sync` finds the run by its tag, and sends again what MLflow then stores only once.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from dna_ray.tracking.store import public

FILE = "mlflow.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Synced:
    """What one MLflow holds of a run.

    Attributes:
        uri: Of the tracking server, without user and password.
        experiment: Its experiment's id.
        run: Its run's id; empty where nothing was sent yet.
        models: Id of a DNA or a champion -> id of its LoggedModel.
        step: The curves were sent up to this step.
        told: Batches of agents that were sent.
        generation: The curves of a search were sent up to this generation.
        entries: Entries of the journal that were taken into account.
    """

    uri: str
    experiment: str = ""
    run: str = ""
    models: dict[str, str] = field(default_factory=dict)
    step: int = -1
    told: int = 0
    generation: int = 0
    entries: int = 0

    def save(self, folder: Path, **changes: Any) -> Self:
        """Writes it with `changes` into the run folder, and returns it so."""
        changed = replace(self, **changes)
        servers = {s.uri: asdict(s) for s in all_synced(folder)} | {changed.uri: asdict(changed)}
        temporary = folder / f"{FILE}.tmp"
        temporary.write_text(json.dumps(servers, indent=1) + "\n")
        os.replace(temporary, folder / FILE)
        return changed


def synced(folder: Path, uri: str) -> Synced:
    """What is known of the MLflow at `uri`."""
    return next((s for s in all_synced(folder) if s.uri == public(uri)), Synced(uri=public(uri)))


def all_synced(folder: Path) -> list[Synced]:
    """Every MLflow that the run in `folder` was sent to; none where the file is missing or unreadable."""
    try:
        return [Synced(**server) for server in json.loads((folder / FILE).read_text()).values()]
    except (OSError, ValueError, TypeError, AttributeError):
        return []


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncReport:
    """How far MLflow is with a run, for people.

    Attributes:
        uri: Of the tracking server, without user and password.
        experiment: Its experiment's id.
        run: Its run's id; empty where nothing was sent.
        models: DNA id -> id of its LoggedModel.
        entries: Entries of the journal.
        missing: How many of them MLflow does not have yet.
        reason: Why some are missing, in one line.
    """

    uri: str
    experiment: str
    run: str
    models: Mapping[str, str]
    entries: int
    missing: int
    reason: str | None = None


def report(state: Synced, entries: int, *, reason: str | None = None) -> SyncReport:
    """What to say of `state` for a journal of `entries` entries."""
    return SyncReport(
        uri=state.uri,
        experiment=state.experiment,
        run=state.run,
        models=state.models,
        entries=entries,
        missing=max(0, entries - state.entries),
        reason=reason,
    )
