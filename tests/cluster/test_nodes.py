"""A node is lost in the middle of a run; who worked there goes on elsewhere, and the result is the same."""

import contextlib
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from driven import EVALUATES, TRAINS, at_work, driven, ended_well, journal_of, saved, search_of, told
from nodes import Nodes, nodes
from raylets import CONFIG, HOW, open_to_others, wait_until
from tiny_runs import recipe_for, write_reader, write_small_network

from dna_ray.verbs.evolve import evolve
from dna_ray.verbs.mine import MineResult, mine
from dna_ray.verbs.mined import file_id

pytestmark = pytest.mark.ray

WORKERS = 2


@pytest.fixture(scope="module")
def head() -> Iterator[Nodes]:
    """A head that only drives, and two nodes, each with room for all workers."""
    with tempfile.TemporaryDirectory(prefix="n") as folder, nodes(Path(folder), cpus=WORKERS, head_cpus=0) as started:
        yield started


@pytest.fixture
def cluster(head: Nodes) -> Nodes:
    """With two nodes, however many were lost before."""
    while len(head.others) < 2:
        head.join(cpus=WORKERS)
    return head


@contextlib.contextmanager
def waiting(processes: list[psutil.Process]) -> Iterator[None]:
    """They stand still for the length of a block."""
    for each in processes:
        each.suspend()
    try:
        yield
    finally:
        for each in processes:
            each.resume()


def test_a_worker_of_mining_goes_on_elsewhere(
    cluster: Nodes, undisturbed: MineResult, network: Path, tmp_path: Path, dice: random.Random
):
    home, moment, victim = tmp_path / "runs", dice.randint(30, 60), dice.choice(cluster.others)
    recipe = recipe_for(network, home, workers=WORKERS, how=HOW, **CONFIG)
    with driven(recipe, cluster, tmp_path / "recipe.yaml") as driver:
        wait_until(lambda: saved(home) >= moment or driver.poll() is not None)
        assert at_work(cluster, TRAINS) == [1, 1]
        assert not open_to_others(victim.process.family())
        cluster.lose(victim)
        ended_well(driver)
    entries = journal_of(home)
    assert next(entry["step"] for entry in entries if entry["event"] == "resumed") >= moment
    assert [len(entry["bytes"]) for entry in entries if entry["event"] == "shards"] == [WORKERS, WORKERS]
    (dna,) = home.glob("*/dna")
    assert file_id(dna) == undisturbed.id


def test_an_evaluator_goes_on_elsewhere(cluster: Nodes, tmp_path: Path, dice: random.Random):
    home, network = tmp_path / "runs", write_small_network(tmp_path / "resnet")
    moment, (victim, survivor) = dice.randint(10, 40), dice.sample(cluster.others, 2)
    recipe = search_of(network, home, workers=WORKERS)
    with driven(recipe, cluster, tmp_path / "recipe.yaml") as driver:
        wait_until(lambda: len(told(home)) >= moment or driver.poll() is not None)
        wait_until(lambda: at_work(cluster, EVALUATES) == [1, 1] or driver.poll() is not None)
        with waiting(survivor.at_work(EVALUATES)):  # or all would be done before another one has started
            cluster.lose(victim)
            wait_until(lambda: at_work(cluster, EVALUATES) == [WORKERS] or driver.poll() is not None)
            assert driver.poll() is None, "as many evaluate as before"
        ended_well(driver)
    found, undisturbed = evolve(recipe), evolve(search_of(network, tmp_path / "undisturbed", workers=0))
    assert (found.lineage, found.champion) == (undisturbed.lineage, undisturbed.champion)
    assert len(set(told(home))) == len(told(home)), "every batch is told once"


@pytest.mark.soak
def test_blocks_are_encoded_elsewhere(cluster: Nodes, tmp_path: Path, dice: random.Random):
    home, reader, victim = tmp_path / "runs", write_reader(tmp_path / "reader"), dice.choice(cluster.others)
    what = {"task": "none", "texts": str(reader / "texts.txt")}
    config = {"kind": "coded", "ratio": 3.0, "calibrate": "agreement", "calibration_texts": 16}
    recipe = recipe_for(reader, home, workers=WORKERS, how=HOW, what=what, **config)
    with driven(recipe, cluster, tmp_path / "recipe.yaml") as driver:
        wait_until(lambda: victim.at_work("ray::_run") or driver.poll() is not None)
        cluster.lose(victim)
        ended_well(driver)
    alone = mine(recipe_for(reader, tmp_path / "undisturbed", how=HOW, what=what, **config))
    (dna,) = home.glob("*/dna")
    assert file_id(dna) == alone.id
