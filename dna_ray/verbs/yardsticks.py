"""What people use today, measured and judged like every DNA: a comparison's yardsticks."""

import time
from collections.abc import Iterator
from pathlib import Path

from dna_ray.mining.field import Field
from dna_ray.mining.measure import measure
from dna_ray.mining.rounding import CLIPPED, LADDER, Rounding, round_to_nearest
from dna_ray.networks import Network
from dna_ray.report.findings import Compared
from dna_ray.report.nncodec import nncodec_points
from dna_ray.report.rate_points import Origin, RatePoint, rate_point
from dna_ray.tasks import TaskSettings
from dna_ray.verbs.mined import Judged, scored
from dna_ray.verbs.progress import Progress
from dna_ray.verbs.rows import read_row, write_row

ROUNDINGS = (*LADDER, Rounding(bits=2, shares=CLIPPED))


def yardsticks(
    network: Network, field: Field, folder: Path, *, judging: Judged, progress: Progress
) -> Iterator[RatePoint]:
    """Round to nearest at several bits, measured here, and nncodec where it was measured on this network.

    Args:
        folder: Keeps what was measured; what is there is not measured again.

    Raises:
        SpaceError: No space left.
        KeyboardInterrupt: `progress` asked to stop.
    """
    for rounding in ROUNDINGS:
        label = _label(rounding)
        path = folder / f"{label.replace(' ', '-')}.json"
        row = read_row(path)
        if row is None:
            if progress.stopping:
                raise KeyboardInterrupt
            row = _rounded(network, field, rounding, judging, progress)
            write_row(path, row)
        yield rate_point(row, origin=Origin.YARDSTICK, label=label)
    yield from nncodec_points(network.fingerprint, weights=field.anatomy.weights, task=_published_task(judging))


def _rounded(network: Network, field: Field, rounding: Rounding, judging: Judged, progress: Progress) -> Compared:
    progress.note(f"yardstick: {_name(rounding)}")
    began = time.monotonic()
    with progress.stage("fit"):
        rounded = round_to_nearest(network, field, rounding)
    seconds = time.monotonic() - began
    with progress.stage("measure"):
        measures = measure(field, rounded.tensors(), file_bytes=rounded.file_bytes, sections=rounded.sections)
    score, _ = scored(rounded.tensors(), network, judging, progress)
    return Compared(kind=_name(rounding), measures=measures, score=score, seconds=seconds)


def _label(rounding: Rounding) -> str:
    return f"int{rounding.bits}" + (" clipped" if rounding.shares != (1.0,) else "")


def _name(rounding: Rounding) -> str:
    return f"round to nearest, {_label(rounding)}, groups of {rounding.group}"


def _published_task(judging: Judged) -> str | None:
    """The task, if it is the one that published figures are of: with its own texts, and as many as it takes."""
    usual = TaskSettings()
    same = (judging.settings.texts, judging.settings.limit) == (usual.texts, usual.limit)
    return judging.task if same else None
