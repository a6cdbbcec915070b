"""Where Ray comes from: a local cluster of this process's own, or one that runs already."""

import contextlib
import functools
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from dna_ray.distributed.access import authentication, loopback_only, silence
from dna_ray.distributed.metrics import published
from dna_ray.errors import ResourceError, UnreachableError

_OBJECT_STORE = 256 * 2**20  # bytes, for plans and curves
_STORE_SHARE = 0.3  # of the memory that the object store may take at most; beyond it, Ray spills to disk
_TEMP = "dna-ray-"  # then the pid of the process whose cluster has its logs and sockets there
_STARTS = 3  # of Ray on this machine, before it counts as impossible
_LONGEST_TEMP = 50  # characters; a longer path does not fit into the name of a unix socket
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # the poll that sees the end of a fit; ten a second took 4 % of a core
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}
_LOCAL_SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all of Ray's sockets listen on loopback only, on Linux too
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # one process less to start: nobody preempts this machine
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


@contextlib.contextmanager
def ray_cluster(
    address: str | None, *, workers: int, use_gpu: bool = False, held: int = 0, insecure: bool = False
) -> Iterator[None]:
    """Connects to the Ray cluster at `address`, or starts one on loopback that ends with the block.

    A local cluster is this process's own, guarded by a token that nobody else knows. Inside a submitted job the job's
    own cluster is used, and where this process is connected to Ray already, that connection, which then stays.

    Args:
        held: Bytes that will lie in the object store of a local cluster.
        insecure: Also use a cluster that others can reach and no token guards.

    Raises:
        UnreachableError: Nothing answers at `address`.
        InputError: The cluster is open to others, and `insecure` does not allow that.
        ResourceError: The cluster has fewer processors or GPUs than the workers need, or does not start.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address:
        _check_answers(address)
        settings = {**authentication(address, insecure=insecure), **loopback_only(address)}
    elif workers > _local_cpus():
        raise _too_few(workers, "CPU", _local_cpus())
    else:
        settings = _local_settings()
    with _environment({**_SETTINGS, **os.environ, **settings}):
        import ray

        if ray.is_initialized():
            _check_resources(workers, use_gpu)
            with published():
                yield
            return
        with _connected(address) if address else _started(held):
            _check_resources(workers, use_gpu)
            with published():
                yield


def _local_cpus() -> int:
    """Two workers may share a core, so that the usual two start on any machine."""
    return 2 * (os.cpu_count() or 1)


def _start(folder: str | None, held: int) -> None:
    """Ray gives itself half a minute, which a busy machine may need for something else: then it is tried again."""
    import ray

    for left in reversed(range(_STARTS)):
        try:
            with _on_loopback():
                ray.init(
                    address="local",
                    num_cpus=_local_cpus(),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="error",
                    configure_logging=False,
                    _temp_dir=folder,
                    object_store_memory=_OBJECT_STORE
                    + int(min(held, _STORE_SHARE * psutil.virtual_memory().available)),
                )
            return
        except Exception as error:
            ray.shutdown()
            if not left or "timed out" not in str(error):
                raise


@contextlib.contextmanager
def _started(held: int) -> Iterator[None]:
    import ray

    _sweep()
    folder = tempfile.mkdtemp(prefix=f"{_TEMP}{os.getpid()}-")
    try:
        _start(folder if len(folder) < _LONGEST_TEMP else None, held)
    except Exception as error:  # Ray raises many kinds here
        shutil.rmtree(folder, ignore_errors=True)
        raise ResourceError(
            f"Ray did not start on this machine ({_first_line(error)}); see `dna-ray doctor`, or use --workers 0"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Removes what the clusters of killed processes left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_TEMP}*"):
        pid = folder.name.removeprefix(_TEMP).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """For a process that had imported Ray, which reads the setting only once, before it came here."""
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def _connected(address: str) -> Iterator[None]:
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", configure_logging=False)
    except Exception as error:  # Ray raises many kinds here, none of which is ours
        ray.shutdown()
        raise UnreachableError(
            f"Ray at {address} does not answer ({_first_line(error)}); check the address and the token, "
            "or leave out --address to start Ray here"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    if address not in ("auto", "local") and (reason := silence(address)):
        raise UnreachableError(
            f"Ray at {address} does not answer ({reason}); start it with "
            "`ray start --head`, or leave out --address to start Ray here"
        )


def _check_resources(workers: int, use_gpu: bool) -> None:
    import ray

    found = ray.cluster_resources()
    for name in ("CPU", "GPU") if use_gpu else ("CPU",):
        if found.get(name, 0) < workers:
            raise _too_few(workers, name, found.get(name, 0))


def _too_few(workers: int, name: str, found: float) -> ResourceError:
    return ResourceError(
        f"{workers} workers need {workers} {name}s, the cluster has {found:g}; use {found:g} --workers or fewer"
    )


def _local_settings() -> dict[str, str]:
    loopback = {variable: _loopback_name() for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")}
    return {**_LOCAL_SETTINGS, **loopback, "RAY_AUTH_TOKEN": _token()}


@functools.cache
def _token() -> str:
    """One a process: Ray keeps the first that it sees, for later clusters of the same process too."""
    return secrets.token_hex(32)


def _loopback_name() -> str:
    return next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Ray takes its settings from the environment; the caller's is put back afterwards."""
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
