"""Trains sine functions on a shard of the field: a generator, so that the caller reports, saves or stops."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import cos, isfinite, pi, sqrt
from typing import Protocol

import torch
from torch import Tensor

from dna_ray.errors import QualityError
from dna_ray.mining.blocks import Block, BlockSampler
from dna_ray.mining.functions import Functions

LARGEST_SIDE = 128  # of a block: its rows and columns cost less than its points
WARM_UP = 0.02  # share of the steps in which the learning rate rises
_ADVICE = "the last checkpoint is kept: run again with a smaller --lr or --omega"


class DivergedError(QualityError):
    """Training produced a loss or a gradient that is not finite; the last checkpoint is good."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How long training goes on, and how fast.

    Attributes:
        steps: Steps in all.
        side: Rows and columns of a block.
        blocks: Blocks of each function in a step, over all workers.
        lr: Peak learning rate of Adam.
        clip_norm: Largest norm of the gradient.
        patience: Steps without a better smoothed loss before training stops early; 0 never stops.
        seed: Of the blocks drawn.
    """

    steps: int
    side: int
    blocks: int
    lr: float
    clip_norm: float
    patience: int
    seed: int

    def rate(self, step: int) -> float:
        """Learning rate of `step` (from 1): a linear rise, then a cosine down to a hundredth."""
        rise = max(1, round(WARM_UP * self.steps))
        if step <= rise:
            return self.lr * step / rise
        done = (step - rise) / max(1, self.steps - rise)
        return self.lr * (0.01 + 0.99 * (1 + cos(pi * done)) / 2)


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did.

    Attributes:
        number: From 1.
        loss: 1 - R2 on the points it saw, on all workers.
        lr: Its learning rate.
        points: How many points it saw, on all workers.
        last: Training ends here.
        stopped: Someone asked to stop, and this step was finished first.
        due: Someone asked for a checkpoint.
    """

    number: int
    loss: float
    lr: float
    points: int
    last: bool = False
    stopped: bool = False
    due: bool = False


class Team(Protocol):
    """The workers that train together."""

    rank: int
    size: int

    def add(self, tensors: list[Tensor]) -> None:
        """Replaces each tensor by its sum over all workers, in place."""

    def agree(self, number: int) -> int:
        """The smallest of all workers' numbers."""


class Alone:
    """A team of one: this process."""

    rank, size = 0, 1

    def add(self, tensors: list[Tensor]) -> None:
        pass

    def agree(self, number: int) -> int:
        return number


ALONE = Alone()


@dataclass(slots=True)
class Training:
    """What a checkpoint holds, beside the number of the step.

    Attributes:
        functions: Their parameters are trained in place.
        optimizer: Its moments.
        step: Steps done.
        smooth: Smoothed loss.
        best: The best smoothed loss so far, and `best_step`, when it was reached.
    """

    functions: Functions
    optimizer: torch.optim.Optimizer
    step: int = 0
    smooth: float = float("nan")
    best: float = float("inf")
    best_step: int = 0


def prepare(functions: Functions) -> Training:
    """Training at step 0.

    Weights inside a sine learn slower by omega, as they are multiplied by it. Those outside a single layer learn slower
    by its width: that many products of sines cancel each other's means, and a step in common moves the sum of them all.
    """
    scales = {parameter: 1.0 for parameter in functions.parameters()}
    for siren in functions.sets():
        scales |= dict.fromkeys(siren.inside(), 1 / siren.shape.omega)
        if not siren.hidden_weight:
            scales[siren.out_weight] = 1 / siren.shape.widths[0]
    groups = [
        {"params": [parameter for parameter, own in scales.items() if own == scale], "scale": scale}
        for scale in dict.fromkeys(scales.values())
    ]
    return Training(functions, torch.optim.Adam(groups, lr=0.0, betas=(0.9, 0.99), fused=True))


def loss_of(functions: Functions, block: Block) -> Tensor:
    """This worker's part of 1 - R2 on `block`; summed over workers it is the loss."""
    error = functions(block.tensor, block.row, block.col) - block.target
    return (error.square().mean((2, 3)) * block.weight).sum()


