"""nncodec as a yardstick: figures of it that were measured elsewhere, in an environment of its own.

nncodec is the reference coder of ISO/IEC 15938-17 (Neural Network Coding). `benchmarks/nncodec_yardstick.py` measures
it, and writes the file that is read here. Its figures hold for the very weights that it was given, so they are found by
the network's fingerprint.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from dna_ray.mining.fidelity import Fidelity
from dna_ray.report.rate_points import Origin, RatePoint

MEASURED = "nncodec_measured.json"
_METRICS = ("cosine", "rank_correlation", "same_neighbour")


def nncodec_points(fingerprint: str, *, weights: int, task: str | None) -> list[RatePoint]:
    """What nncodec makes of a network; nothing where it was not measured on it.

    Args:
        fingerprint: Of the network, in hex.
        weights: Of its matrices.
        task: What the points stand beside was judged on, with the default settings; None: on nothing, or on something
            else, and then figures of function would not compare.
    """
    return [
        _point(run, row, weights, task)
        for run in _measured()
        if run["fingerprint"] == fingerprint
        for row in run["rows"]
    ]


@cache
def _measured() -> list[dict[str, Any]]:
    return list(json.loads(files("dna_ray.report").joinpath(MEASURED).read_text(encoding="utf-8")))


def _point(run: dict[str, Any], row: dict[str, Any], weights: int, task: str | None) -> RatePoint:
    metrics = {name: {"value": row[name]} for name in _METRICS if name in row}
    same_task = task is not None and task == run["task"]
    return RatePoint(
        name=f"{run['coder']} ({row['setting']}), measured elsewhere",
        label=f"{run['coder'].split()[0]} ({row['setting']})",
        origin=Origin.ELSEWHERE,
        file_bytes=row["file_bytes"],
        ratio=row["ratio"],
        achieved=Fidelity(weights, 1 - row["r2"], 1.0),
        reference=Fidelity(weights, 1 - row["reference_r2"], 1.0),
        score={"task": run["task"], "metrics": metrics} if same_task and metrics else None,
    )
