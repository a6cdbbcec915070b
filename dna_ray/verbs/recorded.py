"""A run while it is recorded: its journal is open, MLflow follows, and however it ends, the end is written down."""

import contextlib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dna_ray.distributed.metrics import Meter, metered
from dna_ray.errors import SpaceError
from dna_ray.networks import Network
from dna_ray.recipe import Recipe, to_mapping
from dna_ray.tracking.journal import Journal
from dna_ray.tracking.store import tracking_uri, with_credentials
from dna_ray.tracking.synced import synced
from dna_ray.tracking.writer import Writer
from dna_ray.verbs.progress import Progress
from dna_ray.verbs.runs import RunFolder, short_name

_PACKAGES = ("dna-ray", "torch", "ray", "mlflow", "transformers", "numpy", "pyarrow", "safetensors")


class Recorded:
    """The journal of a run, in the words of the verbs.

    Attributes:
        was_finished: Whether the run had finished before this process.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._meter: Meter | None = None
        ends = [event for event in journal.past if event["event"] in ("end", "run")]
        self.was_finished = bool(ends) and ends[-1]["event"] == "end" and ends[-1]["status"] == "finished"

    def tell(self, *events: dict[str, Any]) -> None:
        """Writes events to the journal, in one go."""
        if events:
            self._journal.append(*events)
            if self._meter:
                self._meter.saw(*events)

    def metered(self, meter: Meter) -> None:
        """From now on `meter` sees what is told; it has seen what earlier processes told."""
        meter.saw(*self._journal.past)
        self._meter = meter

    def network(self, network: Network) -> None:
        anatomy = network.anatomy
        self.tell(
            {
                "event": "network",
                "name": network.name,
                "fingerprint": network.fingerprint,
                "family": anatomy.family,
                "parameters": sum(info.size for info in anatomy if info.floating and info.tied_to is None),
                "bytes": sum(info.nbytes for info in anatomy if info.tied_to is None),
            }
        )

    def past_points(self) -> list[dict[str, float]]:
        """Points of the training curve that earlier processes of this run wrote."""
        return [point for event in self._journal.past if event["event"] == "steps" for point in event["points"]]

    def past(self, kind: str) -> list[dict[str, Any]]:
        """Events of one kind that earlier processes of this run wrote."""
        return [event for event in self._journal.past if event["event"] == kind]


@contextlib.contextmanager
def opened(run: RunFolder) -> Iterator[Recorded]:
    """Opens the journal of `run` as its one writer.

    Raises:
        LockedError: Another process works on this run.
    """
    with Journal(run.path) as journal:
        yield Recorded(journal)


@contextlib.contextmanager
def at_work(record: Recorded, run: RunFolder, recipe: Recipe, progress: Progress) -> Iterator[None]:
    """While the block lasts the run is at work: MLflow follows from another process, and the end is written down."""
    mapping = to_mapping(recipe)
    known = recipe.how.tracking and with_credentials(recipe.how.tracking)
    uri = known or tracking_uri(Path(recipe.how.home))
    meter = Meter(run=run.name, network=short_name(recipe.what.network), tracked=lambda: synced(run.path, uri).entries)
    record.metered(meter)
    record.tell(
        {
            "event": "run",
            "verb": recipe.verb,
            "name": run.name,
            "identity": run.identity,
            "what": mapping["what"],
            "how": mapping["how"],
            "versions": _versions(),
        }
    )
    writer = Writer(run.path, uri=uri)
    try:
        with metered(meter):
            yield
        record.tell({"event": "end", "status": "finished", "reason": ""})
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        with contextlib.suppress(SpaceError):  # where there is no space for the reason either
            record.tell({"event": "end", "status": "stopped" if stopped else "failed", "reason": _reason(error)})
        raise
    finally:
        _close(writer, progress)


def _close(writer: Writer, progress: Progress) -> None:
    with progress.stage("record"):
        report = writer.close()
    if report.missing:
        progress.note(f"MLflow lacks {report.missing} entries of the journal: {report.reason or 'it was too slow'}")


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
