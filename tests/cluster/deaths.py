"""Moments at which something dies in a run, and who it is."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from driven import Driver
from nodes import Nodes

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
    dice.choice([process for node in cluster.others for process in node.at_work(title)]).kill()


def kill_node(cluster: Nodes, driver: Driver, title: str, dice: random.Random) -> None:
    """With all its workers; another one comes."""
    victim = dice.choice([node for node in cluster.others if node.at_work(title)])
    cpus = len(cluster.others)
    cluster.lose(victim)
    cluster.join(cpus=cpus)


def kill_driver(cluster: Nodes, driver: Driver, title: str, dice: random.Random) -> None:
    driver.kill()
    driver.communicate()


Killer = Callable[[Nodes, Driver, str, random.Random], None]

KILLERS: Mapping[str, Killer] = {"worker": kill_worker, "node": kill_node, "driver": kill_driver}
