"""Sends the survey of `survey.py` to a cluster: as a job from outside, as a process on one of its machines."""

import json
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dna_ray.distributed import survey
from dna_ray.distributed.access import authentication, loopback_only
from dna_ray.distributed.jobs import Jobs, Submission, last_line
from dna_ray.errors import ResourceError, UnreachableError

_JOB_PATIENCE = 120.0  # seconds that a job gets, from its submission to its end
_PATIENCE = 60.0  # seconds that Ray gets to let a process of this machine in


def survey_by_job(jobs: Jobs, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Surveys a cluster by a job, from outside; see `survey.py`.

    Raises:
        ResourceError: The job does not start, or fails.
    """
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "survey.py")
        script.write_text(Path(survey.__file__).read_text())
        name = f"dna-ray-survey-{secrets.token_hex(4)}"
        command = f"python survey.py {shlex.quote(json.dumps(asked))}"
        jobs.submit(Submission(id=name, entrypoint=command, working_dir=Path(folder), metadata={}))
        state = jobs.follow(name, lines.append, within=_JOB_PATIENCE)
    jobs.delete(name)
    return _surveyed(lines, state.message if state.ended else f"it is {state.status} after {_JOB_PATIENCE:g} s")


def survey_from_here(address: str, asked: Mapping[str, Any], *, insecure: bool) -> dict[str, Any]:
    """The same on a machine of the cluster, by a process.

    Args:
        address: Ray's own, as HOST:PORT, or `auto` for the cluster that was started on this machine.

    Raises:
        UnreachableError: Ray does not answer at `address`.
        InputError: It is open to others, and `insecure` does not allow that.
    """
    address = _current() if address == "auto" else address
    settings = {**authentication(address, insecure=insecure), **loopback_only(address), "RAY_USAGE_STATS_ENABLED": "0"}
    environment = {**os.environ, **settings, "RAY_ADDRESS": address}
    try:
        done = subprocess.run(
            [sys.executable, survey.__file__, json.dumps(asked)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired as error:
        raise UnreachableError(
            f"Ray at {address} does not answer within {_PATIENCE:g} s; check address, token and firewall"
        ) from error
    if done.returncode:
        raise UnreachableError(f"Ray at {address} does not answer ({last_line(done.stderr)}); check address and token")
    return _surveyed(done.stdout.splitlines(), done.stderr)


def _surveyed(lines: list[str], otherwise: str) -> dict[str, Any]:
    for line in lines:
        if survey.MARK in line:
            found: dict[str, Any] = json.loads(line.partition(survey.MARK)[2])
            return found
    raise ResourceError(f"a job that looks at the nodes failed ({last_line(otherwise)}); see `ray status` on the head")


def _current() -> str:
    """The address of the cluster that `ray start` started on this machine last."""
    if given := os.environ.get("RAY_ADDRESS"):
        return given
    note = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "ray", "ray_current_cluster")
    try:
        return note.read_text().strip()
    except OSError as error:
        raise UnreachableError(
            "no Ray runs on this machine; start one with `ray start`, or give its address"
        ) from error
