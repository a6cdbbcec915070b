import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from evolved_runs import evolved, goes_on, told
from invented_runs import MINILM

from dna_ray.evolution.chronicle import Chronicle
from dna_ray.tracking import synced
from dna_ray.tracking.record import read_record
from dna_ray.tracking.store import DATABASE, database_uri
from dna_ray.tracking.synced import SyncReport

mlflow_client = pytest.importorskip("mlflow").MlflowClient

from dna_ray.tracking.mlflow import sync  # noqa: E402 - takes seconds, and may be missing

FEW = 2  # generations


def client(store: Path):
    return mlflow_client(database_uri(store))


def agents(store: Path, population: str) -> list:
    """The nested runs, in the order in which they were made."""
    mlflow = client(store)
    found = mlflow.search_runs(
        [each.experiment_id for each in mlflow.search_experiments()],
        f"tags.`mlflow.parentRunId` = '{population}'",
        order_by=["attribute.start_time ASC"],
        max_results=500,
    )
    return list(found)


def everything(store: Path) -> dict:
    mlflow = client(store)
    experiments = [each.experiment_id for each in mlflow.search_experiments()]
    runs = mlflow.search_runs(experiments)
    return {
        "runs": [run.to_dictionary() for run in runs],
        "curves": {
            (run.info.run_id, key): sorted((m.step, m.value) for m in mlflow.get_metric_history(run.info.run_id, key))
            for run in runs
            for key in ("evolution/best", "minibatch_loss")
            if key in run.data.metrics
        },
        "models": [(m.model_id, m.name, m.status, m.tags) for m in mlflow.search_logged_models(experiments)],
        "files": sorted(p.relative_to(store).as_posix() for p in (store / "mlartifacts").rglob("*") if p.is_file()),
    }


def search_of(run: Path) -> Chronicle:
    found = read_record(run).evolution
    assert found is not None
    return found


@dataclass(frozen=True)
class Sent:
    """A run that MLflow has."""

    store: Path
    run: Path
    report: SyncReport

    @property
    def search(self) -> Chronicle:
        return search_of(self.run)

    @property
    def agents(self) -> list:
        return agents(self.store, self.report.run)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory, prepared_database: Path) -> Sent:
    store = tmp_path_factory.mktemp("sent")
    shutil.copy(prepared_database, store / DATABASE)
    run = evolved(store, generations=FEW)
    return Sent(store, run, sync(run, uri=database_uri(store)))


def test_every_agent_is_a_run_nested_in_its_population(sent: Sent):
    assert sent.report.missing == 0
    assert sorted(each.data.tags["dna.agent"] for each in sent.agents) == sorted(sent.search.agents)
    assert len({each.data.tags["dna.event"] for each in sent.agents}) == len(sent.agents)
    for each in sent.agents:
        agent, tags = sent.search.agents[each.data.tags["dna.agent"]], each.data.tags
        assert json.loads(tags["dna.parents"]) == list(agent.parents)
        assert (tags["dna.operator"], tags["dna.network"]) == (agent.operator, MINILM)
        assert each.info.end_time == agent.time
        assert each.info.status == ("FAILED" if agent.failed else "FINISHED")


def test_the_figures_of_an_agent_are_those_of_its_last_evaluation(sent: Sent):
    for each in sent.agents:
        agent = sent.search.agents[each.data.tags["dna.agent"]]
        losses = client(sent.store).get_metric_history(each.info.run_id, "minibatch_loss")
        assert [m.value for m in sorted(losses, key=lambda m: m.step)] == list(agent.losses)
        assert each.data.metrics.get("loss") == agent.loss
        assert each.data.metrics.get("kept", 0) == agent.kept


def test_a_failed_agent_says_why_and_has_no_loss(sent: Sent):
    failed = [each for each in sent.agents if each.info.status == "FAILED"]
    assert len(failed) == sum(agent.failed for agent in sent.search.agents.values()) > 0
    assert {each.data.tags["dna.reason"] for each in failed} == {"loss is NaN"}
    assert not any("loss" in each.data.metrics for each in failed)


def test_the_program_of_an_agent_is_readable_python(sent: Sent):
    each = sent.agents[0]
    path = Path(client(sent.store).download_artifacts(each.info.run_id, "program.py"))
    assert path.read_text().startswith("def importance(")
    assert each.data.params["metric"] in path.read_text()


def test_the_population_has_parameters_curves_files_and_its_champion(sent: Sent):
    search, mlflow = sent.search, client(sent.store)
    population = mlflow.get_run(sent.report.run)
    assert search.champion is not None
    assert population.data.params["population.sparsity"] == "0.8"
    assert population.data.tags["dna.champion"] == search.champion["id"]
    best = mlflow.get_metric_history(sent.report.run, "evolution/best")
    assert [(m.step, m.value) for m in best] == [(point["number"], point["best"]) for point in search.generations]
    assert population.data.metrics["test/champion/accuracy"] == 0.792
    files = {file.path for file in mlflow.list_artifacts(sent.report.run)}
    assert {"lineage.html", "front.json", "champion"} <= files
    model = mlflow.get_logged_model(sent.report.models[search.champion["id"]])
    assert (model.model_type, str(model.status), model.source_run_id) == ("sparse", "READY", sent.report.run)
    assert {m.key: m.value for m in model.metrics}["test/accuracy"] == 0.792
    assert [output.model_id for output in population.outputs.model_outputs] == [model.model_id]


@pytest.fixture
def run(store: Path) -> Path:
    return evolved(store, generations=1)


@pytest.mark.parametrize("remembers", [True, False])
def test_a_second_replay_doubles_nothing(store: Path, run: Path, remembers: bool):
    first = sync(run)
    before = everything(store)
    if not remembers:
        (run / synced.FILE).unlink()
    assert sync(run) == first
    assert everything(store) == before


@pytest.mark.parametrize("name", ["create_run", "log_batch", "log_text", "set_terminated"])
def test_a_replay_that_was_cut_short_is_completed(store: Path, run: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    """The client dies after its first dozen calls; then sync is called again."""
    from mlflow import MlflowClient

    method, calls = getattr(MlflowClient, name), []

    def crash(*args: object, **kwargs: object) -> object:
        answer = method(*args, **kwargs)
        calls.append(name)
        if len(calls) == 12 or name == "log_text":
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(MlflowClient, name, crash)
    with pytest.raises(KeyboardInterrupt):
        sync(run)
    monkeypatch.undo()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    report = sync(run)
    nested = agents(store, report.run)
    assert report.missing == 0
    assert len(nested) == len({each.data.tags["dna.agent"] for each in nested}) == len(search_of(run).agents)
    assert {each.info.status for each in nested} <= {"FINISHED", "FAILED"}
    assert all("dna.told" in each.data.tags for each in nested)


def test_a_run_that_goes_on_sends_only_what_is_new(store: Path):
    events = told(1)
    half = 1 + [place for place, event in enumerate(events) if event["event"] == "told"][1]
    run = evolved(store, generations=1, last=half)
    first = sync(run)
    made = {each.info.run_id for each in agents(store, first.run)}
    goes_on(run, generations=1, last=half)
    second = sync(run)
    assert second.run == first.run
    everyone = {each.info.run_id for each in agents(store, second.run)}
    assert made < everyone
    assert len(everyone) == len(search_of(run).agents)
