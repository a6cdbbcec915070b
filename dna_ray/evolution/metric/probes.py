"""Small fixed layers to try programs on: unkind ones, and ordinary ones whose ranking tells programs apart."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from dna_ray.evolution.metric.evaluate import evaluate
from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.sparsity.layers import Layer
from dna_ray.evolution.sparsity.statistics import InputStatistics

_HUGE, _DENORMAL = 3e38, 1e-40
_SHAPES = ((16, 24), (24, 10), (1, 40))  # of the ordinary layers, first to last
_SEED = 4


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A layer with its weight and the statistics of its inputs."""

    weight: Tensor
    statistics: InputStatistics
    layer: Layer

    def importance(self, program: Program) -> Tensor:
        return evaluate(program, self.weight, self.statistics, self.layer)


@cache
def unkind() -> tuple[Probe, ...]:
    """Zeros, constants, denormals, huge entries and single rows, columns and weights, each with inputs to match."""
    generator = torch.Generator().manual_seed(_SEED)
    normal = torch.randn(6, 5, generator=generator)
    spiked = normal.clone()
    spiked[2, 3] = _HUGE
    inputs = torch.randn(9, 5, generator=generator)
    nothing = torch.zeros(9, 5)
    pairs = [
        (torch.zeros(6, 5), inputs),
        (torch.full((6, 5), 0.5), nothing),
        (torch.full((6, 5), -0.5), inputs),
        (-normal.abs(), torch.full((9, 5), _DENORMAL)),
        (normal * _DENORMAL, inputs),
        (torch.full((6, 5), _HUGE), torch.full((9, 5), _HUGE)),
        (spiked, inputs * 1e20),
        (spiked, nothing),
        (normal[:1], inputs),
        (normal[:, :1], inputs[:, :1]),
        (torch.zeros(1, 1), inputs[:, :1]),
    ]
    return tuple(_probe(weight, given, place / (len(pairs) - 1)) for place, (weight, given) in enumerate(pairs))


@cache
def ordinary() -> tuple[Probe, ...]:
    """Heavy-tailed weights whose rows and columns differ in scale, and inputs with outliers, at several depths."""
    generator = torch.Generator().manual_seed(_SEED)
    probes = []
    for place, (rows, cols) in enumerate(_SHAPES):
        scale = torch.randn(rows, 1, generator=generator).exp() * torch.randn(1, cols, generator=generator).exp()
        weight = 0.02 * scale * torch.randn(rows, cols, generator=generator)
        spread = torch.randn(cols, generator=generator).exp()
        inputs = spread * torch.randn(32, cols, generator=generator).pow(3)
        probes.append(_probe(weight, inputs, place / (len(_SHAPES) - 1)))
    return tuple(probes)


def importances(program: Program, probes: Sequence[Probe]) -> Tensor:
    """Of all weights of the probes, one after the other."""
    return torch.cat([probe.importance(program).flatten() for probe in probes])


def rank_hash(program: Program) -> str:
    """Of the order in which the program puts all weights of the ordinary layers together, ties included.

    Programs with the same hash choose the same weights whether the best are taken of a row, a layer or the network.
    So a metric and its rank within each layer differ here: they share out the network differently.
    """
    return hash_of_order(importances(program, ordinary()))


def hash_of_order(values: Tensor) -> str:
    _, ranks = torch.unique(values, return_inverse=True)
    return hashlib.sha256(ranks.numpy().astype("<i4").tobytes()).hexdigest()


def _probe(weight: Tensor, inputs: Tensor, depth: float) -> Probe:
    rows, cols = weight.shape
    statistics = InputStatistics(
        mean_abs=inputs.abs().mean(0),
        rms=inputs.double().square().mean(0).sqrt().float(),
        largest=inputs.abs().amax(0),
        moments=inputs.double().T @ inputs.double() / len(inputs),
        count=len(inputs),
    )
    return Probe(weight, statistics, Layer("probe", "query", depth, rows, cols, 1))
