"""Agents per second of an evaluator, beside the two loops that one writes without this package.

All judge the same agents, by KL to the dense network over the same minibatches, in float32 or as `--precision` says:

- `ours`: `Evaluator.evaluate`: rankings kept, masks undone, a race in batches of 9.
- `plain`: copies the network for every agent, takes the top of each layer, and sees all minibatches.
- `competent`: takes the top of each layer, puts masks into the one network and takes them out, sees all minibatches.

A quarter of the agents has a metric that nobody had before. `best ten` says how many of the ten that are best on all
minibatches are among the ten that the race puts first.

    python benchmarks/evaluation_loops.py
"""

import time
from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import torch
from timing import arguments, clock_for, show
from torch import Tensor, nn

from dna_ray.evolution.agent import EVERY_KIND, Agent, Evaluation
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.metric.evaluate import evaluate
from dna_ray.evolution.metric.founders import FOUNDERS
from dna_ray.evolution.metric.operators import crossover, point
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.budget import in_weights
from dna_ray.evolution.sparsity.known_profiles import profiles_of
from dna_ray.evolution.sparsity.layers import modules_of
from dna_ray.evolution.subject.answers import answer
from dna_ray.evolution.subject.signals import SIGNALS
from dna_ray.evolution.subject.subject import Subject, prepare
from dna_ray.evolution.subject.subject_settings import SubjectSettings
from dna_ray.models.precision import PRECISIONS
from dna_ray.networks import Network, from_state_dict, load

