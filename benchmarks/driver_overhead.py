"""What Ray adds to a step: 2 workers under Ray Train, beside the same 2 workers as plain processes.

The journal's pace is not part of it; what the driver itself computes meanwhile is shown as a share of one core. The
share of sampling is measured in this process: one step's blocks against one whole step.

    python benchmarks/driver_overhead.py
"""

import statistics
import tempfile
import time
from pathlib import Path

import torch
from team_processes import WARM_UP, fresh, laid_out, together, toy
from timing import arguments, interleaved, show

from dna_ray.distributed.cluster import ray_cluster
from dna_ray.mining import sines, tiles
from dna_ray.mining.config import MineConfig
from dna_ray.mining.fit import Step
from dna_ray.mining.training import Job, train
from dna_ray.networks import load

WORKERS = 2


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--network", default="sample:minilm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=120)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = toy() if options.quick else load(options.network)
    plain, ray, driver = [], [], []
    with tempfile.TemporaryDirectory() as name, ray_cluster(None, workers=WORKERS):
        folder = Path(name)
        job = laid_out(
            network, MineConfig(kind="hierarchical", ratio=4 if options.quick else 22), options.steps, folder
        )
        for turn in range(1 if options.quick else options.rounds):
            for kind in ("plain", "ray"):
                (folder / f"{kind}-{turn}").mkdir()
            seen = together(job, WORKERS, folder / f"plain-{turn}", threads=options.threads)
            plain.append(max(worker.seconds / worker.steps for worker in seen))
            each, share = _on_ray(fresh(job, folder / f"ray-{turn}"), options.threads)
            ray.append(each)
            driver.append(share)
        sampling = _sampling(fresh(job, folder / "alone"), 3 if options.quick else 20)
    step, step_on_ray = statistics.median(plain), statistics.median(ray)
    row = {
        "step, plain ms": 1e3 * step,
        "step, Ray Train ms": 1e3 * step_on_ray,
        "Ray's share %": 100 * (step_on_ray - step) / step_on_ray,
        "driver, % of a core": 100 * statistics.median(driver),
        "sampling, % of a step": 100 * sampling,
    }
    show(f"Overhead of the driver, {network.name}, {WORKERS} workers", [row], options.json)


def _on_ray(job: Job, threads: int) -> tuple[float, float]:
    """Seconds of a step, by the driver's clock, and the share of a core that the driver took.

    Steps reach the driver in batches: time is taken between the arrival of the first batch and that of the last.
    """
    from dna_ray.distributed.mine import train_on_ray

    arrivals: list[tuple[float, int]] = []
    used = 0.0
    events = train_on_ray(
        train, job, workers=WORKERS, threads=threads, use_gpu=False, elastic=False, stopping=lambda: False
    )
    for event in events:
        if isinstance(event, Step) and event.number > WARM_UP:
            used = used or time.process_time()
            arrivals.append((time.perf_counter(), event.number))
    first, last = _batch_end(arrivals), arrivals[-1]
    seconds = last[0] - first[0]
    return seconds / max(1, last[1] - first[1]), (time.process_time() - used) / max(seconds, 1e-9)


def _batch_end(arrivals: list[tuple[float, int]]) -> tuple[float, int]:
    """The last step of the first batch; without a second batch, the first step."""
    for one, other in zip(arrivals, arrivals[1:], strict=False):
        if other[0] - one[0] > 0.05:
            return one
    return arrivals[0]


def _sampling(job: Job, rounds: int) -> float:
    """Share of a step that drawing its blocks takes, in this process."""
    schedule = sines.schedule_for(job.shape, job.anatomy, job.config)
    index = tiles.read_index(job.store)
    shard = tiles.load_shard(job.store, range(len(index)))
    device = torch.device("cpu")
    sampler = sines.sampler_for(shard, job.shape, job.anatomy, job.statistics, schedule, device=device)
    generator, steps = torch.Generator(), train(job, device=device)
    seconds = interleaved({"sample": lambda: sampler.sample(generator), "step": lambda: next(steps)}, rounds=rounds)
    return seconds["sample"] / seconds["step"]


if __name__ == "__main__":
    main()
