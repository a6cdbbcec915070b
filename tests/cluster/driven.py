"""Recipes whose driver is a process of its own on a cluster that was started by hand, and how far they have come."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nodes import Nodes
from raylets import HOW

from dna_ray.evolution.config import EvolveConfig
from dna_ray.mining import checkpoints
from dna_ray.recipe import EvolveHow, EvolveRecipe, EvolveWhat, Recipe, to_yaml
from dna_ray.tracking import journal

SMALL = EvolveConfig(
    population_size=15, generations=16, batch=3, minibatch=6, calibration=16, rungs=(1, 2)
)  # 80 batches
TRAINS, EVALUATES = "ray::RayTrainWorker", "ray::Seat"  # as workers call themselves

Driver = subprocess.Popen[bytes]


@contextlib.contextmanager
def driven(recipe: Recipe, cluster: Nodes, file: Path) -> Iterator[Driver]:
    """The recipe, run by a driver on the head, which does not outlive the block."""
    file.write_text(to_yaml(recipe))
    process = subprocess.Popen(
        [sys.executable, "-m", "dna_ray", recipe.verb, "--recipe", str(file)],
        env={**cluster.environment, "RAY_ADDRESS": cluster.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ended_well(driver: Driver) -> None:
    output, _ = driver.communicate(timeout=240)
    assert driver.returncode == 0, output.decode()


def search_of(network: Path, home: Path, *, workers: int, config: EvolveConfig = SMALL) -> EvolveRecipe:
    """A search on what `tiny_runs.write_small_network` wrote."""
    what = EvolveWhat(network=str(network), config=config, images=str(network / "images"), limit=100)
    return EvolveRecipe(what=what, how=EvolveHow(workers=workers, home=str(home), tracking=str(HOW["tracking"])))


def journal_of(home: Path) -> list[dict[str, Any]]:
    """Of the one run in `home`; empty where there is none yet."""
    return [entry for file in home.glob(f"*/{journal.FILE}") for entry in journal.read(file.parent)]


def saved(home: Path) -> int:
    """The step of the newest checkpoint."""
    return max((step for found in home.glob("*/checkpoints") for step in checkpoints.saved_steps(found)), default=0)


def told(home: Path) -> list[int]:
    """The numbers of the batches that the search was told."""
    return [entry["number"] for entry in journal_of(home) if entry["event"] == "told"]


def at_work(cluster: Nodes, title: str) -> list[int]:
    """How many workers of that title each node has."""
    return [len(node.at_work(title)) for node in cluster.others]
