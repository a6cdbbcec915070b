"""MLflow as a cluster has it: a server on PostgreSQL, which serves files, and which may die."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from evolved_runs import evolved, goes_on, told
from invented_runs import compared, mined
from processes import HOST, Running, free_ports, wait_for
from tracking_server import mlflow_server, postgres, postgres_programs

from dna_ray.tracking.record import read_record
from dna_ray.tracking.store import database_uri
from dna_ray.tracking.writer import Writer

mlflow_client = pytest.importorskip("mlflow").MlflowClient

from dna_ray.tracking.mlflow import sync  # noqa: E402 - takes seconds, and may be missing

pytestmark = pytest.mark.postgres

FEW = 2  # generations
SENT = 12  # agents that MLflow has when its server dies


@dataclass(frozen=True)
class Server:
    """An MLflow server that can be started again."""

    folder: Path
    database: str
    port: int

    @property
    def uri(self) -> str:
        return f"http://{HOST}:{self.port}"

    def running(self) -> AbstractContextManager[Running]:
        return mlflow_server(self.folder, self.database, port=self.port)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    with postgres(programs) as database:
        yield Server(tmp_path_factory.mktemp("served"), database, *free_ports(1))


def everything(mlflow: "mlflow_client") -> dict[str, Any]:
    """All that an MLflow holds. Its own ids, which differ, are replaced by the names of what they stand for."""
    experiments = [each.experiment_id for each in mlflow.search_experiments()]
    runs = mlflow.search_runs(experiments, max_results=1000)
    models = mlflow.search_logged_models(experiments)
    held = {
        "runs": {run.info.run_name: _run(mlflow, run) for run in runs},
        "models": {
            model.name: [model.status, model.tags, model.params, sorted((x.key, x.value) for x in model.metrics)]
            for model in models
        },
        "counts": [len(runs), len(models)],
    }
    text = json.dumps(held, sort_keys=True)
    for id, name in [(run.info.run_id, run.info.run_name) for run in runs] + [(m.model_id, m.name) for m in models]:
        text = text.replace(id, name)
    return json.loads(text)


def _run(mlflow: "mlflow_client", run: Any) -> dict[str, Any]:
    id = run.info.run_id
    curves = {key: mlflow.get_metric_history(id, key) for key in run.data.metrics}
    return {
        "info": [run.info.status, run.info.start_time, run.info.end_time, run.info.lifecycle_stage],
        "params": run.data.params,
        "tags": run.data.tags,
        "curves": {key: sorted([m.step, m.timestamp, m.value] for m in curve) for key, curve in curves.items()},
        "datasets": [[used.dataset.name, used.dataset.digest] for used in run.inputs.dataset_inputs],
        "models": sorted(made.model_id for made in run.outputs.model_outputs),
        "files": _files(mlflow, id),
    }


def _files(mlflow: "mlflow_client", run: str, folder: str | None = None) -> list[list[Any]]:
    listed = mlflow.list_artifacts(run, folder)
    below = [file for each in listed if each.is_dir for file in _files(mlflow, run, each.path)]
    return sorted([[each.path, each.file_size] for each in listed if not each.is_dir] + below)


def test_a_server_that_dies_midway_loses_nothing_and_doubles_nothing(server: Server, store: Path):
    half = len(told(FEW)) // 2
    run = evolved(store, generations=FEW, last=half)
    writer = Writer(run, uri=server.uri, every=0.1)

    def sent() -> int:
        mlflow = mlflow_client(server.uri)
        experiments = [each.experiment_id for each in mlflow.search_experiments()]
        return len(mlflow.search_runs(experiments, "tags.`dna.agent` != ''"))

    with server.running() as process:
        wait_for(lambda: sent() >= SENT, "a part of the agents to be sent")
        os.killpg(process.pid, signal.SIGKILL)
    assert writer.backlog > 0, "the server died midway"
    goes_on(run, generations=FEW, last=half)
    with server.running():
        wait_for(lambda: writer.backlog == 0, "the writer to find the server again")
        report = writer.close()
        assert (report.missing, report.reason) == (0, None)
        on_postgres = everything(mlflow_client(server.uri))
    search = read_record(run).evolution
    assert search is not None
    agents = [each["tags"]["dna.agent"] for each in on_postgres["runs"].values() if "dna.agent" in each["tags"]]
    assert sorted(agents) == sorted(search.agents)
    sync(run, uri=database_uri(store))
    assert on_postgres == everything(mlflow_client(database_uri(store)))


def test_what_was_mined_and_compared_looks_on_postgres_as_it_looks_on_sqlite(server: Server, store: Path):
    with server.running():
        before = everything(mlflow_client(server.uri))
        for run in (mined(store), compared(store)):
            sync(run, uri=server.uri)
            sync(run, uri=server.uri)
            sync(run, uri=database_uri(store))
        after = everything(mlflow_client(server.uri))
    new = {name: each for name, each in after["runs"].items() if name not in before["runs"]}
    on_sqlite = everything(mlflow_client(database_uri(store)))
    assert new == on_sqlite["runs"]
    assert {name: each for name, each in after["models"].items() if name not in before["models"]} == on_sqlite["models"]
    assert after["counts"] == [a + b for a, b in zip(before["counts"], on_sqlite["counts"], strict=True)]
