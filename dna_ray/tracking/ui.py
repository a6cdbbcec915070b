"""The MLflow UI on a run store: a server on loopback, in a session of its own, that ends with whoever asked for it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from dna_ray.errors import RecipeError, UnreachableError
from dna_ray.tracking.store import ARTIFACTS, DATABASE, TRAINING_VIEW, database_uri
from dna_ray.tracking.synced import all_synced

HOST = "127.0.0.1"
PORT = 5000
_START = 120.0  # seconds for the server to answer; 10 to 20 on two cores
_STOP = 10.0  # seconds for its processes to end
_SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def ui_command(store: Path, *, port: int = PORT) -> list[str]:
    """The command that serves the run store `store`; what a user would type without us."""
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", database_uri(store)),
        *("--artifacts-destination", str((store / ARTIFACTS).resolve())),
    ]


def serve(store: Path, *, port: int = PORT, ready: Callable[[str], None]) -> None:
    """Serves the run store until Ctrl-C; `ready` is given the address once the server answers.

    Raises:
        RecipeError, UnreachableError: As `server`; the latter also if the server ends by itself.
    """
    with server(store, port=port) as (url, process):
        try:
            ready(url + _first_page(store))
            process.wait()
        except KeyboardInterrupt:
            return
        raise UnreachableError(f"{url}: the MLflow UI has ended; start it again: dna-ray ui")


@contextmanager
def server(store: Path, *, port: int = PORT) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serves the run store for the length of a block, which gets address and process once the server answers.

    Raises:
        RecipeError: The port is taken, or nothing in the store was sent to MLflow yet.
        UnreachableError: The server ended, or did not answer within two minutes.
    """
    if not (store / DATABASE).is_file():
        raise RecipeError(f"{store}: holds no {DATABASE}; mine something first, or: dna-ray track sync RUN")
    _check_free(port)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ui_command(store, port=port),
            env=os.environ | _SETTINGS,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            url = f"http://{HOST}:{port}"
            if not _answers(url, process):
                log.seek(0)
                last = (log.read().decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
                raise UnreachableError(f"the MLflow UI did not start on {url}: {last}")
            yield url, process
        finally:
            _stop(process)


def _first_page(store: Path) -> str:
    """The page of our runs, where one of them knows the experiment that it was sent to."""
    sent = (s for run in sorted(store.glob("*/")) for s in all_synced(run) if s.uri == database_uri(store))
    experiment = next((s.experiment for s in sent), None)
    return f"/#/experiments/{experiment}/runs?{TRAINING_VIEW}" if experiment else ""


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: TIME_WAIT does not count
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise RecipeError(
                f"port {port} of {HOST} cannot be had ({error.strerror}); choose another: dna-ray ui --port {port + 1}"
            ) from error


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _START
    while process.poll() is None and time.monotonic() < deadline:
        if _healthy(url):
            return True
        time.sleep(0.25)
    return False


def _healthy(url: str) -> bool:
    try:
        with urlopen(f"{url}/health", timeout=10) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the server and all that it started: MLflow's workers outlive their parent otherwise."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
