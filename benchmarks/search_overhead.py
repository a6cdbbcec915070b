"""What a searcher itself takes for an agent: to ask for it, and to learn how it did. Losses are made up.

The adoption gate is apart: its findings on a program are kept, so that a second run of the same seed shows what the
rest takes. State and lineage are of the whole run, which a driver writes seldom.

    python benchmarks/search_overhead.py
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from timing import arguments, show

from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.search.baselines import BASELINES
from dna_ray.evolution.search.founders import founders
from dna_ray.evolution.search.search import Search, Terms
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity import profile
from dna_ray.evolution.sparsity.budget import in_weights
from dna_ray.evolution.sparsity.layers import Layer

KINDS = {"query": (384, 384), "key": (384, 384), "value": (384, 384), "attention_out": (384, 384)}
SHAPES = {**KINDS, "ffn_in": (1536, 384), "ffn_out": (384, 1536)}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--agents", type=int, default=2000)
    parser.add_argument("--names", nargs="+", default=["machine", "machine-no-novelty", "evopress-wina", "random"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    space = _space(blocks=6)
    made = {"uniform": profile.uniform(space.layers, space.budget), "erk": profile.erk(space.layers, space.budget)}
    terms = Terms(evaluations=60 if options.quick else options.agents)
    rows = [_row(name, partial(BASELINES[name], space, founders(space, made), terms)) for name in options.names]
    show(f"Overhead of a search, {terms.evaluations} agents, {len(space.layers)} layers", rows, options.json)


def _space(blocks: int) -> Space:
    """The matrices of minilm."""
    layers = tuple(
        Layer(f"{block}.{kind}.weight", kind, block / (blocks - 1), rows, cols)
        for block in range(blocks)
        for kind, (rows, cols) in SHAPES.items()
    )
    return Space(layers=layers, budget=in_weights(layers, 0.7))


def _row(name: str, make: Callable[[], Search]) -> dict[str, object]:
    first, second = _seconds(make()), make()
    again = _seconds(second)
    agents, programs = second.counts.evaluated, second.counts.adopted + second.counts.rejected
    start = time.process_time()
    second.state()
    state = time.process_time() - start
    return {
        "searcher": name,
        "ms an agent": 1e3 * again / agents,
        "programs judged": programs,
        "gate, ms a program": 1e3 * max(0.0, first - again) / max(1, programs),
        "gate, ms an agent": 1e3 * max(0.0, first - again) / agents,
        "state, ms": 1e3 * state,
    }


def _seconds(search: Search) -> float:
    """That it takes to ask and to be told, less what the made-up evaluations take."""
    total, rng = 0.0, np.random.default_rng(0)
    tell: Callable[[], None] | None = None
    while not search.done:
        start = time.process_time()
        if tell:
            tell()
        batch = search.ask()
        total += time.process_time() - start
        tell = partial(search.tell, batch.number, _evaluations(batch.agents, search.space, rng)) if batch else None
    return total


def _evaluations(agents: Sequence[Agent], space: Space, rng: np.random.Generator) -> list[Evaluation]:
    """As halving leaves them: some saw 1 minibatch, some 4, some 16; even profiles do well."""
    common = np.random.default_rng(1).normal(0, 0.1, 16)
    found = []
    for place, agent in enumerate(agents):
        shares = np.array(space.kept(agent)) / np.array(space.budget.limits)
        losses = shares.std() + common + rng.normal(0, 0.01, 16)
        seen = (16, 4, 4, 1)[min(place, 3)]
        found.append(Evaluation(agent.id, tuple(losses[:seen].tolist()), kept=space.budget.total, multiply_adds=1))
    return found


if __name__ == "__main__":
    main()
