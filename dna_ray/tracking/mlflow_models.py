"""What a run made, as logged models of MLflow: each DNA, and the champion of a search."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric

from dna_ray.tracking import notes
from dna_ray.tracking.mlflow_values import flatten, metrics_of, score_metrics
from dna_ray.tracking.record import Event, Record
from dna_ray.tracking.synced import Synced

FILE_LIMIT = 16 * 2**20  # bytes; larger files are named in MLflow, not copied into it
NOTE = "mlflow.note.content"
DIGEST = 36  # characters of a dataset's digest that MLflow keeps

_Place = tuple[Path, str | None]  # a file, and the folder that it lies in among the model's files


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What a run made.

    Attributes:
        id: sha256 of a DNA's file, or an agent's id.
        kind: Type of the model.
        folder: Relative to the run folder; its files are copied.
        step: Of the run's curves, at which it was made.
    """

    id: str
    kind: str
    name: str
    folder: str
    tags: Mapping[str, str]
    params: Mapping[str, Any]
    note: str
    step: int


def track_dna(client: MlflowClient, run: Path, dna: Event, record: Record, state: Synced) -> str:
    """The DNA's logged model, made or completed, as an output of the run; returns its id."""
    made = Made(
        id=dna["id"],
        kind="dna",
        name=model_name(network_name(dna, record), dna["kind"], dna["id"]),
        folder=dna["folder"],
        tags=_dna_tags(dna, record),
        params=_dna_params(dna, record),
        note=notes.dna_note(dna, record, state.experiment, state.run),
        step=max(record.points, default=0),
    )
    return track_model(client, run, made, state)


def track_model(client: MlflowClient, run: Path, made: Made, state: Synced) -> str:
    """The logged model of what was made, found by its tag `dna.id` where it is there; returns its MLflow id."""
    models = client.search_logged_models([state.experiment], f"source_run_id = '{state.run}'")
    model = next((m for m in models if m.tags.get("dna.id") == made.id), None)
    if model is None:
        model = client.create_logged_model(
            state.experiment,
            name=made.name,
            source_run_id=state.run,
            tags={"dna.id": made.id, **made.tags},
            params=dict(flatten(made.params)),
            model_type=made.kind,
        )
    if model.status != LoggedModelStatus.READY:
        for file, folder in _files(run, made.folder):
            client.log_model_artifact(model.model_id, str(file), folder)
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.set_logged_model_tags(model.model_id, {NOTE: made.note})
    outputs = client.get_run(state.run).outputs.model_outputs
    if model.model_id not in [output.model_id for output in outputs]:
        client.log_outputs(state.run, [LoggedModelOutput(model.model_id, made.step)])
    return str(model.model_id)


def dna_figures(dna: Event, record: Record, number: int, model: str) -> Iterator[Metric]:
    """What was measured on a DNA: on its model against its network, and on the run at the number of the DNA in it."""
    of = {"model_id": model, "dataset_name": network_name(dna, record), "dataset_digest": dna["network"][:DIGEST]}
    yield from metrics_of(dna.get("metrics", {}), time=dna["time"], step=number, of=of)
    yield from scores_of_model(record.scores_of(dna["id"]), number, of)


def scores_of_model(scores: Iterable[Event], number: int, of: Mapping[str, str]) -> Iterator[Metric]:
    for score in scores:
        yield from score_metrics(score, number, of)


def network_name(of: Event, record: Record) -> str:
    names = {network["fingerprint"]: network["name"] for network in record.networks}
    return str(names.get(of["network"], of["network"][:12]))


def model_name(network: str, what: str, id: str) -> str:
    """As the network is called, without the characters that MLflow refuses, and with the start of the model's id."""
    *_, name = re.split("[/:]", network.rstrip("/"))
    return f"{re.sub('[^A-Za-z0-9_-]', '-', name)}-{what}-{id[:8]}"


def inside(run: Path, name: str) -> Path | None:
    """The path of `name` in the run folder, or None if it leads out of it: a journal can come from a stranger."""
    path = (run / name).resolve()
    return path if path.is_relative_to(run.resolve()) else None


def _dna_params(dna: Event, record: Record) -> dict[str, Any]:
    """What decided the DNA. The UI shows a model's parameters, not its tags: so its network is named here too."""
    made_of = {"network": network_name(dna, record), "network.fingerprint": dna["network"]}
    return {**made_of, "kind": dna["kind"], "bytes": dna["bytes"], **dna.get("params", {})}


def _dna_tags(dna: Event, record: Record) -> dict[str, str]:
    not_finite = {k: v for k, v in dna.get("metrics", {}).items() if isinstance(v, float) and not isfinite(v)}
    return {
        "dna.kind": dna["kind"],
        "dna.network": dna["network"],
        "dna.parents": json.dumps([dna["network"]]),
        "dna.folder": dna["folder"],
        "dna.event": record.origin,
        **{f"dna.metric.{key}": str(value) for key, value in not_finite.items()},
    }


def _files(run: Path, folder: str) -> Iterator[_Place]:
    """The files of a folder that are copied, and their place; none for a folder outside the run's."""
    root = inside(run, folder)
    if root is None:
        return
    for file in sorted(root.rglob("*")):
        if file.is_file() and not file.is_symlink() and file.stat().st_size <= FILE_LIMIT:
            place = file.parent.relative_to(root).as_posix()
            yield file, None if place == "." else place
