"""Where Ray comes from: a local cluster of this process's own, or one that runs already."""

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

from dna_ray.errors import ResourceError, UnreachableError

_CONNECT_SECONDS = 5.0
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # report() waits for this poll; the default of 2 s doubles a short fit
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}


@contextlib.contextmanager
def ray_cluster(address: str | None, *, workers: int, use_gpu: bool = False) -> Iterator[None]:
    """Connects to the Ray cluster at `address`, or starts one on loopback that ends with the block.

    A local cluster is this process's own, guarded by a token that nobody else knows. Inside a submitted job the job's
    own cluster is used.

    Raises:
        UnreachableError: Nothing answers at `address`.
        ResourceError: The cluster has fewer processors or GPUs than the workers need.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    os.environ.update({name: os.environ.get(name, value) for name, value in _SETTINGS.items()})
    local = None if address else tempfile.mkdtemp(prefix="dna-ray-")
    if local:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    else:
        _check_answers(str(address))
    import ray

    try:
        if local:
            _start(local, workers)
        else:
            _connect(str(address))
        _check_resources(workers, use_gpu)
        yield
    finally:
        ray.shutdown()
        if local:
            shutil.rmtree(local, ignore_errors=True)


def _start(folder: str, workers: int) -> None:
    import ray

    try:
        ray.init(
            address="local",
            num_cpus=max(workers, os.cpu_count() or 1),
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            configure_logging=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder if len(folder) < 50 else None,  # a longer path does not fit into a unix socket's name
            object_store_memory=256 * 2**20,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ResourceError(
            f"Ray did not start on this machine ({_first_line(error)}); see `dna-ray doctor`, or use --workers 0"
        ) from error


def _connect(address: str) -> None:
    import ray

    os.environ.setdefault("RAY_AUTH_MODE", "token" if _has_token() else "disabled")
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", configure_logging=False)
    except Exception as error:  # Ray raises many kinds here, none of which is ours
        raise UnreachableError(
            f"Ray at {address} does not answer ({_first_line(error)}); check the address and the token, "
            "or leave out --address to start Ray here"
        ) from error


def _check_answers(address: str) -> None:
    """Ray itself waits for a minute where nothing listens: ask the port first."""
    target = urlparse(address if "://" in address else f"ray-gcs://{address}")
    if address in ("auto", "local") or not target.hostname or not target.port:
        return
    try:
        socket.create_connection((target.hostname, target.port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise UnreachableError(
            f"Ray at {address} does not answer ({error.strerror or error}); start it with `ray start --head`, "
            "or leave out --address to start Ray here"
        ) from error


def _check_resources(workers: int, use_gpu: bool) -> None:
    import ray

    found = ray.cluster_resources()
    need = {"CPU": workers, **({"GPU": workers} if use_gpu else {})}
    for name, count in need.items():
        if found.get(name, 0) < count:
            raise ResourceError(
                f"{workers} workers need {count} {name}s, the cluster has {found.get(name, 0):g}; use fewer --workers"
            )


def _has_token() -> bool:
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or str(Path.home() / ".ray" / "auth_token")
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or Path(path).exists()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
