"""status, lineage, track sync, doctor: what was recorded, and the machine."""

import os
import socket
from pathlib import Path

import pytest
from finished_run import FIGURES, Finished, shown

from dna_ray.errors import ArtifactError, InputError, UnreachableError
from dna_ray.tracking.journal import Journal
from dna_ray.verbs import doctor as doctors
from dna_ray.verbs.doctor import Check, DoctorResult, doctor
from dna_ray.verbs.lineage import lineage
from dna_ray.verbs.result import duration, size
from dna_ray.verbs.status import status
from dna_ray.verbs.track import sync


def test_status_counts_add_up(finished: Finished):
    result = status(finished.run.name)
    assert (result.state, result.pid, result.verb) == ("finished", None, "mine")
    assert result.entries == 9
    assert (result.steps, result.last_step) == (4, 4)  # step 3 was recorded twice
    assert result.last == {"loss": 0.25, "r2": 0.9}
    assert result.best == {"loss": 0.25, "r2": 1.0}
    assert (result.checkpoints, result.resumed) == (1, 1)
    assert [dna["metrics"] for dna in result.dna] == [FIGURES]
    assert [score["task"] for score in result.scores] == ["agreement"]
    assert result.seconds == 8.0
    assert "4 recorded, the last is 4" in shown(result)


def test_status_says_which_of_several_was_scored(finished: Finished):
    with Journal(finished.run.path) as journal:
        journal.append(
            {"event": "score", "subject": "f" * 64, "name": "0.8/wanda", "task": "test", "metrics": {"accuracy": 0.5}}
        )
    assert "0.8/wanda: test of ffffffffffff: accuracy 0.5" in shown(status(finished.run.name))


def test_status_of_a_run_at_work_names_its_process(finished: Finished):
    with Journal(finished.run.path):
        result = status(finished.run.name)
    assert (result.state, result.pid) == ("running", os.getpid())


def test_status_of_a_killed_run_says_how_to_go_on(finished: Finished):
    with Journal(finished.run.path) as journal:
        journal.append({"event": "resumed", "step": 4})
    result = status(finished.run.name)
    assert result.state == "interrupted"
    assert f"dna-ray resume {finished.run.path}" in shown(result).replace("\n", "")


def test_status_of_a_failed_run_says_why(finished: Finished):
    with Journal(finished.run.path) as journal:
        journal.append({"event": "end", "status": "failed", "reason": "loss is NaN at step 7, shard 1"})
    result = status(finished.run.name)
    assert (result.state, result.reason) == ("failed", "loss is NaN at step 7, shard 1")


def test_status_of_a_run_that_has_only_been_opened(finished: Finished):
    finished.run.journal.unlink()
    result = status(str(finished.run.path))
    assert (result.state, result.entries, result.steps) == ("interrupted", 0, 0)
    assert "nothing sent yet" in shown(result)


def test_status_ignores_a_loss_that_is_not_a_number_for_the_best(finished: Finished):
    with Journal(finished.run.path) as journal:
        journal.append({"event": "steps", "points": [{"step": 5, "loss": float("nan"), "r2": 0.1}]})
    assert status(finished.run.name).best == {"loss": 0.25, "r2": 1.0}


def test_status_of_a_damaged_journal_is_an_error(finished: Finished):
    finished.run.journal.write_text("{}\n" + finished.run.journal.read_text())
    with pytest.raises(ArtifactError, match="line 1 is damaged"):
        status(finished.run.name)


def test_lineage_leads_from_the_network_to_the_dna(finished: Finished):
    result = lineage(str(finished.run.dna))
    told = result.to_json()
    assert [node["kind"] for node in told["nodes"]] == ["network", "run", "dna"]
    assert shown(result).index("network") < shown(result).index("DNA")


def test_lineage_of_something_unknown_is_an_error(finished: Finished):
    with pytest.raises(InputError):
        lineage("nowhere")


def test_sync_says_when_the_server_is_down(finished: Finished):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(UnreachableError):
        sync(finished.run.name, uri=uri)


def test_doctor_looks_at_everything_and_says_what_to_do(tmp_path: Path):
    result = doctor(home=tmp_path / "runs")
    states = {check.name: check.state for check in result.checks}
    assert states["python"] == "ok"
    assert states["runs"] == "ok"
    assert {"processors", "memory", "disk", "loopback", "tracking", "samples"} <= states.keys()
    assert all(check.fix for check in result.checks if check.state != "ok")
    assert list((tmp_path / "runs").iterdir()) == []
    assert "python" in shown(result)


def test_doctor_fails_where_runs_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    result = doctor(home=tmp_path / "file")
    (failed,) = [check for check in result.checks if check.state == "fail"]
    assert failed.name == "runs"
    assert "DNA_RAY_HOME" in failed.fix
    assert result.exit_code == 8


def test_doctor_fails_where_the_cluster_does_not_answer(tmp_path: Path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    result = doctor(home=tmp_path, address=address)
    assert result.exit_code == 9


def test_doctor_warns_of_a_tracking_server_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctors, "PATIENCE", 0.2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (check,) = [check for check in doctor(home=tmp_path).checks if check.name == "tracking"]
    assert check.state == "warn"


def test_a_warning_does_not_make_a_machine_unfit():
    checks = (Check("a", "warn", "slow", "buy another"), Check("b", "ok", "fine"))
    assert DoctorResult(checks).to_json()["fit"] is True
    assert DoctorResult((*checks, Check("c", "fail", "none", "get one", exit_code=6))).exit_code == 6


def test_sizes_and_durations_are_for_people():
    assert [size(each) for each in (0, 1023, 1024, 4_200_000, 5 * 2**30, 3 * 2**40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "4.0 MiB",
        "5.0 GiB",
        "3.0 TiB",
    ]
    assert [duration(each) for each in (0.4, 59, 200, 7500)] == ["0 s", "59 s", "3 min 20 s", "2 h 5 min"]
