from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sine_fixture import Bench, bench

from dna_ray.errors import ArtifactError
from dna_ray.mining import checkpoints
from dna_ray.mining.config import MineConfig
from dna_ray.mining.fit import Training, fit


@pytest.fixture(scope="module")
def ready() -> Bench:
    return bench(MineConfig(kind="adaptive", dtype="float32"))


def _trained(ready: Bench, training: Training, until: int) -> Training:
    for step in fit(training, ready.sampler(), replace(ready.schedule, steps=10)):
        if step.number == until:
            break
    return training


def test_a_resumed_training_ends_with_the_bits_of_an_undisturbed_one(ready: Bench, tmp_path: Path):
    straight = _trained(ready, ready.training(), 10)
    checkpoints.save_training(tmp_path, _trained(ready, ready.training(), 5), plan="p")
    resumed = ready.training()
    assert checkpoints.resume(tmp_path, 5, resumed, plan="p") is False
    _trained(ready, resumed, 10)
    for name, value in straight.functions.state_dict().items():
        assert torch.equal(resumed.functions.state_dict()[name], value)
    for field in ("step", "smooth", "best", "best_step"):
        assert getattr(resumed, field) == getattr(straight, field)


def test_the_start_is_a_checkpoint_without_moments(ready: Bench, tmp_path: Path):
    training = ready.training()
    checkpoints.save_start(tmp_path, training.functions, plan="p")
    fresh = ready.training()
    with torch.no_grad():
        for parameter in fresh.functions.parameters():
            parameter.zero_()
    assert checkpoints.resume(tmp_path, 0, fresh, plan="p") is False
    assert fresh.step == 0
    for name, value in training.functions.state_dict().items():
        assert torch.equal(fresh.functions.state_dict()[name], value)
    assert torch.equal(
        checkpoints.functions_state(tmp_path, 0)["coordinates.rows"], training.functions.coordinates.rows
    )


def test_the_start_and_the_last_two_are_kept(ready: Bench, tmp_path: Path):
    training = ready.training()
    checkpoints.save_start(tmp_path, training.functions, plan="p")
    for step in range(1, 6):
        training.step = step
        checkpoints.save_training(tmp_path, training, plan="p", finished=step == 5)
    assert checkpoints.saved_steps(tmp_path) == [0, 4, 5]
    assert checkpoints.is_finished(tmp_path, 5)
    assert not checkpoints.is_finished(tmp_path, 4)


def test_a_checkpoint_of_another_plan_is_refused(ready: Bench, tmp_path: Path):
    checkpoints.save_start(tmp_path, ready.training().functions, plan="one")
    with pytest.raises(ArtifactError, match="belongs to another plan"):
        checkpoints.resume(tmp_path, 0, ready.training(), plan="other")


def test_functions_of_another_shape_are_refused(ready: Bench, tmp_path: Path):
    other = bench(replace(ready.config, hidden_dim=5))
    checkpoints.save_start(tmp_path, other.training().functions, plan="p")
    with pytest.raises(ArtifactError, match="does not fit the functions"):
        checkpoints.resume(tmp_path, 0, ready.training(), plan="p")


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "missing"])
def test_a_damaged_checkpoint_is_refused(ready: Bench, tmp_path: Path, damage: str):
    path = checkpoints.save_training(tmp_path, _trained(ready, ready.training(), 1), plan="p")
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    found = {"truncated": content[:-1], "empty": b"", "flipped": content}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(found[damage])
    with pytest.raises(ArtifactError, match="step-000000001.safetensors: not a checkpoint, or a damaged one"):
        checkpoints.resume(tmp_path, 1, ready.training(), plan="p")
