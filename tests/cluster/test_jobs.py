"""The jobs of `jobs/`, and recipes by `dna-ray submit`, on a head that was started by hand, as on a cluster."""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from driven import saved
from heads import Head, joined, started_head
from planted import plant_package
from raylets import CONFIG, HOW, open_to_others, wait_until
from tiny_runs import recipe_for

from dna_ray.recipe import to_yaml
from dna_ray.tracking import journal
from dna_ray.verbs.mine import MineResult, mine
from dna_ray.verbs.mined import file_id

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
PASSWORD = "canary-b7Q2mX9vLk"
TRACKING = f"postgresql://dna:{PASSWORD}@127.0.0.1:9/mlflow"  # nobody is there


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """Its jobs find the tracking server, with its password, in their environment, and an older dna-ray beside them."""
    older = tmp_path_factory.mktemp("older")
    plant_package(older, "dna-ray", "0.0.9")
    with started_head(MLFLOW_TRACKING_URI=TRACKING, PYTHONPATH=str(older)) as started:
        yield started


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is submitted: the package and the jobs."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("dna_ray", "jobs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def ended(process: "subprocess.Popen[str]", *, code: int) -> tuple[str, str]:
    """What a command said on stdout and stderr."""
    said = process.communicate(timeout=240)
    assert process.returncode == code, said
    return said


def told_of(head: Head, name: str = "") -> Any:
    """All that the cluster tells of a job; of all jobs without a name."""
    token = (head.home / "token").read_text()
    asked = Request(f"{head.dashboard}/api/jobs/{name}", headers={"Authorization": f"Bearer {token}"})
    with urlopen(asked, timeout=20) as answer:
        return json.load(answer)


def submitted(head: Head) -> bool:
    """Whether the first attempt at a recipe is known to the cluster."""
    return any((each["submission_id"] or "").endswith("-a1") for each in told_of(head))


def files_with(secrets: tuple[str, ...], *folders: Path) -> list[Path]:
    """Files below `folders`, databases included, in which one of `secrets` stands."""
    found = []
    for path in (each for folder in folders for each in folder.rglob("*") if each.is_file() and not each.is_symlink()):
        with contextlib.suppress(OSError):
            data = path.read_bytes()
            if any(secret.encode() in data for secret in secrets):
                found.append(path)
    return found


def test_a_submitted_job_makes_the_bytes_of_a_local_run(head: Head, project: Path, network: Path, tmp_path: Path):
    assert not open_to_others(list(head.processes))
    local = mine(recipe_for(network, tmp_path / "local", how=HOW, kind="coded", ratio=3.0))
    recipe = recipe_for(network, tmp_path / "runs", workers=2, how=HOW, kind="coded", ratio=9.0)
    (project / "toy.yaml").write_text(to_yaml(recipe))
    job = head.submit(project, "python", "jobs/mine.py", "toy.yaml", "--set", "what.ratio=3", "--json")
    assert job.returncode == 0, job.stdout + job.stderr
    assert "encode done" in job.stdout + job.stderr
    result = next(json.loads(line) for line in job.stdout.splitlines() if line.startswith('{"schema"'))
    assert file_id(Path(result["dna"])) == result["id"] == local.id


def test_a_recipe_survives_its_driver_is_followed_once_more_and_no_secret_is_written_anywhere(
    head: Head, network: Path, undisturbed: MineResult, tmp_path: Path, dice: random.Random
):
    moment, home, file, cache = dice.randint(30, 60), tmp_path / "runs", tmp_path / "toy.yaml", tmp_path / "cache"
    recipe = recipe_for(network, home, workers=2, how={**HOW, "checkpoint_every": 0.1}, **CONFIG)
    text = to_yaml(recipe).replace(str(HOW["tracking"]), TRACKING)
    file.write_text(text)
    submit = ("submit", file, "--address", head.dashboard)
    outside = {"DNA_RAY_CACHE": str(cache), "MLFLOW_TRACKING_URI": TRACKING}
    first = head.dna_ray(*submit, "--json", **outside)
    wait_until(lambda: submitted(head) or first.poll() is not None)
    watcher = head.dna_ray(*submit, **outside)
    assert watcher.stderr
    attached = next(line for line in watcher.stderr if "at work already" in line)
    watcher.send_signal(signal.SIGINT)
    watched = ended(watcher, code=130)
    assert "ray job stop" in watched[0]
    wait_until(lambda: saved(home) >= moment or first.poll() is not None)
    assert first.poll() is None, ended(first, code=0)
    driver = journal.writer(next(home.glob("mine-*")))
    assert driver, "the job goes on without the watcher"
    os.kill(driver, signal.SIGKILL)
    output, notes = ended(first, code=0)
    told = json.loads(output)
    assert (told["attempt"], told["status"], told["exit_code"]) == (2, "SUCCEEDED", 0)
    assert told["job"].endswith("-a2")
    assert "was lost" in notes
    assert "ray job submit" in notes
    assert "dna-ray 0.0.9, here" in notes
    assert list(cache.glob("jobs/*/dna_ray/__main__.py")), "this version goes along"
    assert told["result"]["id"] == undisturbed.id
    assert [entry["event"] for entry in journal.read(Path(told["result"]["run"]))].count("run") == 2

    ended(head.dna_ray("track", "sync", told["result"]["run"], "--tracking", f"sqlite:///{tmp_path}/mlflow.db"), code=0)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("select count(*) from params").fetchone()[0] > 0
    token = (head.home / "token").read_text()
    file.unlink()  # the one place where the password was put
    assert files_with((PASSWORD, token), tmp_path, head.home) == [head.home / "token"]
    everything = output + notes + attached + "".join(watched) + json.dumps([told_of(head, told["job"]), told])
    assert PASSWORD not in everything
    assert token not in everything


