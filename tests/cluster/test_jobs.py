"""The job of `jobs/`, submitted to a head that was started by hand, as on a cluster."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from raylets import CONFIG, HOW, alive, free_ports, open_to_others, wait_until
from tiny_runs import recipe_for

from dna_ray.recipe import read_recipe, to_yaml
from dna_ray.verbs.mine import MineResult
from dna_ray.verbs.mined import file_id

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")


@dataclass(frozen=True)
class Head:
    """A Ray head with its processes, and the environment in which a client may talk to it."""

    dashboard: str
    environment: Mapping[str, str]
    processes: tuple[psutil.Process, ...]

    def submit(self, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
        submit = [RAY, "job", "submit", "--address", self.dashboard, "--working-dir", folder]
        return subprocess.run(
            [*map(str, submit), "--", *command], env=self.environment, capture_output=True, text=True, timeout=200
        )


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """Guarded by a token in a home of its own; ends with all its processes."""
    with tempfile.TemporaryDirectory(prefix="h") as home, contextlib.ExitStack() as stack:
        token = Path(home, "token")
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        gcs, dashboard, agent, client = free_ports(4)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {
            "HOME": home,
            "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",  # as in an activated environment
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        options = {
            "port": gcs,
            "dashboard-host": "127.0.0.1",
            "dashboard-port": dashboard,
            "dashboard-agent-listen-port": agent,  # jobs need it; Ray would take 52365, free or not
            "ray-client-server-port": client,
            "temp-dir": home,
            "num-cpus": 4,
            "object-store-memory": 2**28,
        }
        command = [str(RAY), "start", "--head", "--block", *(f"--{name}={value}" for name, value in options.items())]
        log = stack.enter_context(Path(home, "head.log").open("wb"))
        process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=log, stderr=log)
        try:
            wait_until(lambda: answers(dashboard, process), seconds=90)
            below = tuple(psutil.Process(process.pid).children(recursive=True))
            yield Head(f"http://127.0.0.1:{dashboard}", environment, below)
        finally:
            below = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            for each in below:
                with contextlib.suppress(psutil.Error):
                    each.kill()
            process.kill()
            process.wait()
            wait_until(lambda: not alive(below), seconds=10)


def answers(port: int, process: "subprocess.Popen[bytes]") -> bool:
    """Whether the dashboard, and with it the jobs API, is there."""
    assert process.poll() is None, "the head ended"
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is submitted: the package and the jobs."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("dna_ray", "jobs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_a_submitted_job_makes_the_bytes_of_a_local_run(
    head: Head, project: Path, network: Path, undisturbed: MineResult, tmp_path: Path
):
    assert not open_to_others(list(head.processes))
    recipe = recipe_for(network, tmp_path / "runs", workers=2, how=HOW, **{**CONFIG, "seed": 1})
    (project / "toy.yaml").write_text(to_yaml(recipe))
    job = head.submit(project, "python", "jobs/mine.py", "toy.yaml", "--set", "what.seed=0", "--json")
    assert job.returncode == 0, job.stdout + job.stderr
    assert "start workers" in job.stdout
    result = next(json.loads(line) for line in job.stdout.splitlines() if line.startswith('{"schema"'))
    assert file_id(Path(result["dna"])) == result["id"] == undisturbed.id


def test_a_job_that_fails_is_shown_as_failed_with_its_reason(head: Head, project: Path):
    job = head.submit(project, "python", "jobs/mine.py", "jobs/recipes/minilm.yaml", "--set", "what.knid=svd")
    assert job.returncode == 1
    assert "did you mean 'what.kind'" in job.stdout + job.stderr


def test_without_the_token_nobody_submits(head: Head, project: Path, tmp_path: Path):
    stranger = {**head.environment, "HOME": str(tmp_path), "RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}
    refused = Head(head.dashboard, stranger, ()).submit(project, "python", "-c", "print('in')")
    assert refused.returncode != 0
    assert "in" not in refused.stdout.splitlines()


def test_the_recipes_of_the_jobs_are_whole():
    for path in (ROOT / "jobs" / "recipes").glob("*.yaml"):
        recipe = read_recipe(path)
        assert recipe.what.network == f"sample:{path.stem.removeprefix('evolve-')}"
