"""How small does nncodec make a network, with which error and how fast?

nncodec is the reference coder of ISO/IEC 15938-17 (Neural Network Coding), here with dependent quantization. It needs
numpy < 2 and a C++ compiler, so it lives in an environment of its own that `make bench-nncodec` sets up:

    make bench-nncodec
    make samples && make bench-nncodec ARGS="--network sample:mpnet --json dna_ray/report/nncodec_measured.json"

With `--json` the run takes the place of the one on the same network in that file, from which `dna-ray compare` reads.

Bytes are those of its file, all tensors in it. The error is what `dna_ray.mining.measure` says of what it decodes, as
for every DNA. Of its two settings `default` is what `nncodec.nn.encode` does; `tuned` gives vectors the precision of
ours, and lets the trellis weigh rate against distortion, for which only `nncodec.nnc.compress` has a parameter.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from team_processes import toy
from timing import arguments, machine, show
from torch import Tensor

from dna_ray.mining.fidelity import pooled
from dna_ray.mining.field import read_field
from dna_ray.mining.measure import measure
from dna_ray.networks import Network, from_state_dict, load
from dna_ray.tasks import evaluate

HERE = Path(__file__).parent
INTERPRETER = HERE.parent / "build" / "nncodec-venv" / "bin" / "python"
SETTINGS = {"default": ["--vector-qp=-75"], "tuned": ["--vector-qp=-38", "--lambda-scale=1"]}
LADDERS = {"default": (-22, -20, -18, -17, -16, -15, -14, -12), "tuned": (-22, -21, -20, -19, -18, -17, -16)}


def main() -> None:
    options = _options()
    network = toy() if options.quick else load(options.network)
    rows = []
    for row in points(network, options):
        print(json.dumps(row), file=sys.stderr, flush=True)  # a ladder takes minutes
        rows.append(row)
    show(f"nncodec on {network.name}", rows, None)
    if options.json:
        known = json.loads(options.json.read_text()) if options.json.exists() else []
        kept = [run for run in known if run["network"] != network.name]
        options.json.write_text(as_text([*kept, record(network, rows, options)]))


def points(network: Network, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every step of the ladder under every setting, as figures by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "weights.npz", **exported(network))
        for setting in options.setting or SETTINGS:
            for qp in options.qp or LADDERS[setting]:
                coded = run_nncodec(folder, f"--qp={qp}", *SETTINGS[setting])
                row = {"setting": setting, "qp": qp, **coded}
                yield row | _judged(network, folder / "decoded.npz", coded["file_bytes"], options.task)


def exported(network: Network) -> dict[str, Any]:
    """Every untied tensor in one of the two dtypes that nncodec takes: float32 and int32."""
    arrays = {}
    for info in network.anatomy:
        if info.tied_to is None:
            values = network.read(info.name).contiguous()
            arrays[info.name] = values.to(torch.float32 if info.floating else torch.int32).numpy()
            if not info.floating and not np.array_equal(arrays[info.name], values.numpy()):
                raise ValueError(f"{info.name}: holds integers beyond 32 bits, which nncodec does not take")
    return arrays


def decoded(network: Network, file: Path) -> Iterator[tuple[str, Tensor]]:
    """What nncodec decoded, one tensor in memory at a time, in the dtypes and shapes of `network`."""
    with np.load(file) as arrays:
        for info in network.anatomy:
            values = torch.from_numpy(arrays[info.tied_to or info.name])
            yield info.name, values.to(network.read(info.name).dtype).reshape(info.shape)


def record(network: Network, rows: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """One run, with all that is needed to judge or to repeat it."""
    return {
        "network": network.name,
        "fingerprint": network.fingerprint,
        "fp32_bytes": network.anatomy.fp32_bytes,
        "coder": f"nncodec {rows[0]['version']}",
        "settings": {setting: " ".join(SETTINGS[setting]) for setting in options.setting or SETTINGS},
        "task": options.task,
        "machine": machine(),
        "rows": [{name: _rounded(row[name]) for name in row if name != "version"} for row in rows],
    }


def as_text(runs: list[dict[str, Any]]) -> str:
    """JSON with one row a line."""
    texts = []
    for run in runs:
        rows = ",\n".join(json.dumps(row, allow_nan=False) for row in run["rows"])
        texts.append(json.dumps(run | {"rows": []}, indent=1)[:-4] + f"[\n{rows}\n]}}")
    return "[" + ",\n".join(texts) + "]\n"


def _options() -> argparse.Namespace:
    parser = arguments(__doc__, threads=False)
    parser.add_argument("--network", default="sample:minilm")
    parser.add_argument("--setting", action="append", choices=list(SETTINGS), help="may be repeated [default: both]")
    parser.add_argument("--qp", action="append", type=int, help="4 more double the step; may be repeated")
    parser.add_argument("--task", help="judge what is decoded on this task, too, such as agreement")
    options = parser.parse_args()
    if not INTERPRETER.exists():
        parser.error("nncodec is not set up; run: make bench-nncodec")
    if options.quick:
        options.qp, options.task = options.qp or [-16], None
    return options


def run_nncodec(folder: Path, *settings: str) -> dict[str, Any]:
    """Encodes and decodes with the other interpreter, a process for each point, so that none finds things warm."""
    command = [INTERPRETER, HERE / "nncodec_run.py", folder / "weights.npz", folder, *settings]
    ran = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def _judged(network: Network, file: Path, file_bytes: int, task: str | None) -> dict[str, float]:
    found = measure(read_field(network), decoded(network, file), file_bytes=file_bytes, sections={})
    figures = {
        "ratio": found.ratio,
        "r2": found.achieved.r2,
        "snr_db": found.achieved.snr_db,
        "vectors_snr_db": pooled(kind.achieved for kind in found.vectors).snr_db,
        "reference_r2": found.reference.r2,
    }
    if task:
        rebuilt = from_state_dict(
            dict(decoded(network, file)), name="nncodec", config=network.config, files=network.files
        )
        score = evaluate(rebuilt, task, original=network)
        figures |= {name: metric.value for name, metric in score.metrics.items()}
    return figures


def _rounded(value: Any) -> Any:
    """Six digits; what is infinite, which JSON cannot say, as None."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if isfinite(value) else None


if __name__ == "__main__":
    main()
