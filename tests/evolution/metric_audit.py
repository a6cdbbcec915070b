"""Reads texts and random programs under an audit hook, and prints what Python was asked to do meanwhile, as JSON.

A process of its own, for an audit hook stays for ever.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch
from metric_fixture import escapes

from dna_ray.errors import ProgramError
from dna_ray.evolution.metric.cost import operations
from dna_ray.evolution.metric.founders import FOUNDERS
from dna_ray.evolution.metric.grow import grow
from dna_ray.evolution.metric.operators import MUTATIONS, crossover
from dna_ray.evolution.metric.probes import ordinary, unkind
from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.metric.source import from_python, to_python
from dna_ray.evolution.metric.words import words


def read(texts: list[str]) -> dict[str, int]:
    refused = 0
    for text in texts:
        try:
            from_python(text)
        except ProgramError:
            refused += 1
    return {"texts": len(texts), "refused": refused}


def programs(count: int) -> Iterator[Program]:
    """Grown ones, and what crossover and every mutation make of them."""
    rng = np.random.default_rng(0)
    population = [*FOUNDERS.values(), *(grow(rng) for _ in range(60))]
    makers = [lambda one, _: grow(rng, depth=6), lambda one, other: crossover(one, other, rng)]
    makers += [lambda one, _, change=change: change(one, rng) for change in MUTATIONS.values()]
    for turn in range(count):
        one, other = (population[int(place)] for place in rng.integers(len(population), size=2))
        population[int(rng.integers(len(population)))] = child = makers[turn % len(makers)](one, other)
        yield child


def try_out(count: int) -> dict[str, int]:
    probes = [*unkind(), *ordinary()]
    result = Counter({"programs": 0, "read_back": 0, "finite": 0, "most_operations": 0, "most_nodes": 0, "longest": 0})
    for turn, program in enumerate(programs(count)):
        text = to_python(program)
        result["programs"] += 1
        result["read_back"] += from_python(text) == program == from_python(str(program)) and "\n" not in words(program)
        result["finite"] += bool(probes[turn % len(probes)].importance(program).isfinite().all())
        result["most_operations"] = max(result["most_operations"], operations(program))
        result["most_nodes"] = max(result["most_nodes"], program.nodes)
        result["longest"] = max(result["longest"], len(text))
    return dict(result)


def main(count: int) -> None:
    torch.set_num_threads(1)
    texts = list(escapes())
    read(texts[:5])
    try_out(20)  # what is imported when it is first used is imported now
    events: Counter[str] = Counter()
    listening = True

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if listening:
            events[f"{event} {arguments[1]}" if event == "compile" else event] += 1

    sys.addaudithook(listen)
    result = read(texts) | try_out(count)
    listening = False
    print(json.dumps(result | {"events": events}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
