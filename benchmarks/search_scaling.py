"""What do two evaluators on Ray reach, beside two processes that each run a search of their own?

An evaluator has one thread, and so has each process; each has as many agents to evaluate, of the same kind of search.
What counts is the time from the first batch that a search was told to its last one, so starts do not. Rounds take
turns.

    python benchmarks/search_scaling.py
"""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch
from timing import arguments, show

from dna_ray.distributed.cluster import ray_cluster
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.search.baselines import BASELINES
from dna_ray.evolution.search.founders import founders
from dna_ray.evolution.search.search import Search, Terms
from dna_ray.evolution.serial import Told, evaluate_here
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.budget import in_weights
from dna_ray.evolution.sparsity.known_profiles import profiles_of
from dna_ray.evolution.subject.packing import pack
from dna_ray.evolution.subject.subject import Subject, prepare
from dna_ray.evolution.subject.subject_settings import SubjectSettings
from dna_ray.networks import load

SPARSITY = 0.6
WORKERS = 2
METHOD = "machine"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--network", default="sample:minilm")
    parser.add_argument("--agents", type=int, default=54, help="of each process, and of each evaluator")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    subject, count = prepare(load(options.network), _settings(options.quick)), 18 if options.quick else options.agents
    seen: dict[str, list[float]] = {"2 evaluators on Ray": [], "2 independent processes": []}
    with ray_cluster(None, workers=WORKERS):
        for _ in range(1 if options.quick else options.rounds):
            seen["2 evaluators on Ray"].append(_on_ray(subject, WORKERS * count, options.threads))
            apart = _apart(options.network, count, options.threads, options.quick)
            seen["2 independent processes"].append(sum(apart))
    rates = {name: statistics.median(each) for name, each in seen.items()}
    rows = [
        {"arrangement": name, "agents/s": rate, "of 2 independent": rate / rates["2 independent processes"]}
        for name, rate in rates.items()
    ]
    show(f"Scaling of a search on {options.network}", rows, options.json)


def _settings(quick: bool) -> SubjectSettings:
    return SubjectSettings(calibration=16, minibatch=4) if quick else SubjectSettings()


def _search(subject: Subject, evaluations: int) -> tuple[Search, Space]:
    space = Space(layers=subject.layers, budget=in_weights(subject.layers, SPARSITY), curves=subject.curves())
    known = founders(space, profiles_of(subject, space.budget, curves=space.curves))
    return BASELINES[METHOD](space, known, Terms(evaluations=evaluations)), space


def _on_ray(subject: Subject, evaluations: int, threads: int) -> float:
    from dna_ray.distributed.evolve import evaluate_on_ray

    search, space = _search(subject, evaluations)
    with tempfile.TemporaryDirectory() as folder:
        return _rate(
            evaluate_on_ray(
                search,
                pack(subject),
                space,
                workers=WORKERS,
                threads=threads,
                folder=Path(folder),
                stopping=lambda: False,
            )
        )


def _rate(events: Iterable[Told]) -> float:
    """Agents a second, from the end of the first batch on."""
    begun, agents = None, 0
    for told in events:
        if begun is None:
            begun = time.perf_counter()
        else:
            agents += len(told.evaluations)
    assert begun is not None
    return agents / (time.perf_counter() - begun)


def _apart(network: str, evaluations: int, threads: int, quick: bool) -> list[float]:
    """The rates of two processes that begin at the same time."""
    context: Any = multiprocessing.get_context("spawn")
    together, rates = context.Barrier(WORKERS), context.Queue()
    arguments = (network, evaluations, threads, quick, together, rates)
    processes = [context.Process(target=_alone, args=arguments) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    found = [rates.get() for _ in processes]
    for process in processes:
        process.join()
    return found


def _alone(network: str, evaluations: int, threads: int, quick: bool, together: Barrier, rates: "Queue[float]") -> None:
    torch.set_num_threads(threads)
    subject = prepare(load(network), _settings(quick))
    search, space = _search(subject, evaluations)
    evaluator = Evaluator(subject, space)
    together.wait()
    rates.put(_rate(evaluate_here(search, evaluator, stopping=lambda: False)))


if __name__ == "__main__":
    main()
