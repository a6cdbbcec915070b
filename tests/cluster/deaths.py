"""Moments at which something dies in a run, and who it is."""

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import psutil
from driven import Driver
from nodes import Nodes
from raylets import alive, wait_until

DEATHS = "deaths"  # what a test records, with `what` died
MOST = 8  # in one run; as many losses as a run on Ray Train survives
_SPACED = 0.6  # of the time between two, in which the second may be; less, and they would come at once


@dataclass(frozen=True, slots=True)
class Deaths:
    """Of one run: how many, and what their moments are drawn from."""

    run: int
    count: int

    def __str__(self) -> str:
        return f"run-{self.run}"

    @property
    def dice(self) -> random.Random:
        return random.Random(self.run)

    def moments(self, whole: int) -> list[int]:
        """In rising order, in the first nine tenths of a run of `whole` steps."""
        dice, between = self.dice, 0.9 * whole / self.count
        return [max(1, round(between * (place + _SPACED * dice.random()))) for place in range(self.count)]


def runs(count: int, first: int) -> list[Deaths]:
    """So many runs that `count` die in them."""
    return [Deaths(first + place, min(MOST, count - MOST * place)) for place in range(-(-count // MOST))]


def kill_worker(cluster: Nodes, driver: Driver, title: str, dice: random.Random) -> None:
    victim = dice.choice(_at_work(cluster, title))
    with _dying(victim):
        victim.kill()


def kill_node(cluster: Nodes, driver: Driver, title: str, dice: random.Random) -> None:
    """With all its workers; another one comes."""
    busy = dice.choice(_at_work(cluster, title))
    victim = next(node for node in cluster.others if busy in node.process.family())
    cpus = len(cluster.others)
    with _dying(victim.raylet), _dying(busy):
        cluster.lose(victim)
    cluster.join(cpus=cpus)


def kill_driver(cluster: Nodes, driver: Driver, title: str, dice: random.Random) -> None:
    assert _at_work(cluster, title), "it drives somebody"
    with _dying(psutil.Process(driver.pid)):
        driver.kill()
    driver.communicate()


def _at_work(cluster: Nodes, title: str) -> list[psutil.Process]:
    """Between two batches an evaluator is called otherwise for a moment."""
    found: list[psutil.Process] = []
    wait_until(lambda: found.extend(each for node in cluster.others for each in node.at_work(title)) or found)
    return found


@contextlib.contextmanager
def _dying(process: psutil.Process) -> Iterator[None]:
    """It is alive before the block, and dead after it."""
    assert alive([process])
    yield
    wait_until(lambda: not alive([process]), seconds=30)


Killer = Callable[[Nodes, Driver, str, random.Random], None]

KILLERS: Mapping[str, Killer] = {"worker": kill_worker, "node": kill_node, "driver": kill_driver}
