"""A run's journal, replayed into MLflow: a run, its curves, the network as dataset, each DNA as a logged model.

The only import of mlflow, which takes seconds: import this module where it is needed. What is sent twice is stored
once: the MLflow run is found by its tag `dna.event`, its models by their tag `dna.id`, and metrics carry the times of
the journal. Uses `MlflowClient` only; the fluent interface keeps global state that belongs to the user.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    Run,
    RunTag,
)

from dna_ray.tracking import journal, lock, notes
from dna_ray.tracking.mlflow_server import connect, experiment_at, reaching
from dna_ray.tracking.record import Event, Record, read_record
from dna_ray.tracking.store import public, tracking_uri
from dna_ray.tracking.synced import Synced, SyncReport, report, synced

T = TypeVar("T")

FILE_LIMIT = 16 * 2**20  # bytes; larger files are named in MLflow, not copied into it

_LOCK = ".mlflow.lock"
_NOTE = "mlflow.note.content"
_TRAIN = "train/"  # what the names of curves begin with
_METRICS = 1000  # metrics that MLflow takes in a call
_MODEL_METRICS = 100  # more, sent twice, trip over each other in MLflow 3.17's search for what it already has
_PARAMS = 100  # params or tags that MLflow takes in a call
_VALUE = 500  # characters of a parameter that are kept
_DIGEST = 36  # characters of a dataset's digest that MLflow keeps
_NOTHING: Mapping[str, str] = {}
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


def sync(run: Path, *, uri: str | None = None) -> SyncReport:
    """Brings MLflow up to the journal of the run folder `run`. May be repeated, and interrupted, at any time.

    Points after the last checkpoint wait until they are settled, since a resumed run makes them again.

    Args:
        run: May be at work, or finished, or dead: then its MLflow run is marked as killed.
        uri: Of the tracking server; None: `tracking_uri`, the sqlite database beside the run by default.

    Raises:
        UnreachableError: The tracking server does not answer, or refuses.
        LockedError: Another process brings the same run up to date.
        ArtifactError: The journal is missing or damaged.
    """
    uri = uri or tracking_uri(run.resolve().parent)
    record = read_record(run)
    with lock.locked(run / _LOCK, what=f"{run}: tracking"), reaching(uri, run):
        client = connect(uri)
        experiment = experiment_at(client, uri)
        tracked = _find_run(client, experiment, record) or _create_run(client, experiment, record)
        state = synced(run, uri)
        if state.run != tracked.info.run_id:
            step = _complete_step(client, tracked)
            state = Synced(uri=public(uri), experiment=experiment, run=tracked.info.run_id, step=step)
        if state.entries != record.entries:
            state = _replay(client, run, record, state).save(run, entries=record.entries)
        _set_status(client, tracked, _status(run, record), record)
    return report(state, record.entries)


def _replay(client: MlflowClient, run: Path, record: Record, state: Synced) -> Synced:
    """Sends everything but the run's status. Each step stores once what it is given twice."""
    _log_tags(client, record, state.run)
    inputs = [_dataset(network) for network in record.networks]
    client.log_inputs(state.run, datasets=inputs)
    _log_metrics(client, state.run, _curves(record, after=state.step))
    settled = [step for step in record.points if step <= record.settled]
    state = state.save(run, step=max(settled, default=state.step))
    for number, dna in enumerate(record.dna):
        model = _track_dna(client, run, dna, record, state)
        state = state.save(run, models={**state.models, dna["id"]: model})
        _log_metrics(client, state.run, _figures(dna, record, number, model), batch=_MODEL_METRICS)
    others = [score for score in record.scores if score["subject"] not in state.models]
    _log_metrics(client, state.run, [metric for score in others for metric in _score(score)])
    _log_artifacts(client, run, record, state.run)
    client.set_tag(state.run, _NOTE, notes.run_note(record, state.experiment, state.models))
    return state


def _find_run(client: MlflowClient, experiment: str, record: Record) -> Run | None:
    found = client.search_runs([experiment], f"tags.`dna.event` = '{record.origin}'", max_results=1)
    return found[0] if found else None


