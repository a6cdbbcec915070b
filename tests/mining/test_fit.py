from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from sine_fixture import Bench, bench
from torch import Tensor

from dna_ray.mining.blocks import Block
from dna_ray.mining.config import SINE_KINDS, MineConfig
from dna_ray.mining.fit import DivergedError, Schedule, Training, blocks_and_side, fit, loss_of
from dna_ray.mining.functions import Functions

INDEX = MineConfig(kind="spectral", coordinates="index", epochs=4, dtype="float32")
LEARNED = MineConfig(kind="hierarchical", epochs=4, dtype="float32")


@pytest.fixture(scope="module", params=[INDEX, LEARNED], ids=["index", "learned"])
def ready(request: pytest.FixtureRequest) -> Bench:
    return bench(request.param)


def _run(ready: Bench, training: Training, schedule: Schedule, **options: Any) -> list[Any]:
    return list(fit(training, ready.sampler(), schedule, **options))


def _same_bits(one: Training, other: Training) -> bool:
    states = [training.functions.state_dict() for training in (one, other)]
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_rate_rises_then_falls_to_a_hundredth():
    schedule = Schedule(steps=100, side=1, blocks=1, lr=0.1, clip_norm=1, patience=0, seed=0)
    rates = [schedule.rate(step) for step in range(1, 101)]
    assert rates[1] == max(rates) == pytest.approx(0.1)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("points", "expected"), [(1, (1, 1)), (3, (3, 1)), (16, (4, 2)), (1000, (16, 8)), (1 << 20, (64, 128))]
)
def test_blocks_and_side_make_about_the_points_asked_for(points: int, expected: tuple[int, int]):
    assert blocks_and_side(points) == expected


def test_steps_are_numbered_and_the_last_is_marked(ready: Bench):
    schedule = replace(ready.schedule, steps=5)
    steps = _run(ready, ready.training(), schedule)
    assert [step.number for step in steps] == [1, 2, 3, 4, 5]
    assert [step.last for step in steps] == [False] * 4 + [True]
    groups = len(ready.sampler().sample(torch.Generator()).tensor)
    assert steps[0].points == groups * schedule.blocks * schedule.side**2


def test_the_same_seed_gives_the_same_bits_and_another_does_not(ready: Bench):
    schedule = replace(ready.schedule, steps=4)
    first, second, other = ready.training(), ready.training(), ready.training()
    _run(ready, first, schedule)
    _run(ready, second, schedule)
    _run(ready, other, replace(schedule, seed=1))
    assert _same_bits(first, second)
    assert not _same_bits(first, other)


class Recorder:
    """One rank of a team: remembers what this rank adds, and gives back `figures` for the first tensor of a step."""

    def __init__(self, rank: int, size: int, *, figures: Tensor | None = None) -> None:
        self.rank, self.size = rank, size
        self._figures = figures
        self.sums: list[list[Tensor]] = []

    def add(self, tensors: list[Tensor]) -> None:
        self.sums.append([tensor.clone() for tensor in tensors])
        if self._figures is not None:
            tensors[0].copy_(self._figures)

    def agree(self, number: int) -> int:
        return number


def test_the_gradients_of_two_shards_add_up_to_that_of_their_points_together(ready: Bench):
    """Two ranks' own sums against one process that sees the blocks of both."""
    schedule = replace(ready.schedule, steps=1)
    blocks = [_first_block(ready, rank, schedule) for rank in range(2)]
    ranks = [ready.training(rank, of=2).functions for rank in range(2)]
    losses = [loss_of(functions, block) for functions, block in zip(ranks, blocks, strict=True)]
    torch.stack(losses).sum().backward()
    one = ready.training().functions
    joined = Block(*(torch.cat([getattr(b, name) for b in blocks], 1) for name in Block.__dataclass_fields__))
    loss = loss_of(one, joined)
    loss.backward()
    assert sum(own.item() for own in losses) == pytest.approx(loss.item(), rel=1e-5)
    for name, parameter in one.named_parameters():
        first, second = (_whole_gradient(functions, name) for functions in ranks)
        assert torch.allclose(parameter.grad, first + second, rtol=1e-3, atol=1e-6)


