"""Processes die in the middle of a run; its DNA is, byte for byte, that of an undisturbed one."""

import contextlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from raylets import AGENTS, CONFIG, HOW, alive, children, open_to_others, stops_when_asked, titled, wait_until
from tiny_runs import recipe_for, write_reader

from dna_ray.distributed.cluster import ray_cluster
from dna_ray.mining import checkpoints
from dna_ray.mining.fit import DivergedError
from dna_ray.recipe import MineRecipe, to_yaml
from dna_ray.tracking import journal
from dna_ray.tracking.record import read_record
from dna_ray.verbs.mine import MineResult, mine
from dna_ray.verbs.mined import file_id

pytestmark = pytest.mark.ray

EARLY, LATE = 30, 60  # steps between which processes die; soon reached, far from the last
WORKER = "ray::RayTrainWorker"


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One for all tests: `mine` uses the Ray that its process is connected to."""
    with ray_cluster(None, workers=2):
        yield


def checkpoint_beyond(run: Path, step: int) -> bool:
    return max(checkpoints.saved_steps(run / "checkpoints"), default=0) > step


def resumed_at(run: Path) -> list[int]:
    return [entry["step"] for entry in journal.read(run) if entry["event"] == "resumed"]


def only_run(home: Path) -> Path:
    return next(home.glob("mine-*"))


def test_a_killed_worker_is_replaced_and_the_bytes_are_the_same(
    cluster: None, undisturbed: MineResult, network: Path, tmp_path: Path, dice: random.Random
):
    moment = dice.randint(EARLY, LATE)
    victims: list[psutil.Process] = []
    exposed: list[str] = []

    def kill() -> None:
        wait_until(lambda: any(checkpoint_beyond(run, moment) for run in tmp_path.glob("mine-*")))
        exposed.extend(open_to_others(children()))
        victims.append(dice.choice(titled(WORKER)))
        victims[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    result = mine(recipe_for(network, tmp_path, workers=2, how=HOW, **CONFIG))
    killer.join()
    assert victims
    assert not exposed
    assert resumed_at(Path(result.run))[0] > moment
    assert result.id == undisturbed.id


def test_every_step_is_in_the_curve(undisturbed: MineResult):
    record = read_record(Path(undisturbed.run))
    steps = list(record.points)
    assert steps == sorted(steps)
    assert steps[-1] > 4 * EARLY
    assert record.status == "finished"


@pytest.mark.soak
def test_a_loss_that_is_not_finite_ends_the_run_at_once_and_names_step_and_shard(
    cluster: None, network: Path, tmp_path: Path
):
    with pytest.raises(DivergedError, match=r"step \d+: the (loss on shard \d of 2|gradient) is not finite") as caught:
        mine(recipe_for(network, tmp_path, workers=2, how=HOW, **{**CONFIG, "lr": 1e30, "clip_norm": 1e30}))
    assert caught.value.exit_code == 4
    run = only_run(tmp_path)
    entries = journal.read(run)
    assert entries[-1]["status"] == "failed"
    assert "not finite" in entries[-1]["reason"]
    assert sum(entry["event"] == "resumed" for entry in entries) == 0
    assert checkpoints.saved_steps(run / "checkpoints")


@pytest.mark.soak
def test_a_killed_worker_of_healing_is_replaced_and_the_bytes_are_the_same(cluster: None, tmp_path: Path):
    network = write_reader(tmp_path / "bert")
    what = {"task": "none", "texts": str(network / "texts.txt")}
    config = {"kind": "coded", "ratio": 3.0, "effort": 8, "calibration_texts": 16, "heal": "agreement", "steps": 120}

    def healed(home: Path) -> MineResult:
        return mine(recipe_for(network, home, workers=2, how=HOW, what=what, **config))

    victims: list[psutil.Process] = []

    def kill() -> None:
        wait_until(lambda: any(checkpoint_beyond(run / "healing", 0) for run in (tmp_path / "killed").glob("mine-*")))
        victims.append(titled(WORKER)[0])
        victims[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    result = healed(tmp_path / "killed")
    killer.join()
    assert victims
    assert resumed_at(Path(result.run))
    assert result.id == healed(tmp_path / "undisturbed").id


@contextlib.contextmanager
def started(recipe: MineRecipe, file: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`dna-ray mine` in a process of its own, which does not outlive the block."""
    file.write_text(to_yaml(recipe))
    process = subprocess.Popen(
        [sys.executable, "-m", "dna_ray", "mine", "--recipe", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "RAY_ADDRESS": ""},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def killed(driver: "subprocess.Popen[bytes]", home: Path, moment: int) -> int:
    """Kills the driver once it has saved a later step, and waits until its Ray is gone; the last step that it saved."""
    wait_until(lambda: (runs := list(home.glob("mine-*"))) and checkpoint_beyond(runs[0], moment))
    orphans = children(driver.pid)
    driver.kill()
    driver.communicate()
    wait_until(lambda: not alive(orphans, but=AGENTS))
    assert journal.read(only_run(home))[-1]["event"] != "end"
    return checkpoints.saved_steps(only_run(home) / "checkpoints")[-1]


def test_a_killed_driver_leaves_no_process_and_the_same_recipe_ends_with_the_same_bytes(
    cluster: None, undisturbed: MineResult, network: Path, tmp_path: Path, dice: random.Random
):
    recipe = recipe_for(network, tmp_path / "runs", workers=2, how=HOW, **CONFIG)
    with started(recipe, tmp_path / "recipe.yaml") as driver:
        reached = killed(driver, tmp_path / "runs", dice.randint(EARLY, LATE))
    result = mine(recipe)
    assert result.id == undisturbed.id == file_id(only_run(tmp_path / "runs") / "dna")
    assert resumed_at(Path(result.run)) == [reached]


@pytest.mark.soak
def test_killed_and_then_stopped_a_driver_loses_nothing(
    cluster: None, undisturbed: MineResult, network: Path, tmp_path: Path, dice: random.Random
):
    recipe = recipe_for(network, tmp_path / "runs", workers=2, how=HOW, **CONFIG)
    with started(recipe, tmp_path / "recipe.yaml") as driver:
        reached = killed(driver, tmp_path / "runs", dice.randint(EARLY, LATE))
    run = only_run(tmp_path / "runs")
    with started(recipe, tmp_path / "recipe.yaml") as driver:
        wait_until(lambda: checkpoint_beyond(run, reached))
        stops_when_asked(driver)
    assert journal.read(run)[-1]["status"] == "stopped"
    assert mine(recipe).id == undisturbed.id
    first, second = resumed_at(run)
    assert first == reached < second
