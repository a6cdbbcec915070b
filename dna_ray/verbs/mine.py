"""Mines a network into DNA, and records it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from dna_ray.errors import ArtifactError
from dna_ray.mining.config import SINE_KINDS
from dna_ray.mining.dna import read_dna
from dna_ray.mining.durable import write_file
from dna_ray.mining.field import read_field
from dna_ray.mining.folder import check_free
from dna_ray.mining.measures import Measures
from dna_ray.mining.structure import Structure
from dna_ray.networks import Network, load
from dna_ray.recipe import MineRecipe, to_mapping
from dna_ray.report.findings import score_json
from dna_ray.report.page import write_page
from dna_ray.report.tables import kinds_table, structure_table, summary_table
from dna_ray.verbs.mined import Mined, judged, mine_one, structure_of
from dna_ray.verbs.plan import MinePlan, plan_mine
from dna_ray.verbs.progress import Progress, Silent
from dna_ray.verbs.recorded import Recorded, at_work, opened
from dna_ray.verbs.result import duration, plain
from dna_ray.verbs.runs import RunFolder, open_run, short_name


@dataclass(frozen=True, kw_only=True)
class MineResult:
    """What was mined.

    Attributes:
        network: What the user called the network.
        kind: Kind of DNA.
        dna: Folder of the DNA.
        id: sha256 of its file, in hex.
        run: The run folder; its report is `report.md`.
        measures: Of weights and file.
        story: What happened on the way, a line each.
        structure: What the parts of the file save; None for kinds without such parts.
        score: JSON of the score, None where nothing was judged.
        unscored: Why there is no score.
        seconds: Time that fitting took in the process that finished it.
    """

    network: str
    kind: str
    dna: str
    id: str
    run: str
    measures: Measures
    score: dict[str, Any] | None
    unscored: str
    seconds: float | None
    story: tuple[str, ...] = ()
    structure: Structure | None = None

    def to_json(self) -> dict[str, Any]:
        structure = None if self.structure is None else self.structure.to_json()
        measures = self.measures.to_json()
        return {**asdict(self), "measures": measures, "structure": structure, "metrics": self.measures.metrics()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "MineResult":
        """The inverse of `to_json`."""
        fields = {name: data[name] for name in ("network", "kind", "dna", "id", "run", "score", "unscored", "seconds")}
        structure = data.get("structure")  # results of earlier versions have none
        return cls(
            **fields,
            measures=Measures.from_json(data["measures"]),
            story=tuple(data.get("story", ())),
            structure=None if structure is None else Structure.from_json(structure),
        )

    def __rich__(self) -> RenderableType:
        took = f", fitted in {duration(self.seconds)}" if self.seconds is not None else ""
        lines = [
            f"DNA      {self.dna}",
            f"report   {self.run}/report.md",
            f"rebuild  dna-ray rebuild {self.dna} --out rebuilt-{short_name(self.network)}",
            f"lineage  dna-ray lineage {self.dna}",
            "         dna-ray ui   (the same in MLflow)",
        ]
        parts: list[RenderableType] = [
            Text(f"{self.network} -> {self.kind} DNA{took}", style="bold"),
            summary_table(self.measures, self.score),
            kinds_table(self.measures),
        ]
        if self.structure is not None:
            parts.append(structure_table(self.structure, self.measures))
        parts.extend(plain(line) for line in self.story)
        if self.story:
            parts.append(Text(""))
        if self.score is None:
            parts.append(Text(f"function: not measured, because {self.unscored}\n"))
        return Group(*parts, *(plain(line) for line in lines))


def mine(recipe: MineRecipe, *, progress: Progress | None = None, fresh: bool = False) -> MineResult:
    """Mines the network of `recipe`; the same recipe goes on where it was stopped, and shows what it made once done.

    Args:
        fresh: Sets aside what an earlier run of the same recipe left.

    Raises:
        DnaRayError: Its class says what is wrong; nothing half-written is left under a final name.
        KeyboardInterrupt: `progress` asked to stop; the run can go on from its last step.
    """
    progress = progress or Silent()
    progress.expect(_stages(recipe))
    with progress.stage("load"):
        network = load(recipe.what.network)
        run = open_run(recipe, fingerprint=network.fingerprint, fresh=fresh)
    progress.opened(run.path)
    with opened(run) as record:
        if (earlier := _earlier(run, record)) is not None:
            progress.note("this run is finished: its result is shown again; --fresh starts over")
            return earlier
        with at_work(record, run, recipe, progress):
            return _mine(recipe, network, run, record, progress)


def plan(recipe: MineRecipe, *, progress: Progress | None = None) -> MinePlan:
    """What `mine` would do: sizes, workers, memory, disk and time, estimated. Writes nothing."""
    return plan_mine(recipe, progress or Silent())


def _stages(recipe: MineRecipe) -> dict[str, float]:
    """Seconds that each stage takes, roughly, on a small network: shares of the bar for the whole."""
    config = recipe.what.config
    ray = {"start Ray": 10} if recipe.how.workers else {}
    workers = {"start workers": 25} if recipe.how.workers else {}
    work: dict[str, float] = {"fit": 20}
    if config.kind in SINE_KINDS:
        work = {"plan": 6, "lay out": 10, **ray, **workers, "train": 60}
    elif config.kind == "coded":
        healing = {**workers, "heal": 3 * config.steps} if config.heal else {}
        work = {**ray, **({"calibrate": 30} if config.calibration else {}), "encode": 20, **healing}
    judging = {} if recipe.what.task in (None, "none") else {"evaluate": 20}
    structure = {"structure": 4} if config.kind == "coded" else {}
    return {"load": 3, **work, "measure": 25, **judging, **structure, "record": 5}


def _mine(recipe: MineRecipe, network: Network, run: RunFolder, record: Recorded, progress: Progress) -> MineResult:
    what, out = recipe.what, Path(recipe.how.out) if recipe.how.out else run.dna
    check_free(out)
    judging = judged(network, what.task, texts=what.texts, limit=what.limit, device=recipe.how.device)
    record.network(network)
    with progress.stage("read"):
        field = read_field(network)
    mined = mine_one(
        network,
        field,
        what.config,
        recipe.how,
        work=run.path,
        out=out,
        recipe=to_mapping(recipe),
        judging=judging,
        progress=progress,
        tell=record.tell,
    )
    findings = replace(mined.findings, structure=structure_of(field, mined, progress))
    return _written(run, replace(mined, findings=findings), record)


def _written(run: RunFolder, mined: Mined, record: Recorded) -> MineResult:
    findings = replace(mined.findings, curve=_joined(record.past_points(), mined.findings.curve))
    page = write_page(run.path, findings)
    result = MineResult(
        network=findings.network,
        kind=findings.kind,
        dna=str(mined.folder),
        id=mined.id,
        run=str(run.path),
        measures=findings.measures,
        story=findings.story,
        structure=findings.structure,
        score=None if findings.score is None else dict(score_json(findings.score)),
        unscored=findings.unscored,
        seconds=findings.seconds,
    )
    write_file(run.result, [json.dumps(result.to_json(), indent=1).encode()])
    figures = sorted(path.relative_to(run.path) for path in run.figures.glob("*.png"))
    files = [page.relative_to(run.path), run.result.relative_to(run.path), *figures]
    record.tell(*mined.events(run.path), *({"event": "artifact", "file": str(file)} for file in files))
    return result


def _joined(past: Sequence[Mapping[str, float]], new: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """One curve: of steps that were repeated after a loss, the later point counts."""
    points = {point["step"]: point for point in (*past, *new)}
    return [points[step] for step in sorted(points)]


def _earlier(run: RunFolder, record: Recorded) -> MineResult | None:
    """The result of this run, if it finished and its DNA is still there and whole."""
    if not record.was_finished or not run.result.exists():
        return None
    try:
        result = MineResult.from_json(json.loads(run.result.read_text()))
        read_dna(Path(result.dna))
    except (ArtifactError, ValueError, KeyError, OSError):
        return None
    return result
