"""Random programs."""

import numpy as np

from dna_ray.evolution.metric.program import MOST_DEPTH, MOST_NODES, Program, constant
from dna_ray.evolution.metric.symbols import CONST, LEAVES, OPERATIONS

_LEAVES = (*LEAVES, CONST)
UNARY = tuple(name for name, operation in OPERATIONS.items() if operation.arity == 1)
BINARY = tuple(name for name, operation in OPERATIONS.items() if operation.arity == 2)
_EARLY = 0.15  # chance that a branch ends before it must
_JOINED = 0.6  # chance that an operation takes two arguments, where it may
_DECADES = 2.0  # constants are 10^-2 to 10^2 in size


def grow(rng: np.random.Generator, depth: int = 4, nodes: int = MOST_NODES) -> Program:
    """A random program of at most `depth` levels and `nodes` symbols, and never more than the language allows."""
    depth, nodes = min(depth, MOST_DEPTH), min(nodes, MOST_NODES)
    if depth <= 1 or nodes <= 1 or rng.random() < _EARLY:
        return leaf(rng)
    if nodes >= 3 and rng.random() < _JOINED:
        left = grow(rng, depth - 1, int(rng.integers(1, nodes - 1)))
        return Program(pick(rng, BINARY), (left, grow(rng, depth - 1, nodes - 1 - left.nodes)))
    return Program(pick(rng, UNARY), (grow(rng, depth - 1, nodes - 1),))


def leaf(rng: np.random.Generator, besides: str = "") -> Program:
    """A random leaf, but not the symbol `besides`; a constant has a random size and sign."""
    symbol = pick(rng, tuple(name for name in _LEAVES if name != besides))
    if symbol != CONST:
        return Program(symbol)
    return constant(float(10 ** rng.uniform(-_DECADES, _DECADES)) * (-1) ** int(rng.integers(2)))


def pick(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.integers(len(names)))]
