from itertools import chain
from pathlib import Path

import pytest

from dna_ray.mining import checkpoints
from dna_ray.mining.fit import Step
from dna_ray.verbs.train import Curve

POINTS, SECONDS, TOGETHER = 1000, 0.5, 5  # of a step; between two letters of a worker; steps in a letter


@pytest.mark.parametrize("steps", [TOGETHER, TOGETHER * 6 - 1, TOGETHER * 6])
def test_a_rate_does_not_jump_where_steps_are_told_of_together(steps: int, tmp_path: Path):
    checkpoints.write(tmp_path, 0, {}, {})
    arrivals = chain.from_iterable([SECONDS * letter] * TOGETHER for letter in range(1, 99))
    now = 0.0
    curve = Curve(lambda *_: None, tmp_path, clock=lambda: now)
    for number, now in zip(range(1, steps + 1), arrivals, strict=False):  # noqa: B007 - the clock shows it
        curve.add(Step(number, loss=0.5, lr=0.1, points=POINTS, last=number == steps))
    rates = [point["coordinates_per_s"] for point in curve.points]
    assert curve.points[-1]["step"] == steps
    assert max(rates) <= 2 * POINTS * TOGETHER / SECONDS
