"""A run's journal, replayed into MLflow: a run, its curves, the network as dataset, and what it made as logged models.

With its neighbours `mlflow_*` the only import of mlflow, which takes seconds: import this module where it is needed.
What is sent twice is stored once: the MLflow run is found by its tag `dna.event`, its models by their tag `dna.id`,
agents by their tag `dna.agent`, and metrics carry the times of the journal. Uses `MlflowClient` only; the fluent
interface keeps global state that belongs to the user.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Run

from dna_ray.tracking import journal, lock, notes
from dna_ray.tracking.mlflow_agents import track_population
from dna_ray.tracking.mlflow_models import DIGEST, FILE_LIMIT, NOTE, dna_figures, inside, track_dna
from dna_ray.tracking.mlflow_server import connect, experiment_at, reaching
from dna_ray.tracking.mlflow_values import (
    MODEL_METRICS,
    flatten,
    log_metrics,
    log_params,
    log_tags,
    metrics_of,
    score_metrics,
)
from dna_ray.tracking.reach import knock
from dna_ray.tracking.record import Event, Record, read_record
from dna_ray.tracking.store import public, tracking_uri
from dna_ray.tracking.synced import Synced, SyncReport, report, synced

_LOCK = ".mlflow.lock"
_TRAIN = "train/"  # what the names of curves begin with
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
    knock(uri, run)
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
    log_metrics(client, state.run, _curves(record, after=state.step))
    settled = [step for step in record.points if step <= record.settled]
    state = state.save(run, step=max(settled, default=state.step))
    for number, dna in enumerate(record.dna):
        model = track_dna(client, run, dna, record, state)
        state = state.save(run, models={**state.models, dna["id"]: model})
        log_metrics(client, state.run, dna_figures(dna, record, number, model), batch=MODEL_METRICS)
    if record.evolution is not None:
        state = track_population(client, run, record, record.evolution, state)
    others = [score for score in record.scores if score["subject"] not in state.models or "name" in score]
    named = [metric for score in others for metric in score_metrics(score, name=score.get("name", ""))]
    log_metrics(client, state.run, named)
    _log_artifacts(client, run, record, state.run)
    client.set_tag(state.run, NOTE, notes.run_note(record, state.experiment, state.models))
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
    log_params(client, run, flatten(record.what))
    log_tags(client, run, tags)


def _dataset(network: Event) -> DatasetInput:
    profile = {key: network[key] for key in ("family", "parameters", "bytes", "fingerprint")}
    source = {"uri": network["name"], "fingerprint": network["fingerprint"]}
    dataset = Dataset(
        name=network["name"],
        digest=network["fingerprint"][:DIGEST],
        source_type="network",
        source=json.dumps(source),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", "network")])


def _curves(record: Record, *, after: int) -> Iterator[Metric]:
    for step, point in record.points.items():
        if after < step <= record.settled:
            figures = {key: value for key, value in point.items() if key not in ("step", "time")}
            yield from metrics_of(figures, prefix=_TRAIN, time=point["time"], step=step)


def _log_artifacts(client: MlflowClient, run: Path, record: Record, tracked: str) -> None:
    for name in ("recipe.yaml", *record.artifacts):
        path = inside(run, name)
        if path is not None and path.is_file() and path.stat().st_size <= FILE_LIMIT:
            folder = Path(name).parent.as_posix()
            client.log_artifact(tracked, str(path), None if folder == "." else folder)


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
