"""Sixteen nodes of one processor each: where workers are placed, two nodes that are lost, and accounts that add up."""

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from driven import EVALUATES, SMALL, TRAINS, at_work, driven, ended_well, journal_of, saved, search_of, told
from nodes import Node, Nodes, nodes
from raylets import CONFIG, HOW, wait_until
from tiny_runs import recipe_for, write_small_network

from dna_ray.verbs.evolve import evolve
from dna_ray.verbs.mined import file_id

pytestmark = [pytest.mark.ray, pytest.mark.soak, pytest.mark.timeout(1800)]

NODES, WORKERS, LOST = 16, 12, 2
ACCOUNTS = """
import json, ray
from ray.util.state import list_actors
ray.init(log_to_driver=False)
alive = list_actors(filters=[("state", "=", "ALIVE")])
print(json.dumps({"has": ray.cluster_resources(), "free": ray.available_resources(), "actors": len(alive)}))
"""


@pytest.fixture(scope="module")
def head() -> Iterator[Nodes]:
    with (
        tempfile.TemporaryDirectory(prefix="n") as folder,
        nodes(Path(folder), others=NODES, cpus=1, head_cpus=0) as started,
    ):
        yield started


@pytest.fixture
def cluster(head: Nodes) -> Nodes:
    """With sixteen nodes, however many were lost before."""
    while len(head.others) < NODES:
        head.join(cpus=1)
    return head


def busy(cluster: Nodes, title: str, dice: random.Random) -> Node:
    """One of the nodes that have a worker."""
    return dice.choice([node for node in cluster.others if node.at_work(title)])


def accounts(cluster: Nodes) -> dict[str, Any]:
    """What the cluster has, and what of it is free, as a driver of its own sees it."""
    environment = {**cluster.environment, "RAY_ADDRESS": cluster.address}
    asked = subprocess.run(
        [sys.executable, "-c", ACCOUNTS], env=environment, capture_output=True, text=True, check=True
    )
    return dict(json.loads(asked.stdout.splitlines()[-1]))


def all_is_free(cluster: Nodes) -> bool:
    seen = accounts(cluster)
    same = all(seen["free"].get(name, 0) == seen["has"][name] for name in ("CPU", "memory", "object_store_memory"))
    return same and seen["actors"] == 0 and seen["has"]["CPU"] == len(cluster.others)


def trained(
    cluster: Nodes, network: Path, home: Path, *, losses: Sequence[int], dice: random.Random
) -> tuple[str, list[list[int]]]:
    """The id of the DNA, and the bytes that each worker held, of each group of workers; a node is lost at each step."""
    recipe = recipe_for(network, home, workers=WORKERS, how=HOW, **CONFIG)
    with driven(recipe, cluster, home.with_suffix(".yaml")) as driver:
        for moment in losses:
            wait_until(lambda m=moment: saved(home) >= m or driver.poll() is not None, seconds=600)
            assert sorted(at_work(cluster, TRAINS))[-WORKERS:] == [1] * WORKERS
            cluster.lose(busy(cluster, TRAINS, dice))
        ended_well(driver)
    (dna,) = home.glob("*/dna")
    return file_id(dna), [entry["bytes"] for entry in journal_of(home) if entry["event"] == "shards"]


def test_twelve_workers_train_on_as_many_nodes_and_outlive_two_of_them(cluster: Nodes, network: Path, tmp_path: Path):
    dice = random.Random(NODES)
    undisturbed, (shards,) = trained(cluster, network, tmp_path / "undisturbed", losses=[], dice=dice)
    disturbed, held = trained(
        cluster, network, tmp_path / "lost", losses=sorted(dice.sample(range(20, 90), LOST)), dice=dice
    )
    assert disturbed == undisturbed
    assert held == [shards] * (1 + LOST), "as many workers as before hold the same shards"
    assert len(shards) == WORKERS
    wait_until(lambda: all_is_free(cluster))


def test_twelve_evaluators_are_spread_and_outlive_two_nodes(cluster: Nodes, tmp_path: Path):
    dice = random.Random(WORKERS)
    home, network = tmp_path / "runs", write_small_network(tmp_path / "resnet")
    recipe = search_of(network, home, workers=WORKERS, config=replace(SMALL, lag=WORKERS))
    with driven(recipe, cluster, tmp_path / "recipe.yaml") as driver:
        for moment in sorted(dice.sample(range(5, 60), LOST)):
            wait_until(lambda m=moment: len(told(home)) >= m or driver.poll() is not None, seconds=600)
            cluster.lose(busy(cluster, EVALUATES, dice))
        ended_well(driver)
    found = evolve(recipe)
    undisturbed = evolve(replace(recipe, how=replace(recipe.how, workers=0, home=str(tmp_path / "undisturbed"))))
    assert (found.lineage, found.champion) == (undisturbed.lineage, undisturbed.champion)
    assert len(set(told(home))) == len(told(home)), "every batch is told once"
    wait_until(lambda: all_is_free(cluster))
