import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from invented_runs import mined

from dna_ray.errors import RecipeError
from dna_ray.tracking.store import database_uri, home, public, tracking_uri
from dna_ray.tracking.synced import Synced
from dna_ray.tracking.ui import serve, ui_command


def test_the_ui_listens_on_loopback_and_reads_the_store(tmp_path: Path):
    command = ui_command(tmp_path, port=5005)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5005"
    assert command[command.index("--backend-store-uri") + 1] == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_port_that_is_taken_is_said_with_another(store: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RecipeError, match=rf"port {port} .* cannot be had .*--port {port + 1}"):
            serve(store, port=port, ready=print)


def test_a_store_without_runs_is_said(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"holds no mlflow\.db; mine something first"):
        serve(tmp_path, ready=print)


def test_ctrl_c_ends_the_ui_and_all_that_it_started(store: Path):
    Synced(uri=database_uri(store), experiment="7").save(mined(store))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = """
import sys, pathlib
from dna_ray.tracking.synced import Synced
from dna_ray.tracking.ui import serve
serve(pathlib.Path(sys.argv[1]), port=int(sys.argv[2]), ready=lambda url: print(url, flush=True))
print("ended", flush=True)
"""
    command = [sys.executable, "-c", program, str(store), str(port)]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert served.stdout is not None
    page = served.stdout.readline().strip()
    assert page == f"http://127.0.0.1:{port}/#/experiments/7/runs?workflowType=machine_learning"
    assert addresses(port) == {"127.0.0.1"}
    assert interrupted(served).strip() == "ended"
    deadline = time.monotonic() + 10
    while addresses(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert addresses(port) == set()


def interrupted(process: "subprocess.Popen[str]") -> str:
    """What it says after Ctrl-C; pressed again where it was lost: Python drops one that comes while it cleans up."""
    for _ in range(4):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=30)[0]
    process.kill()
    raise AssertionError("it did not end")


def addresses(port: int) -> set[str]:
    """The addresses on which something on this machine listens to `port`."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {socket.inet_ntoa(bytes.fromhex(ip)[::-1]) for ip, number in listening if int(number, 16) == port}


def test_the_store_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DNA_RAY_HOME", str(tmp_path))
    assert home() == tmp_path
    assert tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db" == database_uri(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert tracking_uri() == "http://mlflow:5000"
    monkeypatch.setenv("DNA_RAY_HOME", "")
    assert home() == Path("runs")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://ada:secret@db:5432/mlflow", "postgresql://db:5432/mlflow"),
        ("http://localhost:5000", "http://localhost:5000"),
        (f"sqlite:///{os.sep}a@b/mlflow.db", "sqlite:////a@b/mlflow.db"),
    ],
)
def test_a_uri_is_shown_without_its_password(uri: str, shown: str):
    assert public(uri) == shown
