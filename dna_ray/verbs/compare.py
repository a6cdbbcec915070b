"""Mines one network into several kinds of DNA at equal bytes, and puts their figures side by side."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from dna_ray.errors import ArtifactError
from dna_ray.mining.budget import file_budget
from dna_ray.mining.dna import read_dna
from dna_ray.mining.durable import write_file
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.measures import Measures
from dna_ray.networks import Network, load
from dna_ray.recipe import CompareRecipe, to_mapping
from dna_ray.report.findings import Compared, score_json
from dna_ray.report.page import write_comparison
from dna_ray.report.tables import compare_table
from dna_ray.verbs.mined import Judged, judged, mine_one
from dna_ray.verbs.plan import MinePlan, plan_kind
from dna_ray.verbs.progress import Progress, Silent
from dna_ray.verbs.recorded import Recorded, at_work, opened
from dna_ray.verbs.result import plain
from dna_ray.verbs.runs import RunFolder, open_run


@dataclass(frozen=True, kw_only=True)
class CompareResult:
    """Kinds of DNA of one network, at equal bytes.

    Attributes:
        budget: Bytes that each file may have.
        rows: One a kind, as they were mined.
        dna: Kind -> folder of its DNA.
        unscored: Why there are no scores, where there are none.
    """

    network: str
    run: str
    budget: int | None
    rows: tuple[Compared, ...]
    dna: dict[str, str]
    unscored: str

    def to_json(self) -> dict[str, Any]:
        rows = [
            {
                "kind": row.kind,
                "dna": self.dna[row.kind],
                "metrics": row.measures.metrics(),
                "measures": row.measures.to_json(),
                "score": None if row.score is None else dict(score_json(row.score)),
                "seconds": row.seconds,
            }
            for row in self.rows
        ]
        return {**asdict(replace(self, rows=())), "rows": rows}

    def __rich__(self) -> RenderableType:
        scored = any(row.score is not None for row in self.rows)
        return Group(
            Text(f"{self.network} at {self.budget or 0:,} bytes", style="bold"),
            compare_table(self.rows),
            *([] if scored else [Text(f"function: not measured, because {self.unscored}\n")]),
            plain(f"report   {self.run}/report.md"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparePlan:
    """What `compare` would do: a plan for each kind."""

    kinds: tuple[MinePlan, ...]

    def to_json(self) -> dict[str, Any]:
        return {"kinds": [each.to_json() for each in self.kinds]}

    def __rich__(self) -> RenderableType:
        return Group(*self.kinds)


def compare(recipe: CompareRecipe, *, progress: Progress | None = None, fresh: bool = False) -> CompareResult:
    """Mines every kind that `recipe` names; kinds that an earlier process finished are not mined again.

    Raises:
        DnaRayError: Its class says what is wrong.
        KeyboardInterrupt: `progress` asked to stop; the run can go on.
    """
    progress = progress or Silent()
    with progress.stage("load"):
        network = load(recipe.what.network)
        run = open_run(recipe, fingerprint=network.fingerprint, fresh=fresh)
    progress.opened(run.path)
    with opened(run) as record, at_work(record, run, recipe, progress):
        record.network(network)
        return _compare(recipe, network, run, record, progress)


def plan(recipe: CompareRecipe, *, progress: Progress | None = None) -> ComparePlan:
    """What `compare` would do, kind by kind. Writes nothing."""
    progress = progress or Silent()
    with progress.stage("load"):
        network = load(recipe.what.network)
        field = read_field(network)
    return ComparePlan(
        kinds=tuple(
            plan_kind(network, field, replace(recipe.what.config, kind=kind), recipe, progress)
            for kind in recipe.what.kinds
        )
    )


def _compare(
    recipe: CompareRecipe, network: Network, run: RunFolder, record: Recorded, progress: Progress
) -> CompareResult:
    what = recipe.what
    judging = judged(network, what.task, texts=what.texts, limit=what.limit, device=recipe.how.device)
    with progress.stage("read"):
        field = read_field(network)
    rows: list[Compared] = []
    folders: dict[str, str] = {}
    for number, kind in enumerate(what.kinds, 1):
        progress.note(f"{kind}: {number} of {len(what.kinds)}")
        out = (Path(recipe.how.out) if recipe.how.out else run.dna) / kind
        row = _read_row(run, kind, out)
        if row is None:
            row = _mine_row(recipe, network, field, kind, out, run, judging, record, progress)
        rows.append(row)
        folders[kind] = str(out)
    result = CompareResult(
        network=network.name,
        run=str(run.path),
        budget=file_budget(network, replace(what.config, kind=what.kinds[0])),
        rows=tuple(rows),
        dna=folders,
        unscored=judging.reason,
    )
    page = write_comparison(run.path, network.name, rows)
    write_file(run.result, [json.dumps(result.to_json(), indent=1).encode()])
    files = [page, run.result, *sorted(run.figures.glob("*.png"))]
    record.tell(*({"event": "artifact", "file": str(file.relative_to(run.path))} for file in files))
    return result


def _mine_row(
    recipe: CompareRecipe,
    network: Network,
    field: Field,
    kind: str,
    out: Path,
    run: RunFolder,
    judging: Judged,
    record: Recorded,
    progress: Progress,
) -> Compared:
    """Mines one kind in a folder of its own. Its training curve stays there: the journal has room for one curve."""
    work = run.path / "kinds" / kind
    work.mkdir(parents=True, exist_ok=True)
    mined = mine_one(
        network,
        field,
        replace(recipe.what.config, kind=kind),
        recipe.how,
        work=work,
        out=out,
        recipe={**to_mapping(recipe), "what": {**to_mapping(recipe)["what"], "kind": kind}},
        judging=judging,
        progress=progress,
        tell=lambda *events: None,
    )
    findings = mined.findings
    row = {
        "id": mined.id,
        "measures": findings.measures.to_json(),
        "score": None if findings.score is None else dict(score_json(findings.score)),
        "seconds": findings.seconds,
    }
    write_file(work / "row.json", [json.dumps(row).encode()])
    record.tell(*mined.events(run.path))
    return Compared(kind=kind, measures=findings.measures, score=findings.score, seconds=findings.seconds)


def _read_row(run: RunFolder, kind: str, out: Path) -> Compared | None:
    """What an earlier process of this run found for `kind`, if its DNA is still there and whole."""
    path = run.path / "kinds" / kind / "row.json"
    if not path.exists():
        return None
    try:
        row = json.loads(path.read_text())
        read_dna(out)
        measures = Measures.from_json(row["measures"])
    except (ArtifactError, ValueError, KeyError, OSError):
        return None
    return Compared(kind=kind, measures=measures, score=row["score"], seconds=row["seconds"])
