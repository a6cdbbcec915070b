"""What do two workers reach in encoding, beside two processes that each encode a network of their own?

A worker has one thread, and so has each process. On Ray, values lie in the object store, and the driver joins what the
workers counted; both begin after their first encoding, when libraries and compiled code are there. Rounds take turns.

    python benchmarks/coding_scaling.py
"""

import multiprocessing
import statistics
import time
from multiprocessing.synchronize import Barrier
from typing import Any

from team_processes import toy
from timing import arguments, show

from dna_ray.distributed.cluster import ray_cluster
from dna_ray.mining.coded import fit
from dna_ray.mining.coding.passes import Runner
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field, read_field
from dna_ray.networks import load

_BYTES = 6  # a weight in the object store, as `verbs/encode.py` counts them


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--network", default="sample:minilm")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    field = _field(options.network, options.quick)
    config, budget = MineConfig(kind="coded"), field.anatomy.fp32_bytes // (4 if options.quick else 22)
    with ray_cluster(None, workers=2, held=_BYTES * field.anatomy.weights):
        from dna_ray.distributed.encode import RayRunner

        runners = [RayRunner(workers=n, threads=options.threads, stopping=lambda: False) for n in (1, 2)]
        _seconds(field, budget, config, runners[1])
        processes = Processes(options.network, options.quick, budget, options.threads)
        seen: dict[str, list[float]] = {"1 worker": [], "2 workers": [], "2 independent processes": []}
        for _ in range(1 if options.quick else options.rounds):
            seen["1 worker"].append(_seconds(field, budget, config, runners[0]))
            seen["2 workers"].append(_seconds(field, budget, config, runners[1]))
            seen["2 independent processes"].append(processes.seconds() / 2)  # a network
        processes.close()
    seconds = {name: statistics.median(each) for name, each in seen.items()}
    rows = [
        {
            "arrangement": name,
            "seconds a network": taken,
            "weights/s": field.anatomy.weights / taken,
            "of 2 independent": seconds["2 independent processes"] / taken,
        }
        for name, taken in seconds.items()
    ]
    show(f"Scaling of encoding {options.network}", rows, options.json)


class Processes:
    """Two that encode the same at the same time, whenever they are told to."""

    def __init__(self, network: str, quick: bool, budget: int, threads: int) -> None:
        context: Any = multiprocessing.get_context("spawn")
        self._start, self._end = context.Barrier(3), context.Barrier(3)
        arguments = (network, quick, budget, threads, self._start, self._end)
        self._all = [context.Process(target=_encoding, args=arguments, daemon=True) for _ in range(2)]
        for process in self._all:
            process.start()
        self.seconds()

    def seconds(self) -> float:
        """Until both are done."""
        self._start.wait()
        begin = time.perf_counter()
        self._end.wait()
        return time.perf_counter() - begin

    def close(self) -> None:
        for process in self._all:
            process.terminate()
            process.join()


def _encoding(network: str, quick: bool, budget: int, threads: int, start: Barrier, end: Barrier) -> None:
    import torch

    torch.set_num_threads(threads)
    field = _field(network, quick)
    while True:
        start.wait()
        fit(field, budget, MineConfig(kind="coded"))
        end.wait()


def _field(network: str, quick: bool) -> Field:
    return read_field(toy() if quick else load(network))


def _seconds(field: Field, budget: int, config: MineConfig, runner: Runner) -> float:
    begin = time.perf_counter()
    fit(field, budget, config, runner)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