SPARSITY = 0.6
BATCH = 9  # agents that race together: as many as the machine asks for
PROFILES = ("uniform", "owl", "water_filling", "linear")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--network", default="sample:minilm")
    parser.add_argument("--agents", type=int, default=4 * BATCH)
    parser.add_argument(
        "--plain", type=int, default=4, help="agents that the plain and the competent loop are timed on"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="of ours")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = _toy() if options.quick else load(options.network)
    clock, count = clock_for(options.threads), 6 if options.quick else options.agents
    start = clock()
    subject = prepare(network, SubjectSettings(precision=options.precision))
    prepared = clock() - start
    space = Space(layers=subject.layers, budget=in_weights(subject.layers, SPARSITY))
    agents = _agents(subject, space, count)
    evaluator = Evaluator(subject, space)
    raced, seconds = _timed(evaluator, agents, max(1, count // options.plain), clock)
    full = [_competent(subject, space, agent) for agent in agents]
    row = {
        "agents": count,
        "prepare s": prepared,
        **{f"{name} ms": 1e3 * each for name, each in seconds.items()},
        "plain : ours": seconds["plain"] / seconds["ours"],
        "competent : ours": seconds["competent"] / seconds["ours"],
        **_parts(evaluator, agents[0]),
        "best ten": _shared(raced, full, 10),
        "same best": _shared(raced, full, 1),
    }
    show(f"Evaluation of an agent, {network.name}, {options.precision}", [row], options.json)


def _timed(
    evaluator: Evaluator, agents: Sequence[Agent], every: int, clock: Callable[[], float]
) -> tuple[list[Evaluation], dict[str, float]]:
    """How the agents did in the race, and the mean seconds of one; the two loops take turns with it on some agents."""
    raced: list[Evaluation] = []
    seconds: dict[str, list[float]] = {"ours": [], "plain": [], "competent": []}
    for place in range(0, len(agents), BATCH):
        batch = agents[place : place + BATCH]
        start = clock()
        raced += evaluator.evaluate(batch)
        seconds["ours"] += [(clock() - start) / len(batch)] * len(batch)
        for agent in [agent for number, agent in enumerate(batch, place) if number % every == 0]:
            for name, loop in {"plain": _plain, "competent": _competent}.items():
                start = clock()
                loop(evaluator.subject, evaluator.space, agent)
                seconds[name].append(clock() - start)
    return raced, {name: float(np.mean(each)) for name, each in seconds.items()}


def _agents(subject: Subject, space: Space, count: int) -> list[Agent]:
    """Known methods whose levels went through some switches, a quarter of them with a new metric."""
    rng = np.random.default_rng(0)
    profiles, programs = profiles_of(subject, space.budget), list(FOUNDERS.values())
    found = []
    for place in range(count):
        levels = np.array(space.levels(profiles[PROFILES[place % len(PROFILES)]]))
        for _ in range(place % 5):
            loser, winner = rng.integers(len(levels), size=2)
            moved = min(int(levels[loser]) // 8, space.budget.limits[winner] - int(levels[winner]))
            levels[loser] -= moved
            levels[winner] += moved
        program = programs[int(rng.integers(len(programs)))]
        if place % 4 == 3:
            program = crossover(point(program, rng), programs[int(rng.integers(len(programs)))], rng)
        scope = ("layer", "row")[place % 2]
        found.append(Agent(tuple(levels.tolist()), ((EVERY_KIND, program),), scope, operator=f"agent {place}"))
    return found


def _parts(evaluator: Evaluator, agent: Agent) -> dict[str, float]:
    """Milliseconds of each part of an evaluation, for an agent whose metric is ranked already."""
    subject = evaluator.subject
    profile = evaluator.space.kept(agent)
    evaluator.pruner.prune(agent, profile)
    start = time.process_time()
    pruned = evaluator.pruner.prune(agent, profile)
    found = {"prune ms": time.process_time() - start}
    with subject.replaced(pruned.matrices):
        for seen, rung in zip((0, *evaluator.rungs), evaluator.rungs, strict=False):
            start = time.process_time()
            which = torch.arange(seen * subject.minibatch, rung * subject.minibatch)
            subject.answer(subject.search, which)
            found[f"to rung {rung} ms"] = time.process_time() - start
    return {name: 1e3 * seconds for name, seconds in found.items()}


def _plain(subject: Subject, space: Space, agent: Agent) -> float:
    """The loop that is written first."""
    model = deepcopy(subject.model)
    for name, mask in _top(subject, space, agent).items():
        weight = modules_of(model, [name])[name].weight
        assert isinstance(weight, Tensor)
        weight.data *= mask.reshape(weight.shape)
    return _loss(subject, model)


def _competent(subject: Subject, space: Space, agent: Agent) -> float:
    """Masks in place, and the weights back after."""
    modules = modules_of(subject.model, [layer.name for layer in subject.layers])
    held = {name: module.weight.data for name, module in modules.items() if isinstance(module.weight, Tensor)}
    for name, mask in _top(subject, space, agent).items():
        modules[name].weight.data = held[name] * mask.reshape(held[name].shape)
    try:
        return _loss(subject, subject.model)
    finally:
        for name, weight in held.items():
            modules[name].weight.data = weight


def _top(subject: Subject, space: Space, agent: Agent) -> dict[str, Tensor]:
    masks = {}
    for layer, kept in zip(subject.layers, space.kept(agent), strict=True):
        matrix = subject.matrices[layer.name]
        importance = evaluate(agent.metric(layer.kind), matrix, subject.statistics[layer.name], layer)
        mask = torch.zeros(layer.rows, layer.cols)
        if agent.scope == "row":
            each = min(layer.cols, round(kept / layer.rows))
            mask.scatter_(1, importance.topk(each, dim=1).indices, 1.0)
        else:
            mask.view(-1)[importance.reshape(-1).topk(kept).indices] = 1.0
        masks[layer.name] = mask
    return masks


def _loss(subject: Subject, model: nn.Module) -> float:
    """Over all minibatches, in float32."""
    size = subject.settings.task.batch_size
    answers = answer(model, subject.reader, subject.search, head=subject.head, size=size)
    return float(SIGNALS["kl"](subject.dense, answers, None).mean())


def _shared(raced: Sequence[Evaluation], full: Sequence[float], n: int) -> int:
    """How many of the best `n` are the same; whoever came further in the race is better."""
    by_race = sorted(range(len(raced)), key=lambda place: (-raced[place].rung, raced[place].loss))[:n]
    by_loss = sorted(range(len(full)), key=full.__getitem__)[:n]
    return len(set(by_race) & set(by_loss))


def _toy() -> Network:
    import transformers

    torch.manual_seed(0)
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    config.num_labels, config.image_size = 10, 16
    model = transformers.ResNetForImageClassification(config).eval()
    described = {**config.to_dict(), "architectures": ["ResNetForImageClassification"]}
    return from_state_dict(model.state_dict(), name="toy", config=described)


if __name__ == "__main__":
    main()
