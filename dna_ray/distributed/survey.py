"""What the nodes of a cluster are like, told by themselves: a script that runs where dna_ray may be missing.

    python survey.py '{"home": "/shared/runs", "paths": ["/shared/models/bert"], "tracking": "http://mlflow:5000"}'

It connects to the Ray that RAY_ADDRESS names (a job has it), asks a task on every node, and prints one line of JSON
after `MARK`. It imports nothing but the standard library, Ray and what comes with Ray, and prints no secret.
"""

import contextlib
import importlib.metadata
import ipaddress
import json
import os
import platform
import secrets
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

MARK = "dna-ray-survey "
PATIENCE = 60.0  # seconds that the nodes get to answer, all together
SERVER_PATIENCE = 5.0  # seconds that a tracking server gets
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}
_RAY = ("raylet", "gcs_server", "ray::")  # what the processes of Ray call themselves


def survey(home: str | None, paths: list[str], tracking: str | None) -> dict[str, Any]:
    """Asks every node of the connected cluster.

    Args:
        home: Folder of the runs, which all nodes must share; None: DNA_RAY_HOME of the node that this runs on.
        paths: What else every node must see.
        tracking: URI of the tracking server; None: MLFLOW_TRACKING_URI of the node that this runs on.
    """
    import ray

    home = home or os.environ.get("DNA_RAY_HOME")
    tracking = tracking or os.environ.get("MLFLOW_TRACKING_URI")
    nodes = {node["NodeID"]: node for node in ray.nodes()}
    with _marked(home) as (mark, trouble):
        answers = _asked([key for key, node in nodes.items() if node["Alive"]], mark, paths)
    return {
        "home": home,
        "home_trouble": trouble,
        "tracking": tracking and _public(tracking),
        "tracking_trouble": tracking and _server_trouble(tracking),
        "resources": {name: value for name, value in ray.cluster_resources().items() if name in ("CPU", "GPU")},
        "nodes": [_node(node, answers.get(key)) for key, node in nodes.items()],
    }


def look(mark: str | None, paths: list[str]) -> dict[str, Any]:
    """What the node that this runs on is like.

    Args:
        mark: A file that the surveying node has just written into the folder of the runs.
        paths: What this node must see, too.
    """
    raylet = _own_raylet()
    shared = Path(_option(raylet, "plasma_directory") or "/dev/shm")
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "auth": os.environ.get("RAY_AUTH_MODE", ""),
        "token_mode": _token_mode(),
        "open": sorted(_open_sockets()),
        "store_in": str(shared),
        "shared_memory": shutil.disk_usage("/dev/shm").total if Path("/dev/shm").is_dir() else None,
        "disk_free": shutil.disk_usage(_option(raylet, "temp_dir") or "/tmp").free,
        "disk_at": _option(raylet, "temp_dir") or "/tmp",
        "home_trouble": mark and _home_trouble(Path(mark)),
        "home_free": mark and _free(Path(mark).parent),
        "missing": [path for path in paths if not Path(path).exists()],
    }


def _asked(nodes: list[str], mark: str | None, paths: list[str]) -> dict[str, dict[str, Any]]:
    """The answers of the nodes, by their ids; who does not answer in time is left out."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for key in nodes:
        there = NodeAffinitySchedulingStrategy(key, soft=False)
        task: Callable[..., Any] = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(look).remote
        asked[task(mark, paths)] = key
    ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE)
    answers = {}
    for each in ready:
        with contextlib.suppress(ray.exceptions.RayError):
            answers[asked[each]] = ray.get(each)
    return answers


def _node(node: dict[str, Any], answer: dict[str, Any] | None) -> dict[str, Any]:
    resources = node.get("Resources", {})
    return {
        "name": node["NodeManagerHostname"],
        "address": node["NodeManagerAddress"],
        "head": "node:__internal_head__" in resources,
        "alive": node["Alive"],
        "store": int(resources.get("object_store_memory", 0)),
        "answer": answer,
    }


@contextlib.contextmanager
def _marked(home: str | None) -> Iterator[tuple[str | None, str | None]]:
    """A file that is new in `home`, and why there is none."""
    if home is None:
        yield None, None
        return
    mark = Path(home) / f".survey-{secrets.token_hex(8)}"
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text("written by the node that surveys")
    except OSError as error:
        yield None, error.strerror or type(error).__name__
        return
    try:
        yield str(mark.absolute()), None
    finally:
        mark.unlink(missing_ok=True)


def _home_trouble(mark: Path) -> str | None:
    """What keeps this node from sharing the folder in which `mark` is."""
    own = mark.with_name(f"{mark.name}-{secrets.token_hex(4)}")
    try:
        if not mark.exists():
            return "is not the folder that the head sees" if mark.parent.is_dir() else "is not there"
        own.write_text("written by a node")
        own.unlink()
    except OSError as error:
        return f"cannot be written ({error.strerror})"
    return None


def _free(folder: Path) -> int | None:
    return shutil.disk_usage(folder).free if folder.is_dir() else None


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in ("dna-ray", "ray", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _token_mode() -> str | None:
    """The mode of the token's file, in octal, where others than its owner may read it."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    return f"{path} {mode:04o}" if mode & (stat.S_IRWXG | stat.S_IRWXO) else None


def _own_raylet() -> list[str]:
    """The command line of the raylet that this task runs under."""
    import psutil

    for process in psutil.Process().parents():
        with contextlib.suppress(psutil.Error):
            if process.name() == "raylet":
                return list(process.cmdline())
    return []


def _option(command: list[str], name: str) -> str | None:
    return next((word.partition("=")[2] for word in command if word.startswith(f"--{name}=")), None) or None


def _open_sockets() -> set[str]:
    """Where processes of this node's Ray listen beyond loopback; those of other users cannot be seen."""
    import psutil

    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            name = process.name()
            if name.startswith(_RAY) or (name.startswith("python") and "/ray/" in " ".join(process.cmdline())):
                for each in process.net_connections(kind="tcp"):
                    if each.status == psutil.CONN_LISTEN and not _loopback(each.laddr.ip):
                        found.add(f"{name} {each.laddr.ip}:{each.laddr.port}")
    return found


def _loopback(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _server_trouble(uri: str) -> str | None:
    """What keeps the tracking server at `uri` from being used from here."""
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if scheme not in _PORTS or not parts.hostname:
        return None
    try:
        socket.create_connection((parts.hostname, parts.port or _PORTS[scheme]), timeout=SERVER_PATIENCE).close()
        if scheme in ("http", "https"):
            with urlopen(f"{_public(uri).rstrip('/')}/health", timeout=SERVER_PATIENCE) as answer:
                return None if answer.read(100).strip() == b"OK" else "is no MLflow"
    except HTTPError as error:
        return None if error.code in (401, 403) else "is no MLflow"
    except (URLError, OSError) as error:
        return f"does not answer ({getattr(error, 'strerror', None) or type(error).__name__})"
    return None


def _public(uri: str) -> str:
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl() if parts.netloc else uri


def main() -> None:
    import ray

    asked, address = json.loads(sys.argv[1]), os.environ["RAY_ADDRESS"]
    ray.init(address=address, log_to_driver=False, logging_level="error")
    print(MARK + json.dumps(survey(asked.get("home"), asked.get("paths", []), asked.get("tracking"))), flush=True)


if __name__ == "__main__":
    main()