def _create_run(client: MlflowClient, experiment: str, record: Record) -> Run:
    """The tag that finds it again comes with it: a crash leaves a run that is found, or none."""
    tags = {
        "dna.event": record.origin,
        "dna.verb": record.verb,
        "dna.identity": record.identity,
        "mlflow.source.name": f"dna-ray {record.verb}",
        "mlflow.source.type": "LOCAL",
    }
    return client.create_run(experiment, start_time=record.started, tags=tags, run_name=record.name)


def _complete_step(client: MlflowClient, tracked: Run) -> int:
    """The curves are in MLflow up to this step: they are sent by step, so only the last one can lack something.

    Asked once it is forgotten, since MLflow takes minutes to find for itself what it already has.
    """
    run = tracked.info.run_id
    curves = [client.get_metric_history(run, key) for key in tracked.data.metrics if key.startswith(_TRAIN)]
    return max((metric.step for curve in curves for metric in curve), default=0) - 1


def _log_tags(client: MlflowClient, record: Record, run: str) -> None:
    """Parameters decide the result and never change; how and with what it ran may, so these are tags."""
    networks = [network["fingerprint"] for network in record.networks]
    tags = {"dna.network": networks[0], "dna.parents": json.dumps(networks)} if networks else {}
    tags |= {f"dna.how.{key}": value for key, value in flatten(record.how)}
    tags |= {f"dna.version.{key}": value for key, value in flatten(record.versions)}
    if record.reason:
        tags["dna.reason"] = record.reason
    for chunk in _chunks((Param(_key(k), v) for k, v in flatten(record.what)), _PARAMS):
        client.log_batch(run, params=chunk, synchronous=True)
    for chunk in _chunks((RunTag(_key(k), v) for k, v in tags.items()), _PARAMS):
        client.log_batch(run, tags=chunk, synchronous=True)


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as dotted names and text of at most 500 characters; None is left out, passwords in URIs too."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif value is not None:
            text = public(value) if isinstance(value, str) else json.dumps(value)
            yield f"{prefix}{key}", text if len(text) <= _VALUE else text[: _VALUE - 1] + "…"


