"""A run as its journal tells it: the entries of `journal.read`, folded into one value."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from dna_ray.errors import ArtifactError
from dna_ray.evolution.chronicle import Chronicle, chronicle
from dna_ray.tracking import journal

Event = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What is known of a run.

    Attributes:
        origin: Checksum of the journal's first entry: names this run, and no other, wherever it is recorded.
        name: Name of the run folder.
        verb: What was run.
        identity: Hash of what was run.
        what: What was run; decides the result.
        how: Workers, device and the like, as of the last start.
        versions: Package -> version, as of the last start.
        started: Milliseconds since the epoch.
        last: Time of the last entry, in milliseconds since the epoch.
        networks: The networks that were read, each once.
        points: Step -> point of the curves, by step. A step that a resume repeated has its last values, its first time.
        settled: Steps up to this one are in a checkpoint, or the run has ended: a resume does not repeat them.
        dna: The DNA that was made, each once.
        scores: The scores, each subject and task once; where networks of a run have names, each name once.
        artifacts: Files, relative to the run folder.
        evolution: The search that the run made; None where it made none.
        resumes: How often it was resumed.
        status: `finished`, `failed` or `stopped`; None as long as the run has not ended.
        reason: Why it failed or stopped.
        entries: Number of entries of the journal.
    """

    origin: str
    name: str
    verb: str
    identity: str
    what: Mapping[str, Any]
    how: Mapping[str, Any]
    versions: Mapping[str, Any]
    started: int
    last: int
    networks: tuple[Event, ...]
    points: Mapping[int, Event]
    settled: float
    dna: tuple[Event, ...]
    scores: tuple[Event, ...]
    artifacts: tuple[str, ...]
    evolution: Chronicle | None
    resumes: int
    status: str | None
    reason: str | None
    entries: int

    def scores_of(self, subject: str) -> list[Event]:
        """The scores of one DNA, or of a network by its fingerprint."""
        return [score for score in self.scores if score["subject"] == subject]


def read_record(run: Path) -> Record:
    """Reads the journal in a run folder.

    Raises:
        ArtifactError: There is no journal, it is damaged, or does not begin with a `run` event.
    """
    entries = journal.read(run)
    try:
        return fold(entries)
    except (IndexError, KeyError, TypeError) as error:
        raise ArtifactError(f"{run / journal.FILE}: not the journal of a run ({error!r})") from error


def fold(entries: Sequence[Event]) -> Record:
    """Folds a journal's entries; a later entry about the same thing replaces an earlier one."""
    first = entries[0]
    latest = _of(entries, "run")[-1]
    end = next((e for e in reversed(entries) if e["event"] in ("run", "resumed", "end")), first)
    ended = end["event"] == "end"
    checkpoints = [e["step"] for e in _of(entries, "checkpoint")]
    return Record(
        origin=first["checksum"],
        name=first["name"],
        verb=first["verb"],
        identity=first["identity"],
        what=first.get("what", {}),
        how=latest.get("how", {}),
        versions=latest.get("versions", {}),
        started=first["time"],
        last=entries[-1]["time"],
        networks=_last(_of(entries, "network"), "fingerprint"),
        points=_points(entries),
        settled=inf if ended else max(checkpoints, default=-1),
        dna=_last(_of(entries, "dna"), "id"),
        scores=_last(_of(entries, "score"), "subject", "task", "name"),
        artifacts=tuple(dict.fromkeys(e["file"] for e in _of(entries, "artifact"))),
        evolution=chronicle(entries),
        resumes=len(_of(entries, "resumed")),
        status=end["status"] if ended else None,
        reason=end.get("reason") if ended else None,
        entries=len(entries),
    )


def _of(entries: Iterable[Event], kind: str) -> list[Event]:
    return [entry for entry in entries if entry["event"] == kind]


def _last(events: Iterable[Event], *keys: str) -> tuple[Event, ...]:
    """The last event for each value of `keys`, in the order in which the values first came."""
    return tuple({tuple(event.get(key) for key in keys): event for event in events}.values())


def _points(entries: Iterable[Event]) -> dict[int, Event]:
    points: dict[int, Event] = {}
    for event in _of(entries, "steps"):
        for point in event["points"]:
            known = points.get(point["step"], point)
            points[point["step"]] = {**point, "time": known.get("time", event["time"])}
    return dict(sorted(points.items()))
