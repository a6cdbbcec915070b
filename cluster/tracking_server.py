"""An MLflow server on PostgreSQL, both on this machine: where the runs of a cluster are recorded."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from processes import HOST, Running, running

_DEBIAN = Path("/usr/lib/postgresql")  # has PostgreSQL's programs, which are not in the PATH there
_NOBODY = 65534
_SETTINGS = {
    "listen_addresses": "",  # a socket in a folder of its own is all it listens on
    "fsync": "off",  # its folder is deleted in the end
}
_MLFLOW = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs; None where it is not installed."""
    installed = [path for path in _DEBIAN.glob("*/bin/postgres") if path.parts[-3].isdigit()]
    newest = max(installed, key=lambda path: int(path.parts[-3]), default=shutil.which("postgres"))
    return Path(newest).resolve().parent if newest else None


@contextlib.contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """A new PostgreSQL for the length of a block, which gets its address as SQLAlchemy writes it."""
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder, data, user = Path(name), Path(name, "data"), _other_than_root()
        if user:
            shutil.chown(folder, _NOBODY, _NOBODY)
        made: list[object] = [
            *user,
            programs / "initdb",
            f"--pgdata={data}",
            "--username=mlflow",
            "--auth=trust",
            "--no-sync",
        ]
        made += ["--encoding=UTF8", "--locale=C"]
        subprocess.run([*map(str, made)], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        settings = [f"--{key}={value}" for key, value in {**_SETTINGS, "unix_socket_directories": name}.items()]
        socket = folder / ".s.PGSQL.5432"
        with running(
            [*user, programs / "postgres", "-D", data, *settings],
            log=folder / "log",
            ready=lambda: _accepts(programs, folder),
            stop=signal.SIGINT,  # at once, without waiting for clients
        ):
            yield f"postgresql+pg8000://mlflow@/postgres?unix_sock={socket}"


@contextlib.contextmanager
def mlflow_server(folder: Path, database: str, *, port: int) -> Iterator[Running]:
    """An MLflow server that keeps files below `folder`, and serves them; for the length of a block.

    Args:
        database: As SQLAlchemy writes its address.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", port, "--workers", "1"]
    files = ["--serve-artifacts", "--artifacts-destination", (folder / "artifacts").resolve()]
    environment = os.environ | _MLFLOW | {"MLFLOW_BACKEND_STORE_URI": database}  # a command line is seen by everybody
    with running(
        [*command, *files], log=folder / "mlflow.log", ready=lambda: _healthy(port), environment=environment
    ) as process:
        yield process


def _other_than_root() -> list[str]:
    """What to put before a command that refuses to be run by root."""
    setpriv = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    return setpriv if os.geteuid() == 0 else []


def _accepts(programs: Path, folder: Path) -> bool:
    return subprocess.run([programs / "pg_isready", "--quiet", f"--host={folder}"]).returncode == 0


def _healthy(port: int) -> bool:
    try:
        with urlopen(f"http://{HOST}:{port}/health", timeout=10) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
