import json
import socket
import threading
import time
from pathlib import Path

import pytest
from invented_runs import MINILM, START, compared, dna_event, mined, network_event, run_event, steps_event, ticking

from dna_ray.errors import ArtifactError, LockedError, UnreachableError
from dna_ray.tracking import lock, synced
from dna_ray.tracking.journal import Journal
from dna_ray.tracking.record import read_record
from dna_ray.tracking.store import database_uri
from dna_ray.tracking.writer import Writer

mlflow_client = pytest.importorskip("mlflow").MlflowClient

from dna_ray.tracking.mlflow import FILE_LIMIT, flatten, sync  # noqa: E402 - takes seconds, and may be missing

CURVES = ("loss", "r2", "lr", "coordinates_per_s")


def client(store: Path):
    return mlflow_client(database_uri(store))


def everything(store: Path) -> dict:
    """All that MLflow holds: runs with their data, histories of metrics, models, edges and files."""
    mlflow = client(store)
    experiments = [e.experiment_id for e in mlflow.search_experiments()]
    runs = mlflow.search_runs(experiments)
    return {
        "runs": [run.to_dictionary() for run in runs],
        "histories": {
            (run.info.run_id, key): [(m.step, m.timestamp, m.value) for m in history(mlflow, run.info.run_id, key)]
            for run in runs
            for key in run.data.metrics
        },
        "models": [
            (m.model_id, m.name, m.status, m.tags, m.params, sorted((x.key, x.value) for x in m.metrics))
            for m in mlflow.search_logged_models(experiments)
        ],
        "files": sorted(p.relative_to(store).as_posix() for p in (store / "mlartifacts").rglob("*") if p.is_file()),
    }


def history(mlflow, run: str, key: str) -> list:
    return sorted(mlflow.get_metric_history(run, key), key=lambda m: (m.step, m.timestamp))


def test_a_run_is_shown_with_what_decided_it(store: Path):
    report = sync(mined(store))
    run = client(store).get_run(report.run)
    assert report.missing == 0
    assert run.info.run_name == "mine-minilm-ab12cd34ef56"
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (START, START + 1000 * 7)
    assert run.data.params == {
        "network": "sample:minilm",
        "config.kind": "hierarchical",
        "config.ratio": "22.0",
        "config.seed": "0",
    }
    assert run.data.tags["dna.network"] == MINILM
    assert json.loads(run.data.tags["dna.parents"]) == [MINILM]
    assert run.data.tags["dna.verb"] == "mine"
    assert run.data.tags["dna.how.workers"] == "2"
    assert run.data.tags["dna.version.ray"] == "2.60.0"
    assert run.data.tags["dna.event"] == read_record(store / run.info.run_name).origin


def test_no_password_leaves_the_journal(store: Path):
    sync(mined(store))
    assert "secret" not in json.dumps(everything(store)["runs"])
    assert "secret" not in (store / "mine-minilm-ab12cd34ef56" / synced.FILE).read_text()


def test_the_network_is_a_dataset_of_its_run(store: Path):
    report = sync(mined(store))
    (used,) = client(store).get_run(report.run).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("sample:minilm", MINILM[:36])
    assert json.loads(used.dataset.profile)["fingerprint"] == MINILM


def test_the_dna_is_a_model_with_its_edge_figures_and_files(store: Path):
    report = sync(mined(store, psnr_db=float("inf")))
    ((dna, model_id),) = report.models.items()
    run = client(store).get_run(report.run)
    model = client(store).get_logged_model(model_id)
    assert [output.model_id for output in run.outputs.model_outputs] == [model_id]
    assert (model.source_run_id, str(model.status), model.model_type) == (report.run, "READY", "dna")
    assert model.name == f"minilm-hierarchical-{dna[:8]}"
    assert model.tags["dna.network"] == model.params["network.fingerprint"] == MINILM
    assert {(m.dataset_name, m.dataset_digest) for m in model.metrics} == {("sample:minilm", MINILM[:36])}
    assert model.tags["dna.metric.psnr_db"] == "inf"
    assert {m.key: m.value for m in model.metrics} == {
        "r2": 0.617,
        "snr_db": 4.17,
        "bits_per_weight": 1.45,
        "ratio": 22.0,
        "agreement/cosine": 0.874,
        "agreement/cosine_stderr": 0.003,
        "agreement/neighbours": 0.61,
    }
    files = {p.rpartition("artifacts/")[2] for p in everything(store)["files"]}
    assert files == {"model.safetensors", "config.json", "README.md", "report.md", "recipe.yaml"}


