from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dna_ray.errors import RecipeError
from dna_ray.models.architecture import Architecture
from dna_ray.models.architectures import make
from dna_ray.models.training import Epoch, Training, changed, train
from dna_ray.models.training_config import TrainingConfig

SIDE = 8
TINY = Architecture(name="resnet18", width=0.125, channels=1, side=SIDE, classes=2)
CONFIG = TrainingConfig(epochs=3, batch=16, shift=1, rate=0.05)
SCALE = {"mean": 0.3, "deviation": 0.3}


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    """Dark and bright noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(70) % 2
    pixels = torch.randint(0, 120, (70, SIDE, SIDE), generator=generator) + 100 * labels.view(-1, 1, 1)
    return pixels.to(torch.uint8), labels


def fresh(config: TrainingConfig = CONFIG) -> Training:
    return Training(make(TINY, seed=config.seed), config)


def run(training: Training, data: tuple[Tensor, Tensor]) -> list[Epoch]:
    return list(train(training, *data, **SCALE))


def test_a_network_learns_what_can_be_told_apart(data: tuple[Tensor, Tensor]):
    training = fresh()
    epochs = run(training, data)
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert epochs[-1].loss < epochs[0].loss
    assert epochs[-1].accuracy > 0.9
    assert not training.model.training


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_training_that_goes_on_gives_the_bytes_of_training_that_was_not_stopped(data: tuple[Tensor, Tensor], stop: int):
    whole, first, second = fresh(), fresh(), fresh()
    run(whole, data)
    epochs = train(first, *data, **SCALE)
    for _ in range(stop):
        next(epochs)
    second.restore({name: value.clone() for name, value in first.state().items()}, epochs=stop)
    run(second, data)
    expected, found = whole.state(), second.state()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_another_seed_gives_other_weights(data: tuple[Tensor, Tensor]):
    one, other = (fresh(replace(CONFIG, epochs=1, seed=seed)) for seed in (0, 1))
    run(one, data)
    run(other, data)
    assert not torch.equal(one.state()["model.classifier.weight"], other.state()["model.classifier.weight"])


def test_bfloat16_learns_too(data: tuple[Tensor, Tensor]):
    training = fresh(replace(CONFIG, precision="bfloat16"))
    assert run(training, data)[-1].accuracy > 0.9
    assert {p.dtype for p in training.model.parameters()} == {torch.float32}


def test_the_rate_rises_to_its_highest_and_falls_to_nothing():
    config = TrainingConfig(rate=0.5, rising=0.25)
    rates = [config.rate_at(step, 100) for step in range(100)]
    assert max(rates) == rates[24] == 0.5
    assert rates[:25] == sorted(rates[:25])
    assert rates[24:] == sorted(rates[24:], reverse=True)
    assert 0 < rates[-1] < 0.001


def test_norms_and_biases_do_not_decay():
    training = fresh()
    by_decay = {group["weight_decay"]: {p.ndim for p in group["params"]} for group in training.optimizer.param_groups}
    assert by_decay[0.0] == {1}
    assert min(by_decay[CONFIG.decay]) > 1
    assert sum(len(g["params"]) for g in training.optimizer.param_groups) == len(list(training.model.parameters()))


def test_an_image_is_moved_within_its_frame_and_half_of_them_mirrored():
    image = torch.zeros(1, 5, 5, dtype=torch.uint8)
    image[0, 2, 1] = 255
    images = image.expand(4000, -1, -1)
    found = changed(images, TrainingConfig(shift=1), torch.Generator().manual_seed(0))
    assert (found.flatten(1).sum(1) == 255).all(), "no pixel is lost that near the middle"
    rows, columns = found.nonzero()[:, 1], found.nonzero()[:, 2]
    assert rows.unique().tolist() == [1, 2, 3]
    assert columns.unique().tolist() == [0, 1, 2, 3, 4]
    assert (columns > 2).double().mean() == pytest.approx(1 / 3, abs=0.05)
    assert (columns == 2).double().mean() == pytest.approx(1 / 3, abs=0.05)


def test_an_image_stays_as_it_is_where_nothing_is_changed():
    images = torch.randint(0, 256, (6, 4, 5), dtype=torch.uint8)
    assert torch.equal(changed(images, TrainingConfig(shift=0, mirror=False), torch.Generator()), images)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch": 1}, "batch is 1"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"precision": "float8"}, "choose one of float32, bfloat16"),
    ],
)
def test_what_cannot_be_trained_is_refused(change: dict[str, object], said: str):
    with pytest.raises(RecipeError, match=said):
        TrainingConfig(**change)  # type: ignore[arg-type]