def fit(
    training: Training,
    sampler: BlockSampler,
    schedule: Schedule,
    *,
    team: Team = ALONE,
    stopping: Callable[[], bool] = lambda: False,
    saving: Callable[[], bool] = lambda: False,
) -> Iterator[Step]:
    """Trains from where `training` stands to the end of `schedule`, and yields after every step.

    Blocks of step s on worker r are drawn from a generator seeded by (seed, s, r): a resumed run sees what an
    undisturbed one would have seen.

    Raises:
        DivergedError: The loss is not finite; says at which step and on which shard.
    """
    generator = torch.Generator()
    while training.step < schedule.steps:
        step = training.step + 1
        generator.manual_seed(seed_of(schedule.seed, step, team.rank))
        block = sampler.sample(generator)
        loss = loss_of(training.functions, block)
        loss.backward()
        total = _combine(training.functions, loss.detach(), team, step, stopping=stopping(), saving=saving())
        _clip(training.functions, total.norm, schedule.clip_norm, step)
        rate = schedule.rate(step)
        for group in training.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        training.optimizer.step()
        training.optimizer.zero_grad()
        _align(training.functions, team)
        _note(training, step, total.loss)
        stale = schedule.patience and step - training.best_step >= schedule.patience
        last = step == schedule.steps or bool(stale)
        points = block.target.numel() * team.size
        yield Step(step, total.loss, rate, points, last, total.stop and not last, total.save)
        if last or total.stop:
            return


def blocks_and_side(batch_size: int) -> tuple[int, int]:
    """How many blocks of how many rows and columns make up `batch_size` points: at least four, where possible."""
    side = 1 << max(0, int(sqrt(max(1, batch_size // 4))).bit_length() - 1)
    side = min(side, LARGEST_SIDE)
    return max(1, round(batch_size / side**2)), side


@dataclass(frozen=True, slots=True)
class _Total:
    """What all workers' parts of a step come to."""

    loss: float
    norm: float
    stop: bool
    save: bool


def _combine(functions: Functions, loss: Tensor, team: Team, step: int, *, stopping: bool, saving: bool) -> _Total:
    """Sums what several workers have a part in; every worker gets the same bits.

    Raises:
        DivergedError: The loss of a worker is not finite.
    """
    summed, own = functions.gradients()
    bad = [0.0] * team.size
    bad[team.rank] = float(not isfinite(loss.item()))
    squares = _norm(own) ** 2
    figures = torch.tensor(
        [loss.item(), squares, float(stopping), float(saving), *bad], dtype=torch.float64, device=loss.device
    )
    team.add([figures, *summed])
    value, squares, stop, save, *bad = figures.tolist()
    if any(bad):
        shard = next(i for i, flag in enumerate(bad) if flag)
        raise DivergedError(f"step {step}: the loss on shard {shard} of {team.size} is not finite; {_ADVICE}")
    return _Total(value, sqrt(squares + _norm(summed) ** 2), bool(stop), bool(save))


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.nn.utils.get_total_norm(tensors)) if tensors else 0.0


def _clip(functions: Functions, norm: float, most: float, step: int) -> None:
    """Shortens the gradient where it is longer than `most`; most steps read it once, and write nothing."""
    if not isfinite(norm):
        raise DivergedError(f"step {step}: the gradient is not finite; {_ADVICE}")
    if norm > most:
        torch.nn.utils.clip_grads_with_norm_(functions.parameters(), most, torch.tensor(norm))


def _align(functions: Functions, team: Team) -> None:
    """Gives every worker the shared places of worker 0.

    All took the same step there. But Adam may round an element by where it stands in memory, and that differs.
    """
    shared = functions.shared_places()
    if team.size > 1 and shared:
        for places in shared if team.rank else []:
            places.zero_()
        team.add(shared)


def _note(training: Training, step: int, loss: float) -> None:
    """Smooths the loss over about 20 steps, and remembers when it was best."""
    training.step = step
    training.smooth = loss if not isfinite(training.smooth) else 0.95 * training.smooth + 0.05 * loss
    if training.smooth < training.best * (1 - 1e-4):
        training.best, training.best_step = training.smooth, step


def seed_of(seed: int, step: int, rank: int) -> int:
    """Distinct for distinct steps and ranks (splitmix64)."""
    x = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + rank * 0x94D049BB133111EB) & (2**64 - 1)
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (x ^ (x >> 31)) & (2**63 - 1)
