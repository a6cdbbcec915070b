"""How values are put to MLflow: under names that it allows, in portions that it takes."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from math import isfinite
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from dna_ray.tracking.record import Event
from dna_ray.tracking.store import public

T = TypeVar("T")

MODEL_METRICS = 100  # more, sent twice, trip over each other in MLflow 3.17's search for what it already has
_METRICS = 1000  # metrics that MLflow takes in a call
_PARAMS = 100  # params or tags that MLflow takes in a call
_VALUE = 500  # characters of a parameter that are kept
_NOTHING: Mapping[str, str] = {}


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as dotted names and text of at most 500 characters; None is left out, passwords in URIs too."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        elif value is not None:
            text = public(value) if isinstance(value, str) else json.dumps(value)
            yield f"{prefix}{name}", text if len(text) <= _VALUE else text[: _VALUE - 1] + "…"


def log_params(client: MlflowClient, run: str, values: Iterable[tuple[str, str]]) -> None:
    for chunk in _chunks((Param(key(name), value) for name, value in values), _PARAMS):
        client.log_batch(run, params=chunk, synchronous=True)


def log_tags(client: MlflowClient, run: str, tags: Mapping[str, str]) -> None:
    for chunk in _chunks((RunTag(key(name), value) for name, value in tags.items()), _PARAMS):
        client.log_batch(run, tags=chunk, synchronous=True)


def log_metrics(client: MlflowClient, run: str, metrics: Iterable[Metric], *, batch: int = _METRICS) -> None:
    for chunk in _chunks(metrics, batch):
        client.log_batch(run, metrics=chunk, synchronous=True)


def metrics_of(
    values: Mapping[str, Any], *, prefix: str = "", time: int, step: int, of: Mapping[str, str] = _NOTHING
) -> Iterator[Metric]:
    """The finite numbers of `values`; MLflow would store infinity as 1.8e308."""
    for name, value in values.items():
        if isinstance(value, int | float) and isfinite(value):
            yield Metric(key(prefix + name), float(value), time, step, **of)


def score_metrics(score: Event, number: int = 0, of: Mapping[str, str] = _NOTHING, *, name: str = "") -> list[Metric]:
    """What a task has measured; `name` tells networks apart that are scored in one run."""
    prefix = f"{score['task']}/{name}/" if name else f"{score['task']}/"
    return list(metrics_of(score["metrics"], prefix=prefix, time=score["time"], step=number, of=of))


def key(name: str) -> str:
    """A name with the characters that MLflow allows."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)[:250]


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
