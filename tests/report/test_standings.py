"""The page, the tables and the figures of a comparison of methods, from outcomes that nobody ran."""

from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from invented_outcomes import CONFIG, DENSE, invented
from rich.console import Console

from dna_ray.evolution.comparison.config import METHODS
from dna_ray.evolution.comparison.outcome import Outcome
from dna_ray.evolution.comparison.standings import Standings, curves_of, standings
from dna_ray.report.standings_figures import scores, searches
from dna_ray.report.standings_page import write_standings
from dna_ray.report.standings_tables import overall_table, standing_table
from dna_ray.report.standings_words import findings

RECIPE: Mapping[str, Any] = {"verb": "compare-evolution", "what": {"network": "tiny"}}


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return list(invented())


@pytest.fixture(scope="module")
def table(outcomes: list[Outcome]) -> Standings:
    return made(outcomes)


def made(outcomes: list[Outcome]) -> Standings:
    return standings(outcomes, CONFIG, score="accuracy", dense=DENSE)


def shown(*parts: Any, width: int = 80) -> str:
    file = StringIO()
    Console(width=width, file=file).print(*parts)
    return file.getvalue()


def test_a_page_has_every_method_at_every_sparsity_and_both_figures(
    table: Standings, outcomes: list[Outcome], tmp_path: Path
):
    files = write_standings(tmp_path, table, curves_of(outcomes), network="tiny", default="machine", recipe=RECIPE)
    assert [file.name for file in files] == ["report.md", "scores.png", "searches.png"]
    assert all(file.stat().st_size > 4000 for file in files)
    page = files[0].read_text()
    for method in METHODS:
        assert page.count(f"| {method} |") + page.count(f"| **{method}** |") == 5, method
    assert "None" not in page
    assert "nan" not in page


def test_a_table_fits_a_terminal_of_80_columns(table: Standings):
    for standing in table.sparsities:
        text = shown(standing_table(table, standing))
        assert all(method in text for method in METHODS)
        assert "…" not in text
    assert shown(overall_table(table)).count("machine") >= 2


def test_findings_say_who_won_and_what_the_default_is(table: Standings):
    first = table.overall[0].method
    assert findings(table, first)[-1].endswith("It is the default of `dna-ray evolve`.")
    other = next(each.method for each in table.overall if each.method != first)
    assert f"The default of `dna-ray evolve` is {other}, which did not win here" in findings(table, other)[-1]
    for sentence, standing in zip(findings(table, first), table.sparsities, strict=False):
        assert f"{100 * standing.sparsity:g} % zeros: {standing.rows[0].method} has the highest accuracy" in sentence
        assert f"Against {standing.rival}" in sentence
        assert ("was the goal" in sentence) == standing.high


def test_an_unfinished_table_says_so(outcomes: list[Outcome], tmp_path: Path):
    few = made(outcomes[:25])
    assert findings(few, "machine")[0] == "25 of 228 cells are finished: what follows may change."
    assert shown(standing_table(few, few.sparsities[0]))
    write_standings(tmp_path, few, curves_of(outcomes[:25]), network="tiny", default="machine", recipe=RECIPE)


def test_without_outcomes_there_is_a_page_without_figures(tmp_path: Path):
    files = write_standings(tmp_path, made([]), {}, network="tiny", default="machine", recipe=RECIPE)
    assert [file.name for file in files] == ["report.md"]
    assert scores(made([])) is None
    assert searches(made([]), {}) is None


def test_a_method_without_a_choice_is_named_in_table_and_page(outcomes: list[Outcome], tmp_path: Path):
    failed = [
        replace(each, items=(), agent=None, loss=None, fresh_loss=None, curve=(), reason="every agent failed")
        if each.cell.method == "tpe"
        else each
        for each in outcomes
    ]
    table = made(failed)
    assert "tpe (none of 3 seeds)" in shown(standing_table(table, table.sparsities[0]), width=100)
    files = write_standings(tmp_path, table, curves_of(failed), network="tiny", default="machine", recipe=RECIPE)
    assert "(3 without a score)" in files[0].read_text()
    assert "tpe" not in {each.method for each in table.overall}
