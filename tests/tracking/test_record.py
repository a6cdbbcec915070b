from math import inf
from pathlib import Path

from invented_runs import START, dna_event, mined, network_event, run_event, score_event, steps_event, ticking

from dna_ray.tracking.journal import Journal
from dna_ray.tracking.record import Record, read_record
from dna_ray.tracking.synced import FILE, Synced, all_synced, synced


def record_of(run: Path, *events: dict) -> Record:
    with Journal(run, clock=ticking()) as journal:
        journal.append(run_event(run.name), *events)
    return read_record(run)


def test_a_finished_run_is_told_whole(tmp_path: Path):
    record = read_record(mined(tmp_path))
    assert (record.verb, record.status, record.settled) == ("mine", "finished", inf)
    assert (record.started, record.last) == (START, START + 7000)
    assert len(record.points) == 200
    assert [n["name"] for n in record.networks] == ["sample:minilm"]
    assert [s["task"] for s in record.scores_of(record.dna[0]["id"])] == ["agreement"]
    assert record.artifacts == ("report.md",)


def test_a_repeated_step_has_its_last_values_and_its_first_time(tmp_path: Path):
    again = steps_event(20, 40, scale=0.5)
    for point in again["points"]:
        point["time"] += 99_000
    record = record_of(tmp_path / "run", steps_event(10, 30), {"event": "resumed", "step": 10, "workers": 2}, again)
    assert list(record.points) == [10, 20, 30, 40]
    assert record.points[20]["loss"] == again["points"][0]["loss"]
    assert record.points[20]["time"] == START + 2000
    assert record.points[40]["time"] == START + 4000 + 99_000


def test_only_what_a_checkpoint_holds_is_settled(tmp_path: Path):
    checkpoint = {"event": "checkpoint", "step": 20, "file": "checkpoints/20"}
    assert record_of(tmp_path / "a", steps_event(10, 30)).settled == -1
    assert record_of(tmp_path / "b", steps_event(10, 20), checkpoint, steps_event(30, 30)).settled == 20


def test_a_resume_reopens_a_run(tmp_path: Path):
    stopped = {"event": "end", "status": "stopped", "reason": "Ctrl-C"}
    assert record_of(tmp_path / "a", stopped).reason == "Ctrl-C"
    record = record_of(tmp_path / "b", stopped, {"event": "resumed", "step": 0, "workers": 2})
    assert (record.status, record.reason, record.resumes) == (None, None, 1)


def test_a_resumed_run_that_says_things_again_says_them_once(tmp_path: Path):
    dna = dna_event(tmp_path)
    events = [network_event(), dna, score_event(dna["id"])]
    record = record_of(tmp_path / "run", *events, *events)
    assert (len(record.networks), len(record.dna), len(record.scores)) == (1, 1, 1)


def test_what_is_synced_is_kept_for_each_server_without_passwords(tmp_path: Path):
    synced(tmp_path, "postgresql://ada:secret@db/mlflow").save(tmp_path, run="1", step=7)
    synced(tmp_path, "http://localhost:5000").save(tmp_path, run="2", models={"d": "m"})
    assert synced(tmp_path, "postgresql://bob:other@db/mlflow").run == "1"
    assert synced(tmp_path, "http://localhost:5000").models == {"d": "m"}
    assert "secret" not in (tmp_path / FILE).read_text()


def test_what_is_synced_is_disposable(tmp_path: Path):
    for text in ("", "[]", "{}", '{"a": 1}', '{"a": {"b": 1}}', "\0"):
        (tmp_path / FILE).write_text(text)
        assert all_synced(tmp_path) == []
        assert synced(tmp_path, "sqlite:///x") == Synced(uri="sqlite:///x")
