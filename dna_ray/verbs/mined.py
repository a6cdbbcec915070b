"""One network into one DNA, measured and judged: what `mine` does once and `compare` does for every kind."""

import contextlib
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dna_ray.errors import TaskError
from dna_ray.mining import KINDS
from dna_ray.mining.budget import fit_to_file
from dna_ray.mining.config import SINE_KINDS, MineConfig
from dna_ray.mining.dna import FILE_NAME, Dna, read_dna, write_dna
from dna_ray.mining.dna import rebuild as rebuild_tensors
from dna_ray.mining.field import Field
from dna_ray.mining.folder import write_folder
from dna_ray.mining.kind import Payload
from dna_ray.mining.measure import measure
from dna_ray.mining.measures import Measures
from dna_ray.mining.structure import Structure, find_structure
from dna_ray.networks import Network, from_state_dict, needs_us
from dna_ray.recipe import MineHow
from dna_ray.report.findings import Findings
from dna_ray.report.page import model_card
from dna_ray.report.story import story
from dna_ray.tasks import Score, TaskSettings, default_task, why_unmeasured
from dna_ray.tasks import evaluate as judge
from dna_ray.verbs.encode import encode
from dna_ray.verbs.points import Tell
from dna_ray.verbs.progress import Progress
from dna_ray.verbs.train import clear, train

PARTIAL = "measured.safetensors"  # what is measured is read from disk, and only then given its name


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """How to judge what was rebuilt: a task by name, None where nothing is to be judged, and why."""

    task: str | None
    settings: TaskSettings
    reason: str = "not asked for"


@dataclass(frozen=True, kw_only=True)
class Mined:
    """A DNA, measured.

    Attributes:
        folder: Where it lies.
        id: sha256 of its file, in hex.
        findings: What there is to say about it.
    """

    folder: Path
    id: str
    findings: Findings

    def events(self, run: Path) -> list[dict[str, Any]]:
        """The journal's entries about it."""
        inside = self.folder.resolve().is_relative_to(run.resolve())
        folder = str(self.folder.resolve().relative_to(run.resolve()) if inside else self.folder.resolve())
        findings = self.findings
        dna = {
            "event": "dna",
            "id": self.id,
            "folder": folder,
            "kind": findings.kind,
            "bytes": findings.measures.file_bytes,
            "network": findings.fingerprint,
            "metrics": findings.measures.metrics(),
            "params": dict(findings.recipe["what"]),
        }
        if not isinstance(findings.score, Score):
            return [dna]
        metrics: dict[str, float] = {}
        for name, measured in findings.score.metrics.items():
            metrics[name] = measured.value
            if measured.stderr is not None:
                metrics[f"{name}_stderr"] = measured.stderr
        return [dna, {"event": "score", "task": findings.score.task, "subject": self.id, "metrics": metrics}]


def judged(network: Network, task: str | None, *, texts: str | None, limit: int, device: str) -> Judged:
    """How this network is judged, decided before any work.

    Raises:
        TaskError: The task is not known, or does not fit the network.
    """
    settings = TaskSettings(texts=Path(texts) if texts else None, limit=limit, device=_judge_device(device))
    if task is None or task == "none":
        return Judged(task=None, settings=settings)
    if task != "auto":
        return Judged(task=task, settings=settings)
    fitting = default_task(network)
    reason = (why_unmeasured(network) or "no task fits").removeprefix("function: not measured, because ")
    return Judged(task=fitting, settings=settings, reason=reason)


def mine_one(
    network: Network,
    weights: Field,
    config: MineConfig,
    how: MineHow,
    *,
    work: Path,
    out: Path,
    recipe: Mapping[str, Any],
    judging: Judged,
    progress: Progress,
    tell: Tell,
) -> Mined:
    """Mines, writes, reads back, measures and judges.

    Args:
        work: Folder for tiles and checkpoints.
        out: Folder of the DNA; appears when the DNA is whole and measured.
        recipe: `what` and `how`, for card and journal.

    Raises:
        DnaRayError: As the parts say; KeyboardInterrupt where someone asked to stop.
    """
    began = time.monotonic()
    curve: list[dict[str, float]] = []
    if config.kind in SINE_KINDS:
        payload, curve = train(network, weights, config, how, work, progress=progress, tell=tell)
    elif config.kind == "coded":
        payload, curve = encode(network, weights, config, how, judging.settings, work, progress=progress, tell=tell)
    else:
        with progress.stage("fit"):
            payload = fit_to_file(network, weights, config, KINDS[config.kind])
    seconds = time.monotonic() - began
    with _read_back(network, config.kind, payload, work, progress) as dna:
        findings = Findings(
            network=network.name,
            kind=config.kind,
            measures=_measured(weights, dna, progress),
            recipe=recipe,
            fingerprint=network.fingerprint,
            family=network.anatomy.family,
            story=story(payload, network.anatomy) if config.kind == "coded" else (),
            curve=curve,
            seconds=seconds,
            needs_us=needs_us(network.config),
        )
        score, unscored = scored(rebuild_tensors(dna, KINDS), network, judging, progress)
        findings = replace(findings, score=score, unscored=unscored)
    write_folder(out, network=network, kind=config.kind, payload=payload, card=model_card(findings))
    clear(work)
    return Mined(folder=out, id=file_id(out), findings=findings)


def structure_of(weights: Field, mined: Mined, progress: Progress) -> Structure | None:
    """What the parts of a DNA save; None for a kind that has none to tell apart."""
    if mined.findings.kind != "coded":
        return None
    with progress.stage("structure"):
        return find_structure(weights, read_dna(mined.folder).payload, mined.findings.measures.tensors)


def file_id(folder: Path) -> str:
    """sha256 of a DNA's file, in hex."""
    with (folder / FILE_NAME).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def scored(
    tensors: Iterable[tuple[str, torch.Tensor]], network: Network, judging: Judged, progress: Progress
) -> tuple[Score | None, str]:
    """How `network` does with these weights, or None and the reason: what cannot be judged is not lost for that."""
    if judging.task is None:
        return None, judging.reason
    with progress.stage("evaluate"):
        rebuilt = from_state_dict(dict(tensors), name=network.name, config=network.config, files=network.files)
        try:
            return judge(rebuilt, judging.task, original=network, settings=judging.settings), ""
        except TaskError as error:
            progress.note(f"not judged: {error}")
            return None, str(error)


@contextlib.contextmanager
def _read_back(network: Network, kind: str, payload: Payload, work: Path, progress: Progress) -> Iterator[Dna]:
    """The DNA as it is read from a file, under a name that is not final: what is measured is what readers get."""
    file = work / PARTIAL
    try:
        with progress.stage("write"):
            write_dna(file, network=network, kind=kind, payload=payload)
            dna = read_dna(file)
        yield dna
    finally:
        file.unlink(missing_ok=True)


def _measured(weights: Field, dna: Dna, progress: Progress) -> Measures:
    with progress.stage("measure"):
        return measure(
            weights,
            rebuild_tensors(dna, KINDS),
            file_bytes=dna.path.stat().st_size,
            sections={name: section.nbytes for name, section in dna.header.sections.items()},
        )


def _judge_device(device: str) -> str:
    """Workers may have GPUs where this process has none: then it judges on its processor."""
    return ("cuda" if device == "auto" else device) if torch.cuda.is_available() else "cpu"
