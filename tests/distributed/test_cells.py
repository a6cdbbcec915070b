"""Cells of a comparison on a real Ray come out as they do in this process, whoever dies on the way."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import psutil
import pytest
import small_subjects as small
from raylets import titled, wait_until
from torch import Tensor

from dna_ray.distributed.cluster import ray_cluster
from dna_ray.errors import RecipeError, ResourceError
from dna_ray.evolution.comparison.bench import Bench
from dna_ray.evolution.comparison.config import Cell, ComparisonConfig, cells
from dna_ray.evolution.comparison.outcome import Outcome
from dna_ray.evolution.subject.packing import pack
from dna_ray.evolution.subject.subject import Subject, prepare

pytestmark = pytest.mark.ray

CONFIG = ComparisonConfig(sparsities=(0.5,), methods=("wanda", "tpe", "machine"), seeds=2, evaluations=20)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with ray_cluster(None, workers=2):
        yield


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    return [prepare(small.network("plain"), small.settings(draw=seed)) for seed in range(CONFIG.seeds)]


def figures(outcomes: Iterator[Outcome]) -> dict[Cell, Outcome]:
    return {each.cell: replace(each, seconds=0.0) for each in outcomes}


def a_seat() -> psutil.Process:
    found: list[psutil.Process] = []
    wait_until(lambda: found.extend(titled("ray::CellSeat")) or found)
    return found[0]


def on_ray(
    subjects: list[Subject], config: ComparisonConfig = CONFIG, *, gpu_fraction: float = 0.0, kill: bool = False
) -> Iterator[Outcome]:
    """With two workers; once something has come back, one of them is killed if `kill`."""
    from dna_ray.distributed.cells import run_cells

    def packed(seed: int) -> Mapping[str, Tensor]:
        return pack(subjects[seed])

    found = run_cells(
        cells(config), config, packed, workers=2, threads=1, gpu_fraction=gpu_fraction, stopping=lambda: False
    )
    for number, outcome in enumerate(found):
        if kill and number == 0:
            a_seat().kill()
        yield outcome


def test_a_worker_that_is_killed_changes_nothing_and_none_is_left_behind(subjects: list[Subject]):
    here = [Bench(subject, CONFIG) for subject in subjects]
    expected = figures(outcome for cell in cells(CONFIG) if (outcome := here[cell.seed].run(cell)))
    assert figures(on_ray(subjects, kill=True)) == expected
    wait_until(lambda: not titled("ray::CellSeat"))


def test_what_a_cell_raises_on_purpose_comes_back(subjects: list[Subject]):
    with pytest.raises(RecipeError, match="fewer than the"):
        list(on_ray(subjects, replace(CONFIG, evaluations=2)))


def test_no_room_is_said_in_one_line(subjects: list[Subject]):
    with pytest.raises(ResourceError, match="0 of GPU free, and an evaluator needs 0.5 of GPU"):
        next(on_ray(subjects, gpu_fraction=0.5))
