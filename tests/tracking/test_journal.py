import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from invented_runs import ticking

from dna_ray.errors import ArtifactError, LockedError, SpaceError
from dna_ray.tracking import journal
from dna_ray.tracking.journal import Journal, read

EVENTS = [{"event": "a", "n": 1}, {"event": "b", "text": "é\n"}, {"event": "c", "points": [{"step": 1, "loss": 0.5}]}]


def written(run: Path) -> bytes:
    with Journal(run, clock=ticking()) as log:
        log.append(*EVENTS)
    return (run / journal.FILE).read_bytes()


def without_frame(entries: list[dict]) -> list[dict]:
    return [{k: v for k, v in entry.items() if k not in ("seq", "time", "checksum")} for entry in entries]


def test_append_and_read_are_inverses(tmp_path: Path):
    written(tmp_path)
    assert without_frame(read(tmp_path)) == EVENTS
    assert [e["seq"] for e in read(tmp_path)] == [0, 1, 2]
    assert [e["time"] for e in read(tmp_path)] == [ticking()() + 1000 * i for i in range(3)]


def test_same_events_at_the_same_times_give_the_same_bytes(tmp_path: Path):
    assert written(tmp_path / "a") == written(tmp_path / "b")


def test_a_reopened_journal_goes_on(tmp_path: Path):
    whole = written(tmp_path / "whole")
    clock = ticking()
    for event in EVENTS:
        with Journal(tmp_path / "parts", clock=clock) as log:
            log.append(event)
    assert (tmp_path / "parts" / journal.FILE).read_bytes() == whole


def test_it_can_be_read_while_it_is_written(tmp_path: Path):
    with Journal(tmp_path) as log:
        log.append(EVENTS[0])
        assert without_frame(read(tmp_path)) == EVENTS[:1]


def test_values_that_are_not_finite_survive(tmp_path: Path):
    with Journal(tmp_path) as log:
        log.append({"event": "dna", "metrics": {"psnr_db": float("inf"), "r2": float("nan")}})
    metrics = read(tmp_path)[0]["metrics"]
    assert metrics["psnr_db"] == float("inf")
    assert metrics["r2"] != metrics["r2"]


@pytest.mark.parametrize("event", [{"n": 1}, {"event": "a", "seq": 1}, {"event": "a", "checksum": ""}, {"event": 3}])
def test_an_event_must_be_one(tmp_path: Path, event: dict):
    with Journal(tmp_path) as log, pytest.raises(ValueError, match="an event needs a key 'event'"):
        log.append(event)
    assert read(tmp_path) == []


def test_torn_at_any_byte_it_reopens_with_every_complete_line(tmp_path: Path):
    whole = written(tmp_path)
    path = tmp_path / journal.FILE
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        complete = whole[:size].count(b"\n")
        assert without_frame(read(tmp_path)) == EVENTS[:complete]
        with Journal(tmp_path, clock=ticking(ticking()() + 1000 * complete)) as log:
            assert without_frame(log.past) == EVENTS[:complete]
            log.append(*EVENTS[complete:])
        assert path.read_bytes() == whole


def test_every_changed_bit_is_noticed(tmp_path: Path):
    whole = written(tmp_path)
    path = tmp_path / journal.FILE
    for index in range(len(whole) - 1):  # a changed last newline reads like a torn line
        line = whole[:index].count(b"\n") + 1
        changed = bytearray(whole)
        changed[index] ^= 1 << (index % 8)
        path.write_bytes(changed)
        if whole[index] == ord("\n") or changed[index] == ord("\n"):
            with pytest.raises(ArtifactError):
                read(tmp_path)
            continue
        with pytest.raises(ArtifactError, match=rf"journal\.jsonl: line {line} is damaged"):
            read(tmp_path)
        with pytest.raises(ArtifactError, match=f"line {line} is damaged"):
            Journal(tmp_path)
        assert path.read_bytes() == changed