def test_the_exit_code_of_a_job_is_that_of_submit(head: Head, network: Path, tmp_path: Path):
    recipe = recipe_for(network, tmp_path / "runs", kind="svd", bytes=10)
    (tmp_path / "small.yaml").write_text(to_yaml(recipe))
    submit = ("submit", tmp_path / "small.yaml", "--address", head.dashboard)
    output, _ = ended(head.dna_ray(*submit, "--no-wait", DNA_RAY_CACHE=str(tmp_path)), code=0)
    assert "ray job logs --follow" in output
    output, _ = ended(head.dna_ray(*submit, DNA_RAY_CACHE=str(tmp_path)), code=3)
    assert "the smallest possible is" in output
    assert "FAILED" in output


def test_faults_of_the_cluster_are_named_before_anything_is_submitted(head: Head, network: Path, tmp_path: Path):
    """A second node with an object store on disk, an older torch, and a token that others can read."""
    recipe = recipe_for(tmp_path / "missing", tmp_path / "runs", workers=64)
    (tmp_path / "recipe.yaml").write_text(to_yaml(recipe))
    plant_package(tmp_path / "planted", "torch", "1.0.0")
    (tmp_path / "token").write_text((head.home / "token").read_text())
    (tmp_path / "token").chmod(0o644)
    (tmp_path / "store").mkdir()
    options = {"object_store_memory": 2**27, "plasma_directory": tmp_path / "store"}
    variables = {"PYTHONPATH": str(tmp_path / "planted"), "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    with joined(head, tmp_path / "node.log", options, **variables):
        submit = ("submit", tmp_path / "recipe.yaml", "--address", head.dashboard, "--json")
        output, notes = ended(head.dna_ray(*submit, DNA_RAY_CACHE=str(tmp_path / "cache")), code=8)
    error = json.loads(output)["error"]["message"]
    for fault in ("64 need 64 CPUs", "/missing is not there", "mode 0644"):
        assert fault in error
        assert fault in notes
    for warning in ("torch 1.0.0, here", f"the object store lies in {tmp_path}/store", "127.0.0.1:9/mlflow does not"):
        assert warning in notes
    assert not (tmp_path / "cache").exists()


def test_doctor_looks_at_a_cluster_from_one_of_its_machines(head: Head, tmp_path: Path):
    output, _ = ended(head.dna_ray("doctor", "--address", head.address, "--json", DNA_RAY_HOME=str(tmp_path)), code=0)
    checks = {check["name"]: check for check in json.loads(output)["checks"]}
    assert {"nodes", "token", "runs", "tracking"} <= checks.keys()
    assert "seen and written by 1 node" in output
    assert PASSWORD not in output


def test_without_the_token_nobody_submits(head: Head, project: Path, tmp_path: Path):
    stranger = {**head.environment, "HOME": str(tmp_path), "RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}
    refused = Head(head.dashboard, head.address, stranger, (), tmp_path)
    assert refused.submit(project, "python", "-c", "print('in')").returncode != 0
    recipe = ROOT / "jobs" / "recipes" / "minilm.yaml"
    _, said = ended(refused.dna_ray("submit", recipe, "--address", head.dashboard), code=9)
    assert "wants a token, and there is none here" in said
    (tmp_path / "none").touch(mode=0o600)
    (tmp_path / "none").write_text("of another cluster")
    _, said = ended(refused.dna_ray("submit", recipe, "--address", head.dashboard), code=9)
    assert "does not take the token that is here" in said