def _dataset(network: Event) -> DatasetInput:
    profile = {key: network[key] for key in ("family", "parameters", "bytes", "fingerprint")}
    source = {"uri": network["name"], "fingerprint": network["fingerprint"]}
    dataset = Dataset(
        name=network["name"],
        digest=network["fingerprint"][:_DIGEST],
        source_type="network",
        source=json.dumps(source),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", "network")])


def _curves(record: Record, *, after: int) -> Iterator[Metric]:
    for step, point in record.points.items():
        if after < step <= record.settled:
            figures = {key: value for key, value in point.items() if key not in ("step", "time")}
            yield from _metrics(figures, prefix=_TRAIN, time=point["time"], step=step)


def _track_dna(client: MlflowClient, run: Path, dna: Event, record: Record, state: Synced) -> str:
    """The DNA's logged model, made or completed, as an output of the run; returns its id."""
    models = client.search_logged_models([state.experiment], f"source_run_id = '{state.run}'")
    model = next((m for m in models if m.tags.get("dna.id") == dna["id"]), None)
    if model is None:
        model = client.create_logged_model(
            state.experiment,
            name=_model_name(dna, record),
            source_run_id=state.run,
            tags=_dna_tags(dna, record),
            params=dict(flatten(_dna_params(dna, record))),
            model_type="dna",
        )
    if model.status != LoggedModelStatus.READY:
        for file, folder in _dna_files(run, dna["folder"]):
            client.log_model_artifact(model.model_id, str(file), folder)
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.set_logged_model_tags(model.model_id, {_NOTE: notes.dna_note(dna, record, state.experiment, state.run)})
    outputs = client.get_run(state.run).outputs.model_outputs
    if model.model_id not in [output.model_id for output in outputs]:
        step = max(record.points, default=0)
        client.log_outputs(state.run, [LoggedModelOutput(model.model_id, step)])
    return str(model.model_id)


def _dna_params(dna: Event, record: Record) -> dict[str, Any]:
    """What decided the DNA. The UI shows a model's parameters, not its tags: so its network is named here too."""
    made_of = {"network": _network_name(dna, record), "network.fingerprint": dna["network"]}
    return {**made_of, "kind": dna["kind"], "bytes": dna["bytes"], **dna.get("params", {})}


def _dna_tags(dna: Event, record: Record) -> dict[str, str]:
    not_finite = {k: v for k, v in dna.get("metrics", {}).items() if isinstance(v, float) and not isfinite(v)}
    return {
        "dna.id": dna["id"],
        "dna.kind": dna["kind"],
        "dna.network": dna["network"],
        "dna.parents": json.dumps([dna["network"]]),
        "dna.folder": dna["folder"],
        "dna.event": record.origin,
        **{f"dna.metric.{key}": str(value) for key, value in not_finite.items()},
    }


def _model_name(dna: Event, record: Record) -> str:
    """As the network is called, without the characters that MLflow refuses, and with the start of the DNA's id."""
    *_, name = re.split("[/:]", _network_name(dna, record).rstrip("/"))
    return f"{re.sub('[^A-Za-z0-9_-]', '-', name)}-{dna['kind']}-{dna['id'][:8]}"


def _network_name(dna: Event, record: Record) -> str:
    names = {network["fingerprint"]: network["name"] for network in record.networks}
    return str(names.get(dna["network"], dna["network"][:12]))


def _dna_files(run: Path, folder: str) -> Iterator[tuple[Path, str | None]]:
    """The files of a DNA folder that are copied, and their place; none for a folder outside the run's."""
    root = _inside(run, folder)
    if root is None:
        return
    for file in sorted(root.rglob("*")):
        if file.is_file() and not file.is_symlink() and file.stat().st_size <= FILE_LIMIT:
            place = file.parent.relative_to(root).as_posix()
            yield file, None if place == "." else place


def _figures(dna: Event, record: Record, number: int, model: str) -> Iterator[Metric]:
    """What was measured on a DNA: on its model against its network, and on the run at the number of the DNA in it."""
    of = {"model_id": model, "dataset_name": _network_name(dna, record), "dataset_digest": dna["network"][:_DIGEST]}
    yield from _metrics(dna.get("metrics", {}), time=dna["time"], step=number, of=of)
    for score in record.scores_of(dna["id"]):
        yield from _score(score, number, of)


def _score(score: Event, number: int = 0, of: Mapping[str, str] = _NOTHING) -> Iterator[Metric]:
    yield from _metrics(score["metrics"], prefix=f"{score['task']}/", time=score["time"], step=number, of=of)


def _metrics(
    values: Mapping[str, Any], *, prefix: str = "", time: int, step: int, of: Mapping[str, str] = _NOTHING
) -> Iterator[Metric]:
    """The finite numbers of `values`; MLflow would store infinity as 1.8e308."""
    for key, value in values.items():
        if isinstance(value, int | float) and isfinite(value):
            yield Metric(_key(prefix + key), float(value), time, step, **of)


def _log_metrics(client: MlflowClient, run: str, metrics: Iterable[Metric], *, batch: int = _METRICS) -> None:
    for chunk in _chunks(metrics, batch):
        client.log_batch(run, metrics=chunk, synchronous=True)


def _log_artifacts(client: MlflowClient, run: Path, record: Record, tracked: str) -> None:
    for name in ("recipe.yaml", *record.artifacts):
        path = _inside(run, name)
        if path is not None and path.is_file() and path.stat().st_size <= FILE_LIMIT:
            folder = Path(name).parent.as_posix()
            client.log_artifact(tracked, str(path), None if folder == "." else folder)


def _inside(run: Path, name: str) -> Path | None:
    """The path of `name` in the run folder, or None if it leads out of it: a journal can come from a stranger."""
    path = (run / name).resolve()
    return path if path.is_relative_to(run.resolve()) else None


def _status(run: Path, record: Record) -> str:
    if record.status is not None:
        return _STATUS[record.status]
    return "RUNNING" if journal.writer(run) else "KILLED"


def _set_status(client: MlflowClient, tracked: Run, status: str, record: Record) -> None:
    if tracked.info.status == status:
        return
    if status == "RUNNING":
        client.update_run(tracked.info.run_id, status=status)
    else:
        client.set_terminated(tracked.info.run_id, status, record.last)


def _key(name: str) -> str:
    """A name with the characters that MLflow allows."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)[:250]


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
