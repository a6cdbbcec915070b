"""What came of a comparison of methods with and without search, as its journal tells it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from dna_ray.errors import ArtifactError
from dna_ray.evolution.comparison.outcome import Outcome
from dna_ray.evolution.comparison.standings import Curves, Standings, curves_of, standings
from dna_ray.evolution.config import EvolveConfig
from dna_ray.mining.durable import write_file
from dna_ray.networks import Network
from dna_ray.recipe import CompareEvolutionRecipe, default_of, to_mapping
from dna_ray.report.standings_page import write_standings
from dna_ray.report.standings_tables import overall_table, standing_table
from dna_ray.report.standings_words import findings
from dna_ray.tracking import journal
from dna_ray.verbs.recorded import Recorded
from dna_ray.verbs.result import plain
from dna_ray.verbs.runs import RunFolder


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareEvolutionResult:
    """How methods with and without search compare.

    Attributes:
        network: What the user called the network.
        run: The run folder.
        default: The method that `evolve` has when none is named.
        standings: The table.
        curves: How far searches were after how many evaluations.
    """

    network: str
    run: str
    default: str
    standings: Standings
    curves: Curves

    def to_json(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "run": self.run,
            "default": self.default,
            **asdict(self.standings),
            "findings": list(findings(self.standings, self.default)),
        }

    def __rich__(self) -> RenderableType:
        several = len(self.standings.sparsities) > 1
        return Group(
            Text(f"{self.network}: methods with and without search", style="bold"),
            *(standing_table(self.standings, each) for each in self.standings.sparsities),
            *([overall_table(self.standings)] if several and self.standings.overall else []),
            *(Text(f"{line}\n") for line in findings(self.standings, self.default)),
            plain(f"figures  {self.run}/figures"),
            plain(f"report   {self.run}/report.md"),
        )


def outcomes(events: Iterable[Mapping[str, Any]]) -> list[Outcome]:
    """What came of each cell that is finished.

    Raises:
        ArtifactError: An event is damaged.
    """
    return [Outcome.from_json(event) for event in events if event["event"] == "cell"]


def read_result(recipe: CompareEvolutionRecipe, run: RunFolder, *, network: str) -> CompareEvolutionResult:
    """The result of a run, as far as it has come.

    Raises:
        ArtifactError: Its journal is damaged.
    """
    events = journal.read(run.path)
    found = outcomes(events)
    dense = next((event for event in events if event["event"] == "dense"), None)
    if dense is None:
        raise ArtifactError(f"{run.journal}: says nothing of the dense network; start over with --fresh")
    return CompareEvolutionResult(
        network=network,
        run=str(run.path),
        default=str(default_of(EvolveConfig, "method")),
        standings=standings(found, recipe.what.config, score=dense["score"], dense=dense["items"]),
        curves=curves_of(found),
    )


def published(
    recipe: CompareEvolutionRecipe, run: RunFolder, record: Recorded, *, network: Network
) -> CompareEvolutionResult:
    """Writes page, figures and result, and tells the journal of them and of the scores, which MLflow shows."""
    result = read_result(recipe, run, network=network.name)
    files = write_standings(
        run.path,
        result.standings,
        result.curves,
        network=network.name,
        default=result.default,
        recipe=to_mapping(recipe),
    )
    write_file(run.result, [json.dumps(result.to_json(), indent=1).encode()])
    record.tell(
        *_scores(result.standings, network.fingerprint),
        *({"event": "artifact", "file": str(file.relative_to(run.path))} for file in (*files, run.result)),
    )
    return result


def _scores(table: Standings, fingerprint: str) -> Iterator[dict[str, Any]]:
    """One a method and sparsity."""
    for standing in table.sparsities:
        for row in standing.rows:
            metrics = {table.score: row.score, "low": row.low, "high": row.high, "loss": row.loss}
            if row.ahead is not None:
                metrics |= {"ahead": row.ahead.value, "ahead_low": row.ahead.low, "ahead_high": row.ahead.high}
            yield {
                "event": "score",
                "subject": fingerprint,
                "name": f"{standing.sparsity:g}/{row.method}",
                "task": "test",
                "metrics": {name: value for name, value in metrics.items() if value is not None},
            }
