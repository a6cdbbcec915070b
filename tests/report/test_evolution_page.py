import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evolved_runs import told
from rich.console import Console
from rich.table import Table

from dna_ray.evolution.chronicle import Chronicle, chronicle
from dna_ray.report.evolution_figures import FIGURES
from dna_ray.report.evolution_page import evolution_page, write_evolution_page
from dna_ray.report.evolution_tables import bounds_table, counts_table, front_table, methods_table, profile_table

RECIPE = {"verb": "evolve", "what": {"network": "sample:small"}}
CAPTIONS = {name: plot.caption for name, plot in FIGURES.items()}


@pytest.fixture(scope="module")
def search() -> Chronicle:
    found = chronicle([{**event, "time": 0} for event in told()])
    assert found is not None
    return found


def page(search: Chronicle) -> str:
    return evolution_page(search, CAPTIONS, network="sample:small", recipe=RECIPE)


def champion(search: Chronicle) -> dict[str, Any]:
    return dict(search.champion or {})


def tables(text: str) -> list[list[str]]:
    return [block.splitlines() for block in re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE)]


def cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def test_a_page_names_only_figures_that_are_there(search: Chronicle, tmp_path: Path):
    text = write_evolution_page(tmp_path, search, network="sample:small", recipe=RECIPE).read_text()
    named = set(re.findall(r"\]\((figures/.*?)\)", text))
    assert named == {str(path.relative_to(tmp_path)) for path in (tmp_path / "figures").iterdir()}
    assert len(named) == len(FIGURES)
    write_evolution_page(tmp_path, replace(search, scores=()), network="sample:small", recipe=RECIPE)
    assert not (tmp_path / "figures" / "methods.png").exists()


def test_a_page_tells_program_bounds_methods_and_counts(search: Chronicle):
    text = page(search)
    assert champion(search)["python"].rstrip() in text
    assert champion(search)["words"].replace("|", "\\|") in text
    assert "| disagreement | 0.21 | 0.18 | 1.167 | upper bound |" in text
    assert "| movement of the output | 0.4 | - | - | estimate |" in text
    assert "| **champion** | 0.792 ± 0.012 |" in text
    assert f"{search.counts['evaluated']} evaluated, {search.counts['failed']} failed" in text
    assert "{{" not in text


def test_a_page_tells_each_step_of_the_champion(search: Chronicle):
    text = page(search)
    for number, agent in enumerate(search.line(champion(search)["id"]), start=1):
        assert f"\n{number}. `{agent.id[:12]}` {agent.operator}" in text


def test_a_page_shows_what_the_champion_is_ahead_where_it_is_known(search: Chronicle):
    assert "champion ahead" not in page(search)
    more = {"ahead": 0.02, "ahead_low": -0.01, "ahead_high": 0.05}
    scores = tuple({**score, "metrics": {**score["metrics"], **more}} for score in search.scores)
    assert "+0.020 [-0.010, +0.050]" in page(replace(search, scores=scores))


def test_every_row_of_a_table_has_the_cells_of_its_head(search: Chronicle):
    scores = tuple({**score, "name": f"{score['name']}|a\n<b>`"} for score in search.scores)
    bounds = [{**bound, "name": "a | b\n# <script>"} for bound in champion(search)["bounds"]]
    python = "def importance(absW):\n    return absW\n```\n# <escaped>\n"
    crown = {**champion(search), "bounds": bounds, "words": "| <script>", "python": python}
    text = page(replace(search, scores=scores, champion=crown, front=tuple(search.losses)[:3]))
    found = tables(text)
    assert len(found) == 3
    for table in found:
        assert len({cells(line) for line in table}) == 1
    assert "<script>" not in text
    assert text.count("```") == 4


def test_a_page_of_a_search_that_has_no_champion_is_written(search: Chronicle):
    bare = replace(search, champion=None, front=(), scores=(), agents={}, generations=())
    text = evolution_page(bare, {}, network="sample:small", recipe={})
    assert "none is crowned yet" in text
    assert "Recipe" not in text


def printed(table: Table, width: int) -> str:
    console = Console(width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_and_lose_nothing(search: Chronicle, width: int):
    crown = champion(search)
    named = {"[red]encoder.layer.11.attention.output.dense[/red].weight": 0.3, **crown["profile"]}
    more = {"ahead": 0.02, "ahead_low": -0.01, "ahead_high": 0.05}
    scores = tuple({**score, "metrics": {**score["metrics"], **more}} for score in search.scores)
    every = replace(search, scores=scores, front=tuple(search.losses)[:4])
    told = (methods_table(every), bounds_table(every), counts_table(every.counts), front_table(every))
    for table in (*told, profile_table(named, search.sparsity)):
        text = printed(table, width)
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
    assert "[red]" in printed(profile_table(named, search.sparsity), width)


def test_tables_without_a_champion_are_empty(search: Chronicle):
    assert bounds_table(replace(search, champion=None)).row_count == 0
    assert methods_table(replace(search, scores=())).row_count == 0


def test_bars_are_as_long_as_what_is_kept(search: Chronicle):
    lines = printed(profile_table({"a": 0.0, "b": 0.5, "c": 1.0}, 0.8), 80).splitlines()
    lengths = {line.split()[0]: sum(line.count(each) for each in "█▌") for line in lines if "%" in line}
    assert lengths == {"a": 0, "b": 15, "c": 30}
