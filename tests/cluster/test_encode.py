"""Blocks are encoded as Ray tasks; where, how many at a time, and how often they die changes no byte."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import recipe_for, write_reader

from dna_ray.distributed.cluster import ray_cluster
from dna_ray.verbs.mine import mine

pytestmark = pytest.mark.ray

QUIET = {"tracking": "http://127.0.0.1:9"}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One for all tests: `mine` uses the Ray that its process is connected to."""
    with ray_cluster(None, workers=2):
        yield


def test_the_bytes_do_not_depend_on_the_number_of_workers_calibrated_or_not(tmp_path: Path):
    network = write_reader(tmp_path / "bert")
    what = {"task": "none", "texts": str(network / "texts.txt")}
    config = {"kind": "coded", "ratio": 3.0, "effort": 8, "calibration_texts": 16}

    def made(workers: int, calibrate: str | None = None) -> str:
        home = tmp_path / str(workers)
        recipe = recipe_for(network, home, workers=workers, how=QUIET, what=what, calibrate=calibrate, **config)
        return mine(recipe).id

    assert made(0) == made(2)
    assert made(0, "agreement") == made(2, "agreement")


def test_a_block_whose_worker_dies_is_done_again(tmp_path: Path):
    from dna_ray.distributed.encode import RayRunner

    def dying_once(value: int, marker: Path) -> tuple[int, None]:
        if not marker.exists():
            marker.touch()
            os._exit(1)
        return value * value, None

    items: list[tuple[Any, ...]] = [(value, tmp_path / "died") for value in range(5)]
    found = RayRunner(workers=2, threads=1, stopping=lambda: False).map(dying_once, items)
    assert [square for square, _ in found] == [0, 1, 4, 9, 16]


def test_an_encoding_that_is_asked_to_stop_stops_before_the_next_round():
    from dna_ray.distributed.encode import RayRunner

    with pytest.raises(KeyboardInterrupt):
        RayRunner(workers=1, threads=1, stopping=lambda: True).map(print, [])
