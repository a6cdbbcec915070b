"""Agents that choose their weights by other programs than their parents do."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from dna_ray.evolution.agent import EVERY_KIND, Agent, metrics_of
from dna_ray.evolution.metric.grow import BINARY, grow, leaf, pick
from dna_ray.evolution.metric.operators import MUTATIONS, crossover
from dna_ray.evolution.metric.program import MOST_DEPTH, MOST_NODES, Program
from dna_ray.evolution.space import Space

_GENERAL = 0.6  # chance that the program of all kinds changes, rather than that of one kind
_GROWN = 3  # levels of a random program


def metric_exchange(parents: Sequence[Agent], space: Space, rng: np.random.Generator) -> Agent:
    """All programs of the second parent, and their scope, with the rest of the first."""
    first, second = parents[:2]
    # a scope belongs to its program: importances are comparable in a layer, or only in a row
    scope = second.scope if first.pattern == "unstructured" else first.scope
    if (second.metrics, scope) == (first.metrics, first.scope):
        return first
    return replace(first, metrics=second.metrics, scope=scope, parents=_ids(first, second), operator="metric-exchange")


def metric_crossover(parents: Sequence[Agent], space: Space, rng: np.random.Generator) -> Agent:
    """A program of the first parent, with a subtree of one of the second."""
    first, second = parents[:2]
    kind = _kind(space, rng)
    program = crossover(first.metric(kind), second.metric(kind), rng)
    child = _with_program(first, kind, program, "crossover")
    return child if child is first else replace(child, parents=_ids(first, second))


def metric_growth(parents: Sequence[Agent], space: Space, rng: np.random.Generator) -> Agent:
    """A program of the first parent, with a subtree of a random one (Koza 1992: subtree mutation)."""
    kind = _kind(space, rng)
    return _with_program(parents[0], kind, crossover(parents[0].metric(kind), grow(rng, _GROWN), rng), "growth")


def metric_extension(parents: Sequence[Agent], space: Space, rng: np.random.Generator) -> Agent:
    """A program of the first parent, joined with one thing more; one that is as large as may be stays as it is.

    Known metrics come of each other like this: WINA is magnitude, times an input.
    """
    kind = _kind(space, rng)
    program = parents[0].metric(kind)
    if program.nodes + 2 <= MOST_NODES and program.depth < MOST_DEPTH:
        program = Program(pick(rng, BINARY), (program, leaf(rng)))
    return _with_program(parents[0], kind, program, "extension")


def mutation(name: str) -> Callable[[Sequence[Agent], Space, np.random.Generator], Agent]:
    """The operator that applies one of the mutations of programs to a program of the first parent."""
    mutate: Callable[[Program, np.random.Generator], Program] = MUTATIONS[name]

    def mutated(parents: Sequence[Agent], space: Space, rng: np.random.Generator) -> Agent:
        kind = _kind(space, rng)
        return _with_program(parents[0], kind, mutate(parents[0].metric(kind), rng), name)

    return mutated


def _with_program(parent: Agent, kind: str, program: Program, name: str) -> Agent:
    if program == parent.metric(kind):
        return parent
    metrics = metrics_of({**dict(parent.metrics), kind: program})
    return replace(parent, metrics=metrics, parents=(parent.id,), operator=f"metric-{name}")


def _kind(space: Space, rng: np.random.Generator) -> str:
    """Of which layers the program is to change. One kind alone is all kinds."""
    if len(space.kinds) == 1 or rng.random() < _GENERAL:
        return EVERY_KIND
    return space.kinds[int(rng.integers(len(space.kinds)))]


def _ids(*parents: Agent) -> tuple[str, ...]:
    return tuple(dict.fromkeys(parent.id for parent in parents))
