from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import stack

from dna_ray.errors import ArtifactError
from dna_ray.mining import checkpoints, sines, start
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.fit import DivergedError, Step
from dna_ray.mining.training import Job, lay_out, result, train

CPU = torch.device("cpu")
CONFIG = MineConfig(kind="hierarchical", epochs=3, dtype="float32")


@pytest.fixture(scope="module")
def field() -> Field:
    return read_field(stack(2))


@pytest.fixture
def laid_out(field: Field, tmp_path: Path) -> Callable[..., Job]:
    """Makes a job in a folder of its own, with its store and its start in place."""

    def make(folder: str = "run", config: MineConfig = CONFIG, **changes: object) -> Job:
        found = start.statistics(field)
        job = Job(
            store=tmp_path / folder / "tiles.parquet",
            checkpoints=tmp_path / folder / "checkpoints",
            anatomy=field.anatomy,
            fingerprint=field.fingerprint,
            shape=sines.plan_for(field, 3000, config),
            config=config,
            normal=tuple(zip(found.mean.tolist(), found.deviation.tolist(), strict=True)),
        )
        job = replace(job, **changes)
        lay_out(job, field)
        return job

    return make


def _run(job: Job, **options: object) -> list[Step]:
    return list(train(job, device=CPU, **options))  # type: ignore[arg-type]


def test_training_ends_with_the_functions(laid_out: Callable[..., Job], field: Field):
    job = laid_out()
    assert result(job) is None
    steps = _run(job)
    assert steps[-1].last
    state = result(job)
    assert state is not None
    payload = sines.encode(job.shape, field, job.statistics, state)
    assert [name for name, _ in sines.decode(payload, job.anatomy)] == [info.name for info in job.anatomy]


def test_it_is_what_fitting_in_one_call_makes(laid_out: Callable[..., Job], field: Field):
    job = laid_out()
    _run(job)
    payload = sines.encode(job.shape, field, job.statistics, result(job) or {})
    direct = sines.fit_here(field, 3000, CONFIG)
    assert direct.params == payload.params
    for name, section in direct.sections.items():
        assert np.array_equal(section, payload.sections[name])


def test_stopping_saves_and_the_next_run_ends_with_the_same_bits(laid_out: Callable[..., Job]):
    straight, stopped = laid_out("one"), laid_out("two")
    _run(straight)
    calls = iter(range(10**6))
    steps = _run(stopped, stopping=lambda: next(calls) == 4)
    assert (steps[-1].number, steps[-1].stopped, steps[-1].last) == (5, True, False)
    assert result(stopped) is None
    assert _run(stopped)[0].number == 6
    states = [result(job) or {} for job in (straight, stopped)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_checkpoints_are_written_when_they_are_due_and_training_that_broke_off_goes_on(laid_out: Callable[..., Job]):
    straight, broken = laid_out("one"), laid_out("two", checkpoint_every=3.0)
    _run(straight)
    seconds = iter(range(10**6))
    for step in train(broken, device=CPU, clock=lambda: float(next(seconds))):
        if step.number == 8:
            break
    newest = checkpoints.saved_steps(broken.checkpoints)[-1]
    assert 0 < newest < 8
    assert _run(broken)[0].number == newest + 1
    states = [result(job) or {} for job in (straight, broken)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_what_is_finished_is_not_trained_again(laid_out: Callable[..., Job]):
    job = laid_out()
    _run(job)
    assert _run(job) == []


def test_what_is_laid_out_is_left_as_it_is(laid_out: Callable[..., Job], field: Field):
    job = laid_out()
    before = [path.stat().st_mtime_ns for path in (job.store, *job.checkpoints.iterdir())]
    lay_out(job, field)
    assert [path.stat().st_mtime_ns for path in (job.store, *job.checkpoints.iterdir())] == before


def test_diverging_keeps_the_last_good_checkpoint(laid_out: Callable[..., Job]):
    job = laid_out(config=replace(CONFIG, lr=1e30, clip_norm=1e30), checkpoint_every=0.0)
    with pytest.raises(DivergedError, match="is not finite"):
        _run(job)
    newest = checkpoints.saved_steps(job.checkpoints)[-1]
    state = checkpoints.functions_state(job.checkpoints, newest)
    assert all(torch.isfinite(value).all() for value in state.values())


def test_another_network_or_plan_in_the_same_folder_is_refused(laid_out: Callable[..., Job]):
    job = laid_out()
    with pytest.raises(ArtifactError, match="belongs to another plan"):
        _run(replace(job, config=replace(CONFIG, seed=1)))
    with pytest.raises(ArtifactError, match="another network"):
        _run(laid_out("two", fingerprint="0" * 64, store=job.store))


def test_a_damaged_store_is_noticed(laid_out: Callable[..., Job]):
    job = laid_out()
    content = bytearray(job.store.read_bytes())
    content[200] ^= 1
    job.store.write_bytes(content)
    with pytest.raises(ArtifactError, match="is damaged"):
        _run(job)


@pytest.mark.parametrize("name", ["seed", "epochs", "lr", "clip_norm", "patience", "dtype", "batch_size"])
def test_what_decides_the_result_decides_the_identity(laid_out: Callable[..., Job], name: str):
    job = laid_out()
    other = {"dtype": "bfloat16", "seed": 3, "batch_size": 64}.get(name, 0.5)
    assert replace(job, config=replace(CONFIG, **{name: other})).plan_id != job.plan_id
    assert replace(job, checkpoint_every=1.0, compile=True).plan_id == job.plan_id
