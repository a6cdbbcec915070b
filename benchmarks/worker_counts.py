"""What a worker holds, sends and does as there are more of them, beside the formulas by which plans are made.

More workers than cores share these: their steps/s show that nothing breaks, not how fast so many machines would be.

    python benchmarks/worker_counts.py
"""

import tempfile
from pathlib import Path

from team_processes import laid_out, together, toy
from timing import arguments, show

from dna_ray.mining import tiles
from dna_ray.mining.config import MineConfig
from dna_ray.networks import load
from dna_ray.verbs.plan_unseen import traffic

MB = 1e6
FP32 = 4  # bytes


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--network", default="sample:minilm")
    parser.add_argument("--kind", default="hierarchical")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    network = toy() if options.quick else load(options.network)
    config = MineConfig(kind=options.kind, ratio=4 if options.quick else 22)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        job = laid_out(network, config, 8 if options.quick else options.steps, Path(name))
        index = tiles.read_index(job.store)
        for workers in options.workers:
            folder = Path(name, str(workers))
            folder.mkdir()
            seen = together(job, workers, folder, threads=options.threads)
            held = [sum(index[tile].size for tile in tiles.shard(index, rank, of=workers)) for rank in range(workers)]
            ring = 2 * (workers - 1) / workers  # of what is summed, a worker sends so much
            rows.append(
                {
                    "workers": workers,
                    "weights a worker, MB": FP32 * max(held) / MB,
                    "4 W / n, MB": FP32 * network.anatomy.weights / workers / MB,
                    "sent a step, MB": ring * seen[0].sent / MB,
                    "planned, MB": traffic(job.shape, network.anatomy, workers=workers) / MB,
                    "peak of a worker, MB": max(worker.peak for worker in seen) / MB,
                    "steps/s": seen[0].steps / seen[0].seconds,
                }
            )
    show(f"Workers of {config.kind} on {network.name}", rows, options.json)


if __name__ == "__main__":
    main()
