"""A run as metrics of the Ray that its driver is connected to: what its journal says, for Prometheus.

Ray forgets a gauge that was not set for two of its report intervals (20 s unless told otherwise). So all gauges are set
every few seconds while the driver is connected: one that is killed falls silent, one that leaves says so, and a step
of training costs nothing. Prometheus sees each name with Ray's own prefix: `ray_dna_ray_loss`.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from statistics import median_low
from typing import Any

from dna_ray.errors import DnaRayError

PREFIX = "dna_ray_"
LABELS = ("run", "network")
GAUGES = {
    "at_work": "1 while a driver works on the run, 0 when it leaves",
    "told_timestamp_seconds": "When the journal grew last",
    "journal_entries": "Entries of the journal",
    "tracking_backlog": "Entries of the journal that MLflow does not have yet",
    "workers": "Workers that train, or evaluate",
    "shard_bytes": "Bytes of weights that the worker with the most of them holds",
    "checkpoint_timestamp_seconds": "When the newest checkpoint was seen",
    "step": "Steps of training done",
    "loss": "Of the last steps: 1 - R2 of the points seen, or what healing minimises",
    "r2": "Of the last steps",
    "cosine": "Of the last steps of healing: between what original and student answer",
    "coordinates_per_second": "Coordinates that all workers together train on",
    "agents_evaluated": "Evaluations told, failed ones among them",
    "agents_failed": "Evaluations that failed",
    "agents_quarantined": "Genomes that failed too often",
    "programs_rejected": "Importance programs that the adoption gate refused",
    "programs_adopted": "Importance programs that it let in",
    "best_loss": "Of the best agent, as of the last generation",
    "median_loss": "Of the median of those that saw as much as the best, as of the last generation",
}
COUNTERS = {"failures": "Runs that an error ended while they were connected, by its class"}

_EVERY_SECONDS = 5.0
_OF_POINT = {
    "loss": "loss",
    "r2": "r2",
    "cosine": "cosine",
    "coordinates_per_s": "coordinates_per_second",
}
_COUNTED = {"quarantined": "agents_quarantined", "rejected": "programs_rejected", "adopted": "programs_adopted"}
_meter: "ContextVar[Meter | None]" = ContextVar("meter", default=None)

Event = Mapping[str, Any]


class Meter:
    """What the journal of a run says, as numbers.

    Args:
        run: Name of its folder.
        network: What it is about.
        tracked: Asked how many entries of the journal MLflow has.
    """

    def __init__(self, *, run: str, network: str, tracked: Callable[[], int]) -> None:
        self.labels = dict(zip(LABELS, (run, network), strict=True))
        self._tracked = tracked
        self._entries = 0
        self._figures: dict[str, float] = {}

    def saw(self, *events: Event) -> None:
        """Takes events in, in the order of the journal."""
        for event in events:
            self._entries += 1
            self._figures |= _latest(event)
            for name, count in _counted(event).items():
                self._figures[name] = self._figures.get(name, 0) + count
        if events:
            self._figures["told_timestamp_seconds"] = _seconds(events[-1])

    def figures(self) -> dict[str, float]:
        """Name of a gauge -> value, of those that there is something to say about."""
        backlog = max(0, self._entries - self._tracked())
        return {**self._figures, "journal_entries": self._entries, "tracking_backlog": backlog}


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """`meter` is what `published` shows inside the block."""
    token = _meter.set(meter)
    try:
        yield
    finally:
        _meter.reset(token)


@contextmanager
def published() -> Iterator[None]:
    """Inside the block, this process is connected to Ray, and shows there how its run is doing, if it has one."""
    meter = _meter.get()
    if meter is None:
        yield
        return
    from ray.util.metrics import Counter, Gauge

    gauges = {name: Gauge(PREFIX + name, told, LABELS) for name, told in GAUGES.items()}
    left = threading.Event()

    def show(**others: float) -> None:
        for name, value in {**meter.figures(), **others}.items():
            gauges[name].set(value, meter.labels)

    def keep_showing() -> None:
        show(at_work=1)
        while not left.wait(_EVERY_SECONDS):
            show(at_work=1)

    thread = threading.Thread(target=keep_showing, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    except DnaRayError as error:
        failures = Counter(PREFIX + "failures", COUNTERS["failures"], (*LABELS, "error"))
        failures.inc(tags={**meter.labels, "error": type(error).__name__})
        raise
    finally:
        left.set()
        thread.join()
        show(at_work=0)  # Ray sends what it has when it shuts down


def _latest(event: Event) -> dict[str, float]:
    """What an event says anew."""
    match event:
        case {"event": "run", "how": {"workers": workers}}:
            return {"workers": workers}
        case {"event": "shards", "bytes": [*held]}:
            return {"workers": len(held), "shard_bytes": max(held, default=0)}
        case {"event": "steps", "points": [_, *_] as points}:
            return {
                name: median_low([point[key] for point in points])  # a single step may have come late, or early
                for key, name in _OF_POINT.items()
                if all(key in point for point in points)
            } | {"step": points[-1]["step"]}
        case {"event": "checkpoint"}:
            return {"checkpoint_timestamp_seconds": _seconds(event)}
        case {"event": "generation", "best": best, "median": median}:
            return {"best_loss": best, "median_loss": median}
    return {}


def _counted(event: Event) -> dict[str, int]:
    """What an event adds to."""
    if event["event"] == "told":
        failed = sum(evaluation["status"] == "failed" for evaluation in event["evaluations"])
        return {"agents_evaluated": len(event["evaluations"]), "agents_failed": failed}
    return {_COUNTED[event["event"]]: 1} if event["event"] in _COUNTED else {}


def _seconds(event: Event) -> float:
    """When it was told; an event that has just been told has no time yet."""
    return event["time"] / 1000 if "time" in event else time.time()
