"""Peak memory of a training worker, less that of an idle one, beside what `--dry-run` says that it will be.

Both are plain processes that run the same worker. The idle one trains a toy for a few steps, so that libraries, their
threads and their kernels are there.

    python benchmarks/worker_memory.py
    make samples && python benchmarks/worker_memory.py --network sample:mpnet
"""

import statistics
import tempfile
from pathlib import Path

from team_processes import laid_out, together, toy
from timing import arguments, show

from dna_ray.mining.config import MineConfig
from dna_ray.mining.cost import cost
from dna_ray.networks import load

MIB = 2**20
STEPS = 6


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--network", default="sample:minilm")
    parser.add_argument("--kind", action="append", help="may be repeated [default: hierarchical]")
    parser.add_argument("--coordinates", default="learned")
    parser.add_argument("--ratio", type=float, default=22.0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    network = toy() if options.quick else load(options.network)
    ratio = 4.0 if options.quick else options.ratio
    rows = []
    for kind in options.kind or ["hierarchical"]:
        config = MineConfig(kind=kind, ratio=ratio, coordinates=options.coordinates)
        with tempfile.TemporaryDirectory() as name:
            busy, idle = Path(name, "busy"), Path(name, "idle")
            job = laid_out(network, config, STEPS, _made(busy))
            small = laid_out(toy(), MineConfig(kind=kind, ratio=4), STEPS, _made(idle))
            run = [
                [worker.peak for worker in together(each, options.workers, each.store.parent, threads=options.threads)]
                for each in (small, job)
            ]
        base, peak = statistics.median(run[0]), max(run[1])
        predicted = cost(job.shape, job.anatomy, job.config, workers=options.workers).worker_bytes
        rows.append(
            {
                "network": network.name,
                "kind": kind,
                "workers": options.workers,
                "idle MiB": base / MIB,
                "training MiB": peak / MIB,
                "difference MiB": (peak - base) / MIB,
                "predicted MiB": predicted / MIB,
                "within": "yes" if peak - base <= predicted else "no",
            }
        )
    show("Memory of a worker", rows, options.json)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
