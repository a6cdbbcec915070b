"""Peak memory of the workers of a submitted job, beside what `--dry-run` says that it will be.

Starts a head and two more nodes of Ray on this machine, with room for one worker each, and submits two minings: of a
toy, whose workers have all libraries in memory and little else, and of the network.

    make samples && python cluster/memory.py --network sample:mpnet
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from nodes import Nodes, nodes
from safetensors.torch import save_file
from submission import submitted

from dna_ray.mining.config import MineConfig
from dna_ray.recipe import MineHow, MineRecipe, MineWhat
from dna_ray.verbs.mine import plan

MIB = 2**20
WORKERS = 2
TITLE = "ray::RayTrainWorker"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="sample:minilm")
    parser.add_argument("--kind", default="hierarchical")
    parser.add_argument("--ratio", type=float, default=22.0)
    parser.add_argument("--epochs", type=float, default=0.05, help="[default: 0.05; memory does not grow with them]")
    options = parser.parse_args()
    config = {"kind": options.kind, "epochs": options.epochs}
    with tempfile.TemporaryDirectory(prefix="m", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        toy = str(write_toy(folder / "toy.safetensors"))
        with nodes(folder, cpus=1, head_cpus=0) as cluster:
            idle = peaks(cluster, folder / "toy", {"network": toy, "ratio": 4.0, **config})
            own = peaks(cluster, folder / "own", {"network": options.network, "ratio": options.ratio, **config})
        planned = planned_bytes(options.network, MineConfig(ratio=options.ratio, **config), folder)
    print(f"{options.network} -> {options.kind} at {options.ratio:g}x, a worker on each of {WORKERS} nodes\n")
    print("| peak of a worker, MiB | of a toy | more than that | planned |\n|--:|--:|--:|--:|")
    for peak in own:
        print(f"| {peak / MIB:.0f} | {min(idle) / MIB:.0f} | {(peak - min(idle)) / MIB:.0f} | {planned / MIB:.0f} |")
    return 0 if len(own) == WORKERS and max(own) - min(idle) <= planned else 1


def peaks(cluster: Nodes, home: Path, what: Mapping[str, Any]) -> list[int]:
    """The most memory that each worker of a job held, in bytes."""
    found: dict[int, int] = {}
    how = {"workers": WORKERS, "home": str(home)}
    with submitted("mine", what={**what, "task": "none"}, how=how, cluster=cluster) as job:
        while job.poll() is None:
            for process in (each for node in cluster.others for each in node.at_work(TITLE)):
                found[process.pid] = max(found.get(process.pid, 0), peak(process))
            time.sleep(0.2)
    return list(found.values())


def peak(process: psutil.Process) -> int:
    """What Linux says of a process, in bytes; 0 if it has just ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


def write_toy(file: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    save_file({f"layer.{i}.weight": torch.randn(96, 64, generator=generator) for i in range(2)}, file)
    return file


def planned_bytes(network: str, config: MineConfig, home: Path) -> int:
    """What a worker is to need above an idle one."""
    recipe = MineRecipe(what=MineWhat(network=network, config=config), how=MineHow(workers=WORKERS, home=str(home)))
    cost = plan(recipe).cost
    if cost is None:
        raise SystemExit(f"kind {config.kind} does not train, so it has no workers of that sort")
    return cost.worker_bytes


if __name__ == "__main__":
    sys.exit(main())
