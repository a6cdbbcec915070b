"""What a program says: the importance of every weight of a layer."""

import torch
from jaxtyping import Float
from torch import Tensor

from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.metric.symbols import BOUND, CONST, LEAVES, OPERATIONS
from dna_ray.evolution.sparsity.layers import Layer
from dna_ray.evolution.sparsity.statistics import InputStatistics


@torch.no_grad()
def evaluate(
    program: Program, weight: Float[Tensor, "rows cols"], statistics: InputStatistics, layer: Layer
) -> Float[Tensor, "rows cols"]:
    """The importance of every weight, finite whatever the weights are, in memory of its own.

    Looks every symbol up in the two tables of the language, and can do nothing that does not stand there.
    """
    if not weight.numel():
        return torch.zeros_like(weight)
    # What a leaf reads is kept for the next time that it occurs. What an operation makes is not: at 25 matrices of a
    # large layer that would be memory.
    leaves = {symbol: _tame(LEAVES[symbol].read(weight, statistics, layer)) for symbol in sorted(_leaves_of(program))}
    importance = _value(program, weight, leaves).expand(weight.shape)
    # A leaf may be what it was read from, and what is broadcast holds the same memory many times.
    return importance.contiguous() if program.arguments else importance.clone(memory_format=torch.contiguous_format)


def _value(program: Program, weight: Tensor, leaves: dict[str, Tensor]) -> Tensor:
    if program.symbol == CONST:
        return weight.new_full((1, 1), program.value)
    if not program.arguments:
        return leaves[program.symbol]
    return OPERATIONS[program.symbol].apply(*(_value(argument, weight, leaves) for argument in program.arguments))


def _leaves_of(program: Program) -> set[str]:
    if not program.arguments:
        return {program.symbol} - {CONST}
    return set().union(*map(_leaves_of, program.arguments))


def _tame(value: Tensor) -> Tensor:
    """NaN becomes 0, and what lies beyond the bounds is put on them. Usually there is nothing to do, and no copy."""
    low, high = value.aminmax()
    if low >= -BOUND and high <= BOUND:  # false for NaN
        return value
    return value.nan_to_num(nan=0.0).clamp_(-BOUND, BOUND)
