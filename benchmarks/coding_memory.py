"""Peak memory of encoding a network, above the network itself and above a process that has encoded a toy.

make samples && python benchmarks/coding_memory.py --network sample:mpnet
"""

import subprocess
import sys
from pathlib import Path

from team_processes import peak, toy
from timing import arguments, show

from dna_ray.mining.budget import fit_to_file
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import read_field
from dna_ray.mining.kinds import KINDS
from dna_ray.networks import in_memory, load

MIB = 2**20


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--network", default="sample:mpnet")
    parser.add_argument("--ratio", type=float, default=22.0)
    parser.add_argument("--alone", action="store_true", help="encode in this process, and print its peak in bytes")
    options = parser.parse_args()
    if options.alone:
        _alone(options.network, options.ratio)
        return
    network = "toy" if options.quick else options.network
    whole, idle = (_peak(name, options.ratio) for name in (network, "toy"))
    weights = (toy() if options.quick else load(network)).anatomy.fp32_bytes
    row = {
        "network": network,
        "peak MiB": whole / MIB,
        "idle MiB": idle / MIB,
        "network MiB": weights / MIB,
        "above both MiB": (whole - idle - weights) / MIB,
    }
    show("Memory of encoding", [row], options.json)


def _peak(network: str, ratio: float) -> int:
    command = [sys.executable, str(Path(__file__)), "--alone", "--network", network, "--ratio", str(ratio)]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _alone(name: str, ratio: float) -> None:
    network = toy() if name == "toy" else in_memory(load(name))
    config = MineConfig(kind="coded", ratio=4 if name == "toy" else ratio)
    fit_to_file(network, read_field(network), config, KINDS["coded"])
    print(peak())


if __name__ == "__main__":
    main()
