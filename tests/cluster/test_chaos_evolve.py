"""Evaluators and drivers of a search die at seeded random moments; its lineage is that of an undisturbed one."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from raylets import AGENTS, alive, children, stops_when_asked, titled, wait_until
from tiny_runs import write_small_network

from dna_ray.distributed.cluster import ray_cluster
from dna_ray.evolution.config import EvolveConfig
from dna_ray.recipe import EvolveHow, EvolveRecipe, EvolveWhat, to_yaml
from dna_ray.tracking import journal
from dna_ray.verbs.evolve import evolve
from dna_ray.verbs.evolved import EvolveResult

pytestmark = pytest.mark.ray

NOBODY = "http://127.0.0.1:9"  # where no tracking server listens
SMALL = EvolveConfig(population_size=15, generations=12, minibatch=6, calibration=16, rungs=(1, 2))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_network(tmp_path_factory.mktemp("networks") / "resnet")


@pytest.fixture(scope="module")
def undisturbed(network: Path, tmp_path_factory: pytest.TempPathFactory) -> EvolveResult:
    """What all others are compared with: evolved in this process, in one go."""
    return evolve(recipe_for(network, tmp_path_factory.mktemp("undisturbed"), workers=0))


def recipe_for(network: Path, home: Path, *, workers: int) -> EvolveRecipe:
    what = EvolveWhat(network=str(network), config=SMALL, images=str(network / "images"), limit=100)
    return EvolveRecipe(what=what, how=EvolveHow(workers=workers, home=str(home), tracking=NOBODY))


def told(home: Path) -> int:
    """Agents of which the journal knows so far."""
    runs = list(home.glob("evolve-*/journal.jsonl"))
    return (
        sum(len(entry["agents"]) for entry in journal.read(runs[0].parent) if entry["event"] == "told") if runs else 0
    )


def started(command: list[str]) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "RAY_ADDRESS": ""}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)


def evaluators(below: int) -> list[psutil.Process]:
    return titled("ray::Seat", below)


def moments(dice: random.Random) -> list[int]:
    """Numbers of agents told, at which something happens; in rising order."""
    return sorted(dice.sample(range(6, 70), 3))


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """`evolve` uses the Ray that its process is connected to."""
    with ray_cluster(None, workers=4):
        yield


def test_killed_and_stopped_processes_change_nothing_of_the_lineage(
    cluster: None, undisturbed: EvolveResult, network: Path, tmp_path: Path, dice: random.Random
):
    recipe, home = recipe_for(network, tmp_path / "runs", workers=2), tmp_path / "runs"
    file = tmp_path / "recipe.yaml"
    file.write_text(to_yaml(recipe))
    command = [sys.executable, "-m", "dna_ray", "evolve", "--recipe", str(file)]

    evaluator_dies, driver_dies, driver_is_stopped = moments(dice)
    with started(command) as driver:
        try:
            wait_until(lambda: told(home) >= evaluator_dies and evaluators(driver.pid))
            dice.choice(evaluators(driver.pid)).kill()
            wait_until(lambda: told(home) >= driver_dies)
            orphans = children(driver.pid)
        finally:
            driver.kill()
    wait_until(lambda: not alive(orphans, but=AGENTS))

    with started(command) as driver:
        try:
            wait_until(lambda: told(home) >= driver_is_stopped and evaluators(driver.pid))
            stops_when_asked(driver)
        finally:
            driver.kill()
    assert told(home) < undisturbed.counts["evaluated"]

    found = evolve(recipe)
    assert found.lineage == undisturbed.lineage
    assert found.champion == undisturbed.champion
    (run,) = home.glob("evolve-*/")
    numbers = [entry["number"] for entry in journal.read(run) if entry["event"] == "told"]
    assert len(set(numbers)) == len(numbers), "every batch is told once"


def test_four_workers_go_the_way_that_none_go(cluster: None, network: Path, tmp_path: Path):
    def lineage(workers: int) -> str:
        recipe = recipe_for(network, tmp_path / str(workers), workers=workers)
        return evolve(replace(recipe, what=replace(recipe.what, config=replace(SMALL, generations=3)))).lineage

    assert lineage(workers=4) == lineage(workers=0)
