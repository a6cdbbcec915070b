"""A search with evaluators on a real Ray goes the way it goes in this process, whoever dies on the way."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import small_subjects as small
from deadly_task import FEW
from raylets import titled, wait_until

from dna_ray.distributed.cluster import ray_cluster
from dna_ray.errors import ResourceError, TaskError
from dna_ray.evolution.agent import Agent
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.search.machine import DarwinGodelMachine
from dna_ray.evolution.serial import Told, evaluate_here
from dna_ray.evolution.space import Space
from dna_ray.evolution.subject.packing import pack
from dna_ray.evolution.subject.subject import Subject, prepare

pytestmark = pytest.mark.ray

DEADLY = "deadly_task:loss"


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One for all tests; its workers find the task of a user's own beside this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        with ray_cluster(None, workers=2):
            yield


@pytest.fixture(scope="module")
def subject() -> Subject:
    return small.subject("plain")


def machine(space: Space, *founders: Agent, evaluations: int = 24, **options: int) -> DarwinGodelMachine:
    return DarwinGodelMachine(
        space, [*founders, *small.agents(space)], evaluations=evaluations, batch=4, **({"lag": 2} | options)
    )


def on_ray(
    search: DarwinGodelMachine, subject: Subject, folder: Path, *, workers: int, batches: int | None = None
) -> Iterator[Told]:
    """At most so many batches."""
    from dna_ray.distributed.evolve import evaluate_on_ray

    told = 0

    def stopping() -> bool:
        return batches is not None and told >= batches

    for each in evaluate_on_ray(
        search, pack(subject), search.space, workers=workers, threads=1, folder=folder, stopping=stopping
    ):
        told += 1
        yield each


@pytest.fixture(scope="module")
def expected(subject: Subject) -> str:
    """The lineage of the same search, evaluated in this process."""
    search = machine(small.space(subject))
    list(evaluate_here(search, Evaluator(subject, search.space), stopping=lambda: False))
    assert search.done
    return search.lineage_hash


def an_evaluator() -> psutil.Process:
    """One that looks for work, or has some; between two batches it is called otherwise for a moment."""
    found: list[psutil.Process] = []
    wait_until(lambda: found.extend(titled("ray::Seat.train")) or found)
    return found[0]


def objects() -> int:
    """In the object store."""
    import ray  # not before the cluster is there: Ray reads its settings when it is imported
    from ray._private.internal_api import memory_summary

    address = ray.get_runtime_context().gcs_address
    return int(memory_summary(address, stats_only=True).split(" objects")[0].split()[-1])


def settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("TUNE", "RAY_AIR"))}


def test_the_lineage_is_the_same_here_and_there_and_nothing_is_left_behind(
    subject: Subject, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    before, held, threads = settings(), objects(), threading.active_count()
    search = machine(small.space(subject))
    told = list(on_ray(search, subject, Path("runs"), workers=1))  # relative, as the default is
    assert search.done
    assert search.lineage_hash == expected
    assert sorted(each.batch.number for each in told) == list(range(search.asked))
    for each in told:
        assert [evaluation.agent for evaluation in each.evaluations] == [agent.id for agent in each.batch.agents]
    wait_until(lambda: not titled("ray::Seat") and objects() <= held)
    assert not list((tmp_path / "runs").iterdir())
    assert threading.active_count() == threads
    assert settings() == before
    assert capfd.readouterr() == ("", "")


def test_a_search_whose_evaluator_is_killed_and_that_is_stopped_goes_on_in_another_place(
    subject: Subject, expected: str, tmp_path: Path
):
    search = machine(small.space(subject))
    for number, _ in enumerate(on_ray(search, subject, tmp_path, workers=2, batches=4)):
        if number == 0:
            an_evaluator().kill()
    assert search.pending
    assert not list(tmp_path.iterdir())
    list(evaluate_here(search, Evaluator(subject, search.space), stopping=lambda: False))
    assert search.done
    assert search.lineage_hash == expected
    assert not search.counts.failed


def test_an_agent_that_evaluators_die_of_is_quarantined_and_the_others_are_fine(tmp_path: Path):
    subject = prepare(small.network("plain"), small.settings(signal=DEADLY))
    space = small.space(subject)
    smallest = min(space.layers, key=lambda layer: layer.weights)
    levels = [1 if layer == smallest else layer.weights // 2 for layer in space.layers]
    poison = Agent(space.projected(levels), small.agents(space)[0].metrics)
    assert space.kept(poison)[space.layers.index(smallest)] < FEW
    search = machine(space, poison, evaluations=20)  # tries in batches 0, 2 and 4
    found = {each.agent: each for told in on_ray(search, subject, tmp_path, workers=2) for each in told.evaluations}
    assert search.done
    quarantined = [event for event in search.events() if event["event"] == "quarantined"]
    assert [event["genome"] for event in quarantined] == [poison.genome]
    assert "died" in quarantined[0]["reason"]
    assert [each.agent for each in found.values() if each.failed] == [poison.id]


def test_what_an_evaluator_raises_on_purpose_comes_back(subject: Subject, tmp_path: Path):
    absent = replace(subject, settings=small.settings(signal="no_such_module:loss"))
    with pytest.raises(TaskError, match="no_such_module"):
        list(on_ray(machine(small.space(subject)), absent, tmp_path, workers=1))


def test_no_room_is_said_in_one_line(subject: Subject, tmp_path: Path):
    from dna_ray.distributed.evolve import evaluate_on_ray

    search = machine(small.space(subject))
    with pytest.raises(ResourceError, match="0 of GPU free, and an evaluator needs 0.5 of GPU"):
        next(
            evaluate_on_ray(
                search,
                pack(subject),
                search.space,
                workers=1,
                threads=1,
                gpu_fraction=0.5,
                folder=tmp_path,
                stopping=lambda: False,
            )
        )