def test_what_is_summed_is_what_several_workers_hold(ready: Bench):
    team = Recorder(0, 2)
    training = ready.training(0, of=2)
    list(fit(training, ready.sampler(0, of=2), replace(ready.schedule, steps=1), team=team))
    parts = training.functions.parts()
    assert [len(tensor) for tensor in team.sums[0][1:]] == [
        parts[name].shared if name in parts else len(parameter)
        for name, parameter in training.functions.named_parameters()
        if name not in parts or parts[name].shared
    ]


def _whole_gradient(functions: Functions, name: str) -> Tensor:
    gradient = functions.get_parameter(name).grad
    if name not in functions.parts():
        return gradient
    part = functions.parts()[name]
    return torch.zeros(part.size, gradient.shape[1]).index_add(0, part.numbers, gradient)


def _first_block(ready: Bench, rank: int, schedule: Schedule) -> Block:
    """What rank sees in step 1, caught on its way to the loss."""
    seen: list[Block] = []
    sampler = ready.sampler(rank, of=2)
    sample: Callable[[torch.Generator], Block] = sampler.sample

    class Watched:
        def sample(self, generator: torch.Generator) -> Block:
            seen.append(sample(generator))
            return seen[-1]

    list(fit(ready.training(rank, of=2), Watched(), schedule, team=Recorder(rank, 2)))  # type: ignore[arg-type]
    return seen[0]


def test_a_loss_that_is_not_finite_names_step_and_shard(ready: Bench):
    training = ready.training()
    steps = fit(training, ready.sampler(), replace(ready.schedule, steps=5))
    next(steps)
    with torch.no_grad():
        next(training.functions.parameters()).fill_(float("nan"))
    with pytest.raises(DivergedError, match="step 2: the loss on shard 0 of 1 is not finite; the last checkpoint"):
        next(steps)
    assert training.step == 1


def test_the_shard_of_another_worker_is_named_too(ready: Bench):
    team = Recorder(0, 2, figures=torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 1.0]))
    with pytest.raises(DivergedError, match="on shard 1 of 2"):
        list(fit(ready.training(0, of=2), ready.sampler(0, of=2), ready.schedule, team=team))


def test_a_gradient_that_is_not_finite_never_reaches_the_parameters(ready: Bench):
    training = ready.training()
    before = {name: value.clone() for name, value in training.functions.state_dict().items()}
    team = Recorder(0, 1, figures=torch.tensor([1.0, torch.inf, 0.0, 0.0, 0.0]))
    with pytest.raises(DivergedError, match="step 1: the gradient is not finite"):
        list(fit(training, ready.sampler(), ready.schedule, team=team))
    assert all(torch.equal(value, before[name]) for name, value in training.functions.state_dict().items())


def test_huge_learning_rates_end_in_that_error_or_in_finite_weights(ready: Bench):
    training = ready.training()
    try:
        _run(ready, training, replace(ready.schedule, steps=30, lr=1e30, clip_norm=1e30))
    except DivergedError as error:
        message = str(error)
        assert "is not finite" in message
    else:
        assert all(torch.isfinite(parameter).all() for parameter in training.functions.parameters())


def test_patience_stops_early(ready: Bench):
    steps = _run(ready, ready.training(), replace(ready.schedule, steps=400, lr=1e-12, patience=40))
    assert len(steps) < 400
    assert steps[-1].last


def test_whoever_asks_to_stop_gets_the_step_finished(ready: Bench):
    calls = iter([False, False, True])
    training = ready.training()
    steps = _run(ready, training, replace(ready.schedule, steps=9), stopping=lambda: next(calls))
    assert [(step.number, step.stopped, step.last) for step in steps][-1] == (3, True, False)
    assert training.step == 3


@pytest.mark.parametrize("kind", SINE_KINDS)
@pytest.mark.parametrize("coordinates", ["index", "learned"])
def test_every_parameter_is_trained(kind: str, coordinates: str):
    ready = bench(MineConfig(kind=kind, coordinates=coordinates, dtype="float32"))
    training = ready.training()
    before = {name: value.clone() for name, value in training.functions.named_parameters()}
    _run(ready, training, replace(ready.schedule, steps=3))
    moved = {name for name, value in training.functions.named_parameters() if not torch.equal(value, before[name])}
    assert moved == set(before)
