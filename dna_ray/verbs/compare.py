"""Mines one network into several kinds of DNA at equal bytes, and puts their figures side by side.

At one size, or at each of a sweep; a sweep also has yardsticks: what methods of others make of the same network.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from dna_ray.errors import ArtifactError, BudgetError
from dna_ray.mining.budget import file_budget
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import read_dna
from dna_ray.mining.durable import write_file
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.measure import references
from dna_ray.networks import Network, load
from dna_ray.recipe import CompareRecipe, CompareWhat, to_mapping
from dna_ray.report.findings import Compared, score_json
from dna_ray.report.page import write_comparison, write_sweep
from dna_ray.report.rate_points import RatePoint, rate_point
from dna_ray.report.tables import compare_table, sweep_table
from dna_ray.verbs.mined import Judged, judged, mine_one
from dna_ray.verbs.plan import MinePlan, plan_kind
from dna_ray.verbs.progress import Progress, Silent
from dna_ray.verbs.recorded import Recorded, at_work, opened
from dna_ray.verbs.result import plain
from dna_ray.verbs.rows import read_row, write_row
from dna_ray.verbs.runs import RunFolder, open_run
from dna_ray.verbs.yardsticks import yardsticks


@dataclass(frozen=True, kw_only=True)
class CompareResult:
    """Kinds of DNA of one network, at equal bytes.

    Attributes:
        budget: Bytes that each file may have; None in a sweep, where each size has its own.
        rows: One for each DNA, as they were mined.
        dna: Name of a row -> folder of its DNA: `svd`, or in a sweep `svd-22x`.
        yardsticks: What methods of others make of the network.
        impossible: Why what was asked for is missing, by the name of its row.
        unscored: Why there are no scores, where there are none.
    """

    network: str
    run: str
    budget: int | None
    rows: tuple[Compared, ...]
    dna: dict[str, str]
    yardsticks: tuple[RatePoint, ...] = ()
    impossible: dict[str, str]
    unscored: str

    @property
    def points(self) -> tuple[RatePoint, ...]:
        """All there is to see in a table or figure of rate and distortion."""
        return (*map(rate_point, self.rows), *self.yardsticks)

    @property
    def swept(self) -> bool:
        """Whether rows differ in size."""
        return bool(self.yardsticks) or any(row.asked is not None for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        rows = [
            {
                "kind": row.kind,
                "asked": row.asked,
                "dna": self.dna[_name(row.kind, row.asked)],
                "metrics": row.measures.metrics(),
                "measures": row.measures.to_json(),
                "score": None if row.score is None else dict(score_json(row.score)),
                "seconds": row.seconds,
            }
            for row in self.rows
        ]
        marks = [point.to_json() for point in self.yardsticks]
        return {**asdict(replace(self, rows=(), yardsticks=())), "rows": rows, "yardsticks": marks}

    def __rich__(self) -> RenderableType:
        scored = any(row.score is not None for row in self.rows)
        title = (
            f"{self.network}: rate and distortion" if self.swept else f"{self.network} at {self.budget or 0:,} bytes"
        )
        return Group(
            Text(title, style="bold"),
            sweep_table(self.points) if self.swept else compare_table(self.rows),
            *(Text(f"not possible: {reason}\n") for reason in self.impossible.values()),
            *([] if scored else [Text(f"function: not measured, because {self.unscored}\n")]),
            *([plain(f"figure   {self.run}/figures/rate_distortion.png")] if self.swept else []),
            plain(f"report   {self.run}/report.md"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparePlan:
    """What `compare` would do: a plan for each DNA."""

    kinds: tuple[MinePlan, ...]

    def to_json(self) -> dict[str, Any]:
        return {"kinds": [each.to_json() for each in self.kinds]}

    def __rich__(self) -> RenderableType:
        return Group(*self.kinds)


def compare(recipe: CompareRecipe, *, progress: Progress | None = None, fresh: bool = False) -> CompareResult:
    """Mines every kind that `recipe` names at every size; what an earlier process finished is not mined again.

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
    """What `compare` would do, one DNA after the other. Writes nothing."""
    progress = progress or Silent()
    with progress.stage("load"):
        network = load(recipe.what.network)
        field = read_field(network)
    return ComparePlan(
        kinds=tuple(plan_kind(network, field, each, recipe, progress) for _, each in _configs(recipe.what))
    )


def _configs(what: CompareWhat) -> Iterator[tuple[float | None, MineConfig]]:
    """What is mined, in this order: the ratio that a sweep asks for, and the whole config."""
    for ratio in what.ratios:
        yield from ((ratio, replace(what.config_of(kind), ratio=ratio)) for kind in what.kinds)
    if not what.ratios:
        yield from ((None, what.config_of(kind)) for kind in what.kinds)