@pytest.mark.parametrize("order", [(1, 2), (0, 2), (1, 0, 2), (0, 0, 1, 2), (0, 1, 1, 2)])
def test_lines_dropped_moved_or_doubled_are_noticed(tmp_path: Path, order: tuple[int, ...]):
    lines = written(tmp_path).splitlines(keepends=True)
    (tmp_path / journal.FILE).write_bytes(b"".join(lines[i] for i in order))
    with pytest.raises(ArtifactError, match="is damaged"):
        read(tmp_path)


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b"null", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe"])
def test_no_line_of_a_stranger_is_more_than_damaged(tmp_path: Path, line: bytes):
    (tmp_path / journal.FILE).write_bytes(line + b"\n")
    with pytest.raises(ArtifactError, match="line 1 is damaged"):
        read(tmp_path)


def test_a_folder_without_journal_is_no_run(tmp_path: Path):
    with pytest.raises(ArtifactError, match="no run folder, its journal.jsonl cannot be read"):
        read(tmp_path / "nowhere")


def failing(call: Callable[..., int], *, at: int, code: int, partly: bool = False) -> Callable[..., int]:
    """`call`, which fails with `code` the `at`-th time; `partly`: after it has written half."""
    calls = iter(range(at + 1))

    def wrapped(file: int, *rest: bytes) -> int:
        if next(calls, None) == at:
            if partly:
                call(file, *[data[: len(data) // 2] for data in rest])
            raise OSError(code, os.strerror(code))
        return call(file, *rest)

    return wrapped


@pytest.mark.parametrize("name", ["write", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_no_space_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int, at: int
):
    clock = ticking()
    with Journal(tmp_path, clock=clock) as log:
        monkeypatch.setattr(os, name, failing(getattr(os, name), at=at, code=code, partly=name == "write"))
        for event in EVENTS[:at]:
            log.append(event)
        before = (tmp_path / journal.FILE).read_bytes()
        with pytest.raises(SpaceError, match="no space left to record the run"):
            log.append(*EVENTS)
        monkeypatch.undo()
        assert (tmp_path / journal.FILE).read_bytes() == before
        log.append(*EVENTS[at:])
    assert without_frame(read(tmp_path)) == EVENTS


def test_another_error_of_the_disk_is_not_called_lack_of_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Journal(tmp_path) as log:
        monkeypatch.setattr(os, "write", failing(os.write, at=0, code=errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            log.append(*EVENTS)
    assert read(tmp_path) == []


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    written(tmp_path)
    assert without_frame(read(tmp_path)) == EVENTS


def test_a_second_writer_is_told_who_is_first(tmp_path: Path):
    with (
        Journal(tmp_path) as log,
        pytest.raises(LockedError, match=f"process {os.getpid()} is at work on it") as caught,
    ):
        Journal(tmp_path)
    assert caught.value.exit_code == 7
    log = Journal(tmp_path)
    log.close()
    assert journal.writer(tmp_path) is None


def test_of_many_processes_one_writes(tmp_path: Path):
    program = """
import sys, pathlib
from dna_ray.errors import LockedError
from dna_ray.tracking.journal import Journal
sys.stdin.readline()
try:
    log = Journal(pathlib.Path(sys.argv[1]))
except LockedError as error:
    print(error.exit_code, flush=True)
else:
    log.append({"event": "won"})
    print("won", flush=True)
    sys.stdin.readline()
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.stdout.readline().strip() for racer in racers]
    assert sorted(said) == ["7", "7", "7", "won"]
    winner = racers[said.index("won")]
    assert journal.writer(tmp_path) == winner.pid
    winner.kill()  # SIGKILL: the lock ends with its process
    for racer in racers:
        racer.communicate()
    assert journal.writer(tmp_path) is None
    with Journal(tmp_path) as log:
        assert [entry["event"] for entry in log.past] == ["won"]


def test_lines_are_json_for_everybody(tmp_path: Path):
    for line in written(tmp_path).splitlines():
        assert list(json.loads(line))[:3] == ["seq", "time", "event"]
        assert list(json.loads(line))[-1] == "checksum"
