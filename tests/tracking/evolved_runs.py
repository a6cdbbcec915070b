"""Run folders of searches: a real machine on a landscape that needs no network, told to a journal as `evolve` does."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from invented_runs import MINILM, network_event, run_event, ticking
from synthetic import Judge, founders_of, general, space_of

from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.metric.source import to_python
from dna_ray.evolution.metric.words import words
from dna_ray.evolution.search.machine import DarwinGodelMachine
from dna_ray.evolution.search.search import Search
from dna_ray.evolution.space import Space
from dna_ray.tracking.journal import Journal

NAME = "evolve-minilm-9a8b7c6d5e4f"
POPULATION = 20
POISON = 13  # every agent whose id begins with a multiple of it fails


@cache
def told(generations: int = 5) -> tuple[dict[str, Any], ...]:
    """The events of a search, from the population to the front."""
    space = space_of()
    search = DarwinGodelMachine(space, founders_of(space), generations=generations, seed=2)
    return tuple([_population(space, search), *_told(space, search), *_ended(space, search)])


def evolved(store: Path, name: str = NAME, *, generations: int = 5, last: int | None = None) -> Path:
    """A run that evolved agents; only the first `last` events of its search, if it was killed on the way."""
    run = store / name
    (run / "champion").mkdir(parents=True)
    for file in ("masks.safetensors", "program.py"):
        (run / "champion" / file).write_text(f"{file} of {name}\n")
    with Journal(run, clock=ticking()) as journal:
        journal.append(run_event(name, verb="evolve"), network_event())
        journal.append(*told(generations)[:last])
        if last is None:
            journal.append({"event": "artifact", "file": "champion/masks.safetensors"})
            journal.append({"event": "end", "status": "finished"})
    return run


def goes_on(run: Path, *, generations: int = 5, last: int) -> None:
    """The rest of a run of which there were `last` events."""
    with Journal(run, clock=ticking(1_780_000_900_000)) as journal:
        journal.append(run_event(run.name, verb="evolve"), {"event": "resumed"})
        journal.append(*told(generations)[last:], {"event": "end", "status": "finished"})


def _population(space: Space, search: Search) -> dict[str, Any]:
    fields = ("name", "kind", "rows", "cols", "positions")
    return {
        "event": "population",
        "layers": [{field: getattr(layer, field) for field in fields} for layer in space.layers],
        "sparsity": 0.8,
        "budget": space.budget.total,
        "signal": "kl",
        "dense": {"accuracy": 0.869},
        "terms": asdict(search.terms),
    }


def _told(space: Space, search: Search) -> Iterator[dict[str, Any]]:
    judge, number = Judge(space), 0
    while not search.done:
        batch = search.ask()
        if batch is None:
            continue
        evaluations = _evaluated(judge, batch.agents)
        search.tell(batch.number, evaluations)
        agents = [{**agent.to_json(), "id": agent.id, "words": words(general(agent))} for agent in batch.agents]
        yield {
            "event": "told",
            "asked": search.asked,
            "number": batch.number,
            "agents": agents,
            "evaluations": [evaluation.to_json() for evaluation in evaluations],
        }
        yield from search.events()
        if search.evaluations // POPULATION > number:
            number = search.evaluations // POPULATION
            yield {"event": "generation", "number": number, **_standing(search)}


def _evaluated(judge: Judge, agents: Sequence[Agent]) -> list[Evaluation]:
    return [
        each if int(each.agent[:8], 16) % POISON else Evaluation(each.agent, status="failed", reason="loss is NaN")
        for each in judge.evaluate(agents)
    ]


def _standing(search: Search) -> dict[str, float]:
    losses = [search.archive[place].evaluation.loss for place in search.archive.finalists()]
    return {"best": min(losses), "median": median(losses), **asdict(search.counts)}


def _ended(space: Space, search: Search) -> Iterator[dict[str, Any]]:
    champion, _ = search.best() or (None, None)
    assert champion is not None
    kept = space.kept(champion)
    yield {"event": "front", "agents": [agent.id for agent, _ in search.front()]}
    yield {
        "event": "champion",
        "id": champion.id,
        "python": to_python(general(champion)),
        "words": words(general(champion)),
        "sparsity": 0.8,
        "masks": "champion/masks.safetensors",
        "profile": {layer.name: each / layer.weights for layer, each in zip(space.layers, kept, strict=True)},
        "bounds": [
            {"name": "error of 0.query", "bound": 3.25, "measured": 3.25, "ratio": 1.0, "promise": "equal"},
            {"name": "movement of the output", "bound": 0.4, "measured": None, "ratio": None, "promise": "estimate"},
            {"name": "disagreement", "bound": 0.21, "measured": 0.18, "ratio": 1.1667, "promise": "upper bound"},
        ],
    }
    methods = {"dense": (MINILM, 0.869), "champion": (champion.id, 0.792)}
    founders = {entry.agent.operator: entry.agent.id for entry in search.archive if not entry.agent.parents}
    methods |= {
        name.removeprefix("founder:"): (agent, 0.64 + 0.02 * place)
        for place, (name, agent) in enumerate(founders.items())
    }
    for name, (subject, accuracy) in methods.items():
        metrics = {"accuracy": accuracy, "accuracy_stderr": 0.012, "cosine": accuracy - 0.1, "cosine_stderr": 0.004}
        metrics |= {"skipped": 0.0 if name == "dense" else 0.8, "bytes": 10_000.0}
        yield {"event": "score", "subject": subject, "name": name, "task": "test", "metrics": metrics}