def _name(kind: str, asked: float | None) -> str:
    """What a DNA's folder is called."""
    return kind if asked is None else f"{kind}-{asked:g}x"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """What all rows of a comparison share."""

    recipe: CompareRecipe
    network: Network
    field: Field
    run: RunFolder
    judging: Judged
    record: Recorded
    progress: Progress

    def dna(self, name: str) -> Path:
        """The folder of a DNA."""
        how = self.recipe.how
        return (Path(how.out) if how.out else self.run.dna) / name


def _compare(
    recipe: CompareRecipe, network: Network, run: RunFolder, record: Recorded, progress: Progress
) -> CompareResult:
    what = recipe.what
    judging = judged(network, what.task, texts=what.texts, limit=what.limit, device=recipe.how.device)
    with progress.stage("read"):
        field = read_field(network)
    work = _Work(
        recipe=recipe, network=network, field=field, run=run, judging=judging, record=record, progress=progress
    )
    rows, impossible = _rows(work)
    marks: tuple[RatePoint, ...] = ()
    if what.beside_yardsticks:
        marks = tuple(yardsticks(network, field, run.path / "yardsticks", judging=judging, progress=progress))
    budget = None if what.ratios else file_budget(network, replace(what.config, kind=what.kinds[0]))
    result = CompareResult(
        network=network.name,
        run=str(run.path),
        budget=budget,
        rows=tuple(rows.values()),
        dna={name: str(work.dna(name)) for name in rows},
        yardsticks=marks,
        impossible=impossible,
        unscored=judging.reason,
    )
    _publish(result, work)
    return result


def _rows(work: _Work) -> tuple[dict[str, Compared], dict[str, str]]:
    """Name -> row of each DNA, and name -> reason of each that no file of its size can hold.

    Raises:
        BudgetError: None can.
        KeyboardInterrupt: Someone asked to stop between two of them.
    """
    rows: dict[str, Compared] = {}
    impossible: dict[str, str] = {}
    todo = list(_configs(work.recipe.what))
    for number, (asked, config) in enumerate(todo, 1):
        name = _name(config.kind, asked)
        work.progress.note(f"{name}: {number} of {len(todo)}")
        try:
            rows[name] = _finished(work, name) or _mined(work, name, asked, config)
        except BudgetError as error:
            if number == len(todo) and not rows:
                raise
            work.progress.note(str(error))
            impossible[name] = str(error)
    return rows, impossible


def _finished(work: _Work, name: str) -> Compared | None:
    """The row of an earlier process of this run, if its DNA is still there and whole."""
    row = read_row(_folder(work, name) / "row.json")
    try:
        read_dna(work.dna(name))
    except ArtifactError:
        return None
    return row


def _mined(work: _Work, name: str, asked: float | None, config: MineConfig) -> Compared:
    """Mines into a folder of its own. A training curve stays there: the journal has room for one."""
    if work.progress.stopping:
        raise KeyboardInterrupt
    folder = _folder(work, name)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = to_mapping(work.recipe)
    mined = mine_one(
        work.network,
        work.field,
        config,
        work.recipe.how,
        work=folder,
        out=work.dna(name),
        recipe={**recipe, "what": {**recipe["what"], "kind": config.kind, "ratio": config.ratio}},
        judging=work.judging,
        progress=work.progress,
        tell=lambda *events: None,
    )
    found = mined.findings
    row = Compared(kind=config.kind, asked=asked, measures=found.measures, score=found.score, seconds=found.seconds)
    write_row(folder / "row.json", row)
    work.record.tell(*mined.events(work.run.path))
    return row


def _folder(work: _Work, name: str) -> Path:
    return work.run.path / "kinds" / name


def _publish(result: CompareResult, work: _Work) -> None:
    """Writes page, figures and result, and names them in the journal."""
    run = work.run
    reasons = list(result.impossible.values())
    if result.swept:
        page = write_sweep(run.path, result.network, result.points, references(work.field), impossible=reasons)
    else:
        page = write_comparison(run.path, result.network, result.rows, impossible=reasons)
    write_file(run.result, [json.dumps(result.to_json(), indent=1).encode()])
    figures = sorted(each for each in run.figures.glob("*") if each.suffix in (".png", ".svg"))
    files = [page, run.result, *figures]
    work.record.tell(*({"event": "artifact", "file": str(file.relative_to(run.path))} for file in files))
