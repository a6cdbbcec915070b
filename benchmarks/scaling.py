"""Points per second with 1 and 2 workers, what crosses the wire, and how long the sums take.

Beside them two processes that know nothing of each other, and so share no work either: each does all that a step does
for every place, which two workers divide.
Each arrangement runs several times, in turn.

    python benchmarks/scaling.py
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from team_processes import Seen, apart, laid_out, together, toy
from timing import arguments, show

from dna_ray.mining.config import MineConfig
from dna_ray.mining.training import Job
from dna_ray.networks import load

Arrangement = Callable[[Job, Path, int], list[Seen]]
ARRANGEMENTS: dict[str, Arrangement] = {
    "1 worker": lambda job, folder, threads: together(job, 1, folder, threads=threads),
    "2 workers": lambda job, folder, threads: together(job, 2, folder, threads=threads),
    "2 independent processes": lambda job, folder, threads: apart(job, 2, folder, threads=threads),
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--network", default="sample:minilm")
    parser.add_argument("--kind", default="hierarchical")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    network = toy() if options.quick else load(options.network)
    config = MineConfig(kind=options.kind, ratio=4 if options.quick else 22)
    seen: dict[str, list[list[Seen]]] = {name: [] for name in ARRANGEMENTS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = laid_out(network, config, 8 if options.quick else options.steps, folder)
        for turn in range(1 if options.quick else options.rounds):
            for place, (arrangement, run) in enumerate(ARRANGEMENTS.items()):
                own = folder / f"{turn}-{place}"
                own.mkdir()
                seen[arrangement].append(run(job, own, options.threads))
    rates = {name: statistics.median(map(_rate, turns)) for name, turns in seen.items()}
    rows = [
        {
            "arrangement": name,
            "points/s": rates[name],
            "of 2 independent": rates[name] / rates["2 independent processes"],
            "points/s of processor": statistics.median(map(_rate_of_processor, turns)),
            "KiB summed a step": turns[0][0].sent / 1024 if name == "2 workers" else 0.0,
            "share of the step in sums": statistics.median(turn[0].adding / turn[0].seconds for turn in turns),
        }
        for name, turns in seen.items()
    ]
    show(f"Scaling of {config.kind} on {network.name}", rows, options.json)


def _rate(workers: list[Seen]) -> float:
    return sum(worker.steps * worker.points / worker.seconds for worker in workers)


def _rate_of_processor(workers: list[Seen]) -> float:
    """Points for each second that a core was at work: leaves out waiting, for others and for other programs."""
    return sum(worker.steps * worker.points for worker in workers) / sum(worker.processor for worker in workers)


if __name__ == "__main__":
    main()
