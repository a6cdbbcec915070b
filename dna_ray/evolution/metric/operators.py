"""Programs made from programs: crossover and mutations, as pure functions of programs and a random generator.

What they give is always within the limits of the language. It may be the parent itself; who cares looks.
"""

from collections.abc import Callable, Mapping

import numpy as np

from dna_ray.evolution.metric.grow import BINARY, UNARY, leaf, pick
from dna_ray.evolution.metric.program import MOST_DEPTH, MOST_NODES, Program, constant, replaced, subtrees
from dna_ray.evolution.metric.symbols import CONST

JITTER = 0.2  # standard deviation of the logarithm of a constant


def crossover(receiver: Program, donor: Program, rng: np.random.Generator) -> Program:
    """`receiver` with a random subtree replaced by one of those of `donor` that fit in its place (Koza 1992)."""
    places = list(subtrees(receiver))
    place = int(rng.integers(len(places)))
    level, removed = places[place]
    nodes, depth = MOST_NODES - receiver.nodes + removed.nodes, MOST_DEPTH - level + 1
    fitting = [part for _, part in subtrees(donor) if part.nodes <= nodes and part.depth <= depth]  # its leaves always
    return replaced(receiver, place, fitting[int(rng.integers(len(fitting)))])


def point(program: Program, rng: np.random.Generator) -> Program:
    """Another symbol of as many arguments in one place."""
    parts = [part for _, part in subtrees(program)]
    place = int(rng.integers(len(parts)))
    part = parts[place]
    if not part.arguments:
        return replaced(program, place, leaf(rng, besides=part.symbol))
    others = tuple(name for name in (UNARY if len(part.arguments) == 1 else BINARY) if name != part.symbol)
    return replaced(program, place, Program(pick(rng, others), part.arguments))


def hoist(program: Program, rng: np.random.Generator) -> Program:
    """One of its proper subtrees; a leaf stays what it is."""
    parts = [part for _, part in subtrees(program)]
    return parts[int(rng.integers(1, len(parts)))] if len(parts) > 1 else program


def shrink(program: Program, rng: np.random.Generator) -> Program:
    """A leaf in the place of one of its operations; a leaf stays what it is."""
    places = [place for place, (_, part) in enumerate(subtrees(program)) if part.arguments]
    return replaced(program, places[int(rng.integers(len(places)))], leaf(rng)) if places else program


def jitter(program: Program, rng: np.random.Generator) -> Program:
    """Every constant a little larger or smaller; without constants nothing changes."""
    if program.symbol == CONST:
        return constant(program.value * float(np.exp(rng.normal(0, JITTER))))
    return Program(program.symbol, tuple(jitter(argument, rng) for argument in program.arguments))


MUTATIONS: Mapping[str, Callable[[Program, np.random.Generator], Program]] = {
    "point": point,
    "hoist": hoist,
    "shrink": shrink,
    "jitter": jitter,
}
