"""Workers, nodes and drivers die again and again in the middle of runs, which end as if nobody had: `make soak`."""

import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from deaths import DEATHS, KILLERS, Deaths, Killer
from driven import EVALUATES, SMALL, TRAINS, at_work, driven, ended_well, journal_of, saved, search_of, told
from nodes import Nodes, nodes
from raylets import CONFIG, HOW, wait_until
from tiny_runs import recipe_for, write_small_network

from dna_ray.recipe import Recipe
from dna_ray.verbs.evolve import evolve
from dna_ray.verbs.evolved import read_result
from dna_ray.verbs.mined import file_id
from dna_ray.verbs.runs import read_run

pytestmark = [pytest.mark.ray, pytest.mark.soak, pytest.mark.timeout(1800)]

WORKERS = 2
EPOCHS = 48.0  # enough for many deaths
GENERATIONS = 60
JITTER = 0.5  # seconds: from outside only checkpoints and batches are seen, but processes die between them, too
PATIENCE = 900.0  # seconds until a run goes on, on a machine that has much else to do


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What is disturbed.

    Attributes:
        recipe: Of a run below a folder.
        title: What its workers call themselves.
        busy: What those of them call themselves that are at work: an evaluator that still loads is called otherwise.
        at_once: How many of them are at work before one is killed.
        apart: How far it comes at least between two deaths: whoever was killed has been replaced then, and no batch
            that was lost waits any more, as an agent whose evaluators die again and again has failed.
        reached: How far it has come: steps that are saved, or batches that were told.
        made: What is to be the same, of the folder above its run.
        whole: How far an undisturbed one came.
        expected: What that one made.
    """

    recipe: Callable[[Path], Recipe]
    title: str
    busy: str
    at_once: int
    apart: int
    reached: Callable[[Path], int]
    made: Callable[[Path], str]
    whole: int
    expected: str


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    """A head that only drives, and two nodes, each with room for all workers."""
    with tempfile.TemporaryDirectory(prefix="s") as folder, nodes(Path(folder), cpus=WORKERS, head_cpus=0) as started:
        yield started


@pytest.fixture(scope="module")
def mining(cluster: Nodes, network: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    def recipe(home: Path) -> Recipe:
        return recipe_for(network, home, workers=WORKERS, how=HOW, **{**CONFIG, "epochs": EPOCHS})

    home = tmp_path_factory.mktemp("undisturbed-mining")
    with driven(recipe(home), cluster, home / "recipe.yaml") as driver:
        ended_well(driver)
    return Work(
        recipe=recipe,
        title=TRAINS,
        busy=TRAINS,
        at_once=WORKERS,
        apart=1,
        reached=saved,
        made=dna_of,
        whole=trained(home),
        expected=dna_of(home),
    )


@pytest.fixture(scope="module")
def evolution(tmp_path_factory: pytest.TempPathFactory) -> Work:
    network = write_small_network(tmp_path_factory.mktemp("networks") / "resnet")

    def recipe(home: Path, workers: int = WORKERS) -> Recipe:
        return search_of(network, home, workers=workers, config=replace(SMALL, generations=GENERATIONS))

    home = tmp_path_factory.mktemp("undisturbed-evolution")
    evolve(recipe(home, workers=0))
    return Work(
        recipe=recipe,
        title=EVALUATES,
        busy=f"{EVALUATES}.train",
        at_once=1,
        apart=2 * SMALL.lag,
        reached=lambda home: len(told(home)),
        made=search_in,
        whole=len(told(home)),
        expected=search_in(home),
    )


def dna_of(home: Path) -> str:
    (dna,) = home.glob("*/dna")
    return file_id(dna)


def trained(home: Path) -> int:
    """Steps; a run that has ended keeps no checkpoint to count them by."""
    return max(point["step"] for entry in journal_of(home) if entry["event"] == "steps" for point in entry["points"])


def search_in(home: Path) -> str:
    (run,) = home.glob("evolve-*/")
    found = read_result(read_run(run))
    return f"{found.lineage} {found.champion}"


def disturb(work: Work, kill: Killer, deaths: Deaths, cluster: Nodes, home: Path) -> None:
    """Runs the work to its end; at each of the moments somebody is killed, and a driver that was is started again."""
    dice, moments, last = deaths.dice, deque(deaths.moments(work.whole)), -work.apart

    def due() -> bool:
        come = work.reached(home) >= max(moments[0], last + work.apart)
        return come and sum(at_work(cluster, work.busy)) >= work.at_once

    while True:
        with driven(work.recipe(home), cluster, home.with_suffix(".yaml")) as driver:
            while moments and driver.poll() is None:
                wait_until(lambda: driver.poll() is not None or due(), seconds=PATIENCE)
                time.sleep(dice.uniform(0, JITTER))
                assert driver.poll() is None, f"ended before {moments[0]} of {work.whole}: {driver.communicate()[0]}"
                last = work.reached(home)
                kill(cluster, driver, work.busy, dice)
                moments.popleft()
            if driver.poll() is None:
                ended_well(driver)
                return
        wait_until(lambda: not any(at_work(cluster, work.title)))


@pytest.mark.parametrize("victim", KILLERS)
@pytest.mark.parametrize("what", ["mining", "evolution"])
def test_a_run_ends_as_an_undisturbed_one_however_often_one_of_them_dies(
    what: str,
    victim: str,
    deaths: Deaths,
    cluster: Nodes,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
):
    work: Work = request.getfixturevalue(what)
    disturb(work, KILLERS[victim], deaths, cluster, tmp_path / "runs")
    assert work.made(tmp_path / "runs") == work.expected
    entries = journal_of(tmp_path / "runs")
    counts = Counter(entry["event"] for entry in entries)
    assert counts["run"] == 1 + (deaths.count if victim == "driver" else 0)
    if what == "mining":
        assert counts["resumed"] == deaths.count
    assert len(set(told(tmp_path / "runs"))) == len(told(tmp_path / "runs")), "every batch is told once"
    record_property("what", f"{what}: {victim}")
    record_property(DEATHS, deaths.count)