def test_curves_are_those_of_the_journal(store: Path):
    run = mined(store)
    report = sync(run)
    for name in CURVES:
        curve = [(m.step, m.timestamp, m.value) for m in history(client(store), report.run, f"train/{name}")]
        assert curve == [(p["step"], p["time"], p[name]) for p in read_record(run).points.values()]


def test_two_dna_of_a_run_keep_their_own_figures(store: Path):
    report = sync(compared(store))
    models = [client(store).get_logged_model(model) for model in report.models.values()]
    assert {m.params["kind"]: x.value for m in models for x in m.metrics if x.key == "r2"} == {
        "spectral": 0.402,
        "svd": 0.598,
    }


@pytest.mark.parametrize("remembers", [True, False])
def test_a_second_replay_doubles_nothing(store: Path, remembers: bool):
    runs = [mined(store), compared(store)]
    first = [sync(run) for run in runs]
    before = everything(store)
    if not remembers:
        for run in runs:
            (run / synced.FILE).unlink()
    assert [sync(run) for run in runs] == first
    after = everything(store)
    assert after == before
    assert len(after["runs"]) == 2
    assert len(after["models"]) == 3


def test_a_replay_that_was_cut_short_is_completed(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The client fails at its k-th call, for every k; then sync is called again."""
    from mlflow import MlflowClient

    calls = ["create_run", "log_batch", "log_inputs", "create_logged_model", "log_model_artifact"]
    calls += ["finalize_logged_model", "log_outputs", "log_artifact", "set_terminated"]
    run = mined(store)
    for name in calls:
        method = getattr(MlflowClient, name)

        def crash(*args: object, _method=method, **kwargs: object) -> None:
            _method(*args, **kwargs)
            raise KeyboardInterrupt

        monkeypatch.setattr(MlflowClient, name, crash)
        with pytest.raises(KeyboardInterrupt):
            sync(run)
        monkeypatch.undo()
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    report = sync(run)
    assert report.missing == 0
    interrupted = everything(store)
    assert (len(interrupted["runs"]), len(interrupted["models"])) == (1, 1)
    assert [len(points) for points in interrupted["histories"].values()].count(200) == len(CURVES)
    assert interrupted["runs"][0]["info"]["status"] == "FINISHED"


def test_a_resumed_run_goes_on_in_its_mlflow_run(store: Path):
    run = store / "mine-minilm-resumed"
    with Journal(run, clock=ticking()) as journal:
        journal.append(run_event(run.name), network_event(), steps_event(10, 100))
        journal.append({"event": "checkpoint", "step": 100, "file": "checkpoints/100"}, steps_event(110, 150))
        first = sync(run)
        assert client(store).get_run(first.run).info.status == "RUNNING"
    sync(run)
    assert client(store).get_run(first.run).info.status == "KILLED"
    with Journal(run, clock=ticking(START + 100_000)) as journal:
        journal.append(run_event(run.name), {"event": "resumed", "step": 100, "workers": 2})
        assert sync(run).run == first.run
        assert client(store).get_run(first.run).info.status == "RUNNING"
        journal.append(steps_event(110, 200, scale=0.5), dna_event(run), {"event": "end", "status": "finished"})
    last = sync(run)
    assert last.run == first.run
    curve = [(m.step, m.value) for m in history(client(store), last.run, "train/loss")]
    assert curve == [(step, point["loss"]) for step, point in read_record(run).points.items()]
    assert [step for step, _ in curve] == list(range(10, 201, 10))
    assert client(store).get_run(last.run).info.status == "FINISHED"


def test_a_failed_run_says_why(store: Path):
    run = store / "mine-failed"
    with Journal(run, clock=ticking()) as journal:
        journal.append(run_event(run.name), {"event": "end", "status": "failed", "reason": "step 12: loss is NaN"})
    tracked = client(store).get_run(sync(run).run)
    assert (tracked.info.status, tracked.data.tags["dna.reason"]) == ("FAILED", "step 12: loss is NaN")


def test_files_outside_the_run_or_too_large_are_not_copied(store: Path):
    run = store / "mine-hostile"
    (store / "secret.txt").write_text("secret")
    with Journal(run, clock=ticking()) as journal:
        dna = dna_event(run)
        (run / "dna" / "link.json").symlink_to(store / "secret.txt")
        with (run / "dna" / "large.bin").open("wb") as large:
            large.truncate(FILE_LIMIT + 1)
        other = dna_event(store, folder="elsewhere") | {"folder": "../elsewhere"}
        journal.append(run_event(run.name), network_event(), dna, other)
        journal.append({"event": "artifact", "file": "../secret.txt"}, {"event": "artifact", "file": "missing.png"})
        journal.append({"event": "artifact", "file": str(store / "secret.txt")}, {"event": "end", "status": "finished"})
    assert len(sync(run).models) == 2
    files = [p.rpartition("/")[2] for p in everything(store)["files"]]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors"]


def test_a_long_parameter_is_cut_and_none_is_left_out():
    values = {"text": "x" * 600, "none": None, "nested": {"list": [1, 2], "flag": True}}
    assert dict(flatten(values)) == {"text": "x" * 499 + "…", "nested.list": "[1, 2]", "nested.flag": "true"}


def test_a_server_that_is_down_is_noticed_within_seconds(store: Path):
    run = mined(store)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        uri = f"http://user:secret@127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(UnreachableError, match=r"MLflow does not answer .*dna-ray track sync") as caught:
        sync(run, uri=uri)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sync(run).missing == 0


def test_a_server_that_refuses_is_unreachable(store: Path):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        with pytest.raises(UnreachableError, match="MLflow does not answer or refuses"):
            sync(mined(store), uri=f"http://127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("content", [b"no database at all " * 100])
def test_a_damaged_database_is_unreachable(store: Path, content: bytes):
    (store / "mlflow.db").write_bytes(content)
    with pytest.raises(UnreachableError, match="file is not a database"):
        sync(mined(store))


def test_two_syncs_of_a_run_do_not_race(store: Path):
    run = mined(store)
    with lock.locked(run / ".mlflow.lock", what="a test"), pytest.raises(LockedError, match="tracking: process"):
        sync(run)


def test_a_journal_of_something_else_is_refused(store: Path):
    with Journal(store / "odd") as journal:
        journal.append({"event": "network"})
    with pytest.raises(ArtifactError, match="not the journal of a run"):
        sync(store / "odd")


def test_the_writer_follows_a_run_and_completes_it(store: Path):
    run = store / "mine-followed"
    with Journal(run, clock=ticking()) as journal:
        writer = Writer(run, every=0.1)
        journal.append(run_event(run.name), network_event(), steps_event(10, 50))
        assert writer.backlog <= 3
        deadline = time.monotonic() + 60
        while writer.backlog and time.monotonic() < deadline:
            time.sleep(0.1)
        assert writer.backlog == 0
        journal.append(dna_event(run), {"event": "end", "status": "finished"})
        report = writer.close()
    assert (report.missing, report.reason) == (0, None)
    assert client(store).get_run(report.run).info.status == "FINISHED"
    assert len(report.models) == 1


def test_a_dead_server_does_not_stop_a_run_and_says_what_is_missing(store: Path):
    run = store / "mine-untracked"
    with Journal(run, clock=ticking()) as journal:
        writer = Writer(run, uri="http://127.0.0.1:9", every=0.1)
        journal.append(run_event(run.name), {"event": "end", "status": "finished"})
        report = writer.close()
    assert report.missing == 2
    assert report.reason is not None
    assert "MLflow does not answer" in report.reason
    assert sync(run).missing == 0


def test_an_impatient_close_leaves_no_process(store: Path):
    run = store / "mine-hurried"
    with Journal(run, clock=ticking()) as journal:
        writer = Writer(run)
        journal.append(run_event(run.name))
        report = writer.close(timeout=0.01)
    assert report.missing == 1
    assert "took more than 0.01 s" in (report.reason or "")
