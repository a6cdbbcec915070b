"""MLflow as a cluster has it: a server on PostgreSQL, which serves files, and which may die."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from evolved_runs import evolved, goes_on, told
from invented_runs import compared, mined
from processes import HOST, free_ports, wait_for
from tracking_server import mlflow_server, postgres, postgres_programs

from dna_ray.tracking.record import read_record
from dna_ray.tracking.store import database_uri
from dna_ray.tracking.synced import SyncReport
from dna_ray.tracking.writer import Writer

mlflow_client = pytest.importorskip("mlflow").MlflowClient

from dna_ray.tracking.mlflow import sync  # noqa: E402 - takes seconds, and may be missing

pytestmark = pytest.mark.postgres

GENERATIONS = 1
SENT = 6  # agents that MLflow has when its server dies


@dataclass(frozen=True)
class Survived:
    """A search whose server died while it was being recorded, and is there again.

    Attributes:
        uri: Of the server.
        backlog: Entries that MLflow lacked when it had died.
        report: Of the writer, when it closed.
    """

    run: Path
    uri: str
    backlog: int
    report: SyncReport


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    with postgres(programs) as address:
        yield address


@pytest.fixture(scope="module")
def survived(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survived]:
    folder, (port,) = tmp_path_factory.mktemp("served"), free_ports(1)
    uri, half = f"http://{HOST}:{port}", len(told(GENERATIONS)) // 2
    run = evolved(folder / "runs", generations=GENERATIONS, last=half)
    with mlflow_server(folder, database, port=port) as process:
        writer = Writer(run, uri=uri, every=0.1)
        wait_for(lambda: len(agents(uri)) >= SENT, "a part of the agents to be sent")
        os.killpg(process.pid, signal.SIGKILL)
    backlog = writer.backlog
    goes_on(run, generations=GENERATIONS, last=half)
    with mlflow_server(folder, database, port=port):
        wait_for(lambda: writer.backlog == 0, "the writer to find the server again")
        yield Survived(run, uri, backlog, writer.close())


def agents(uri: str) -> list[str]:
    """Who has a run."""
    mlflow = mlflow_client(uri)
    experiments = [each.experiment_id for each in mlflow.search_experiments()]
    found = mlflow.search_runs(experiments, "tags.`dna.agent` != ''", max_results=1000)
    return [run.data.tags["dna.agent"] for run in found]


def everything(uri: str) -> dict[str, Any]:
    """All that an MLflow holds. Its own ids, which differ, are replaced by the names of what they stand for."""
    mlflow = mlflow_client(uri)
    experiments = [each.experiment_id for each in mlflow.search_experiments()]
    runs = mlflow.search_runs(experiments, max_results=1000)
    models = mlflow.search_logged_models(experiments)
    names = {model.model_id: model.name for model in models}
    held = {
        "runs": {run.info.run_name: _run(mlflow, run, names) for run in runs},
        "models": {
            model.name: [model.status, model.tags, model.params, sorted((x.key, x.value) for x in model.metrics)]
            for model in models
        },
    }
    assert (len(held["runs"]), len(held["models"])) == (len(runs), len(models)), "each of them once"
    text = json.dumps(held, sort_keys=True)
    for id, name in [(run.info.run_id, run.info.run_name) for run in runs] + [(m.model_id, m.name) for m in models]:
        text = text.replace(id, name)
    return json.loads(text)


def _run(mlflow: "mlflow_client", run: Any, models: dict[str, str]) -> dict[str, Any]:
    id = run.info.run_id
    curves = {key: mlflow.get_metric_history(id, key) for key in run.data.metrics}
    return {
        "info": [run.info.status, run.info.start_time, run.info.end_time, run.info.lifecycle_stage],
        "params": run.data.params,
        "tags": run.data.tags,
        "curves": {key: sorted([m.step, m.timestamp, m.value] for m in curve) for key, curve in curves.items()},
        "datasets": sorted([used.dataset.name, used.dataset.digest] for used in run.inputs.dataset_inputs),
        "models": sorted(models[made.model_id] for made in run.outputs.model_outputs),
        "files": _files(mlflow, id),
    }


def _files(mlflow: "mlflow_client", run: str, folder: str | None = None) -> list[list[Any]]:
    listed = mlflow.list_artifacts(run, folder)
    below = [file for each in listed if each.is_dir for file in _files(mlflow, run, each.path)]
    return sorted([[each.path, each.file_size] for each in listed if not each.is_dir] + below)


def test_a_server_that_dies_midway_loses_nothing_and_doubles_nothing(survived: Survived, store: Path):
    assert survived.backlog > 0, "it died midway"
    assert (survived.report.missing, survived.report.reason) == (0, None)
    search = read_record(survived.run).evolution
    assert search is not None
    assert sorted(agents(survived.uri)) == sorted(search.agents)
    sync(survived.run, uri=database_uri(store))
    assert everything(survived.uri) == everything(database_uri(store))


def test_what_was_mined_and_compared_looks_on_postgres_as_it_looks_on_sqlite(survived: Survived, store: Path):
    before = everything(survived.uri)
    for run in (mined(store), compared(store)):
        sync(run, uri=survived.uri)
        sync(run, uri=survived.uri)
        sync(run, uri=database_uri(store))
    after, on_sqlite = everything(survived.uri), everything(database_uri(store))
    for sort in ("runs", "models"):
        new = {name: each for name, each in after[sort].items() if name not in before[sort]}
        assert new == on_sqlite[sort]
        assert len(after[sort]) == len(before[sort]) + len(on_sqlite[sort])
