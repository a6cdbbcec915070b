"""Which programs may enter a population. Every verdict comes with the figures that it rests on."""

from collections.abc import Container, Iterator
from dataclasses import dataclass

import torch

from dna_ray.evolution.metric.cost import operations
from dna_ray.evolution.metric.founders import WINA
from dna_ray.evolution.metric.probes import hash_of_order, importances, ordinary, unkind
from dna_ray.evolution.metric.program import MOST_DEPTH, MOST_NODES, Program
from dna_ray.evolution.metric.source import from_python, to_python

MOST_COST = 5.0  # times that of WINA


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What was found out about a program.

    Attributes:
        reads_back: Whether its Python text is read as the same program again.
        operations: A weight, counted from the symbols, those of sorting the importances included.
        cost: Operations / operations of WINA.
        not_finite: Importances of the probes that are NaN or infinite.
        deterministic: Whether a second evaluation gave the same importances, bit for bit.
        distinct: Different importances that it gives to the weights of the ordinary probes.
        rank_hash: Of the order in which it puts these weights.
    """

    reads_back: bool
    nodes: int
    depth: int
    operations: int
    cost: float
    not_finite: int
    deterministic: bool
    distinct: int
    rank_hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a program is adopted, and why. `dataclasses.asdict` of it is JSON."""

    accepted: bool
    reason: str
    figures: Figures


def verdict(program: Program, known: Container[str]) -> Verdict:
    """Judges a program against the rank hashes `known` of those that there are."""
    figures = examine(program)
    objection = next(objections(figures, known), None)
    return Verdict(objection is None, objection or "sound and new", figures)


def objections(figures: Figures, known: Container[str]) -> Iterator[str]:
    """What speaks against a program. The language itself rules most of it out; the gate takes nothing on trust."""
    if not figures.reads_back:
        yield "its Python text does not read back as the same program"
    if figures.nodes > MOST_NODES:
        yield f"has {figures.nodes} symbols, at most {MOST_NODES} are allowed"
    if figures.depth > MOST_DEPTH:
        yield f"has {figures.depth} levels, at most {MOST_DEPTH} are allowed"
    if figures.cost > MOST_COST:
        yield f"costs {figures.cost:.3g} times WINA, at most {MOST_COST:g} is allowed"
    if figures.not_finite:
        yield f"{figures.not_finite} importances of the probes are not finite"
    if not figures.deterministic:
        yield "two evaluations differ"
    if figures.distinct < 2:
        yield "finds all weights equally important"
    if figures.rank_hash in known:
        yield "ranks weights as a program does that is known already"


def examine(program: Program) -> Figures:
    """Tries a program on the probes."""
    once, again = importances(program, ordinary()), importances(program, ordinary())
    everything = torch.cat([once, importances(program, unkind())])
    return Figures(
        reads_back=from_python(to_python(program)) == program,
        nodes=program.nodes,
        depth=program.depth,
        operations=operations(program),
        cost=operations(program) / operations(WINA),
        not_finite=int((~everything.isfinite()).sum()),
        deterministic=once.view(torch.int32).equal(again.view(torch.int32)),
        distinct=len(once.unique()),
        rank_hash=hash_of_order(once),
    )
