"""A landscape that needs no network: the loss is a sum of the layers' error curves, times how poor the metric is."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from dna_ray.evolution.agent import EVERY_KIND, Agent, Evaluation
from dna_ray.evolution.metric.founders import RIA
from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.search.behaviour import signature
from dna_ray.evolution.search.founders import founders
from dna_ray.evolution.search.search import Search
from dna_ray.evolution.search.searcher import Batch
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity import profile
from dna_ray.evolution.sparsity.budget import in_weights
from dna_ray.evolution.sparsity.curves import ErrorCurve
from dna_ray.evolution.sparsity.layers import Layer

RUNGS = (1, 4, 16)
KINDS = ("query", "value", "ffn_in", "ffn_out")
_SHAPES = ((48, 48), (48, 48), (96, 48), (48, 96))


def layers(blocks: int = 3) -> tuple[Layer, ...]:
    return tuple(
        Layer(f"{block}.{kind}.weight", kind, block / max(1, blocks - 1), rows, cols, 1 + (kind == "ffn_in"))
        for block in range(blocks)
        for kind, (rows, cols) in zip(KINDS, _SHAPES, strict=True)
    )


def curves(some: Sequence[Layer], seed: int = 3) -> tuple[ErrorCurve, ...]:
    """Convex, as far apart in height and in width as those of a real network."""
    rng = np.random.default_rng(seed)
    found = []
    for layer in some:
        kept = np.unique(np.linspace(1, layer.weights, 65).round().astype(np.int64))
        height, width = np.exp(rng.normal(0, 0.7)), np.exp(rng.normal(-1.2, 0.7))
        error = height * (np.exp(-kept / layer.weights / width) - np.exp(-1 / width))
        found.append(ErrorCurve(kept, error))
    return tuple(found)


def space_of(blocks: int = 3, *, sparsity: float = 0.8, guided: bool = True) -> Space:
    some = layers(blocks)
    return Space(layers=some, budget=in_weights(some, sparsity), curves=curves(some) if guided else ())


def founders_of(space: Space) -> tuple[Agent, ...]:
    made = {
        "uniform": profile.uniform(space.layers, space.budget),
        "erk": profile.erk(space.layers, space.budget),
        "linear": profile.scheduled(space.layers, space.budget, profile.linear(1.0, 0.5)),
    }
    return founders(space, made)


@lru_cache(maxsize=4096)
def mistaken(program: Program) -> float:
    """0 for a program that ranks as the best one does, up to 2 for its opposite."""
    return 1 - float(signature(program) @ signature(RIA))


def loss(agent: Agent, space: Space, minibatches: int, landscape: Sequence[ErrorCurve]) -> tuple[float, ...]:
    kept = space.kept(agent)
    error = 0.0
    for layer, curve, each in zip(space.layers, landscape, kept, strict=True):
        error += curve.at(each) * (1 + mistaken(agent.metric(layer.kind)))
    error *= 1.0 if agent.scope == "row" else 1.05
    # harder and easier minibatches, the same for all, and a little of each agent's own
    common = np.random.default_rng(0).normal(0, 0.3, 16)
    own = np.random.default_rng(int(agent.genome[:8], 16)).normal(0, 0.01, 16)
    return tuple((error * (1 + common + own))[:minibatches].tolist())


class Judge:
    """Evaluates a batch with successive halving inside, as the real evaluator does."""

    def __init__(self, space: Space) -> None:
        self.space, self.landscape = space, curves(space.layers)
        self.minibatches = 0

    def evaluation(self, agent: Agent, minibatches: int = RUNGS[-1]) -> Evaluation:
        kept = self.space.kept(agent)
        work = sum(each * layer.positions for each, layer in zip(kept, self.space.layers, strict=True))
        losses = loss(agent, self.space, minibatches, self.landscape)
        return Evaluation(agent.id, losses, kept=sum(kept), multiply_adds=work)

    def evaluate(self, agents: Sequence[Agent]) -> list[Evaluation]:
        found, left = {}, list(range(len(agents)))
        for rung in RUNGS:
            found |= {place: self.evaluation(agents[place], rung) for place in left}
            left = sorted(left, key=lambda place: found[place].loss)[: max(1, len(left) // 3)]
        return [found[place] for place in range(len(agents))]


def run(search: Search, evaluate: Callable[[Sequence[Agent]], Sequence[Evaluation]]) -> Search:
    """One worker: asks, evaluates, tells, until it is done."""
    while not search.done:
        batch = search.ask()
        if batch is None:
            continue
        search.tell(batch.number, evaluate(batch.agents))
    return search


def run_in_disorder(
    search: Search, evaluate: Callable[[Sequence[Agent]], Sequence[Evaluation]], rng: np.random.Generator
) -> Search:
    """As many workers as may be busy, who answer in any order."""
    waiting: list[Batch] = []
    while not search.done:
        while batch := search.ask():
            waiting.append(batch)
        if waiting:
            answered = waiting.pop(int(rng.integers(len(waiting))))
            search.tell(answered.number, evaluate(answered.agents))
    return search


def general(agent: Agent) -> Program:
    return agent.metric(EVERY_KIND)
