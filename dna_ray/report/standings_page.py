"""Writes what a comparison of methods found as markdown: `report.md` with its figures in a run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dna_ray import __version__
from dna_ray.evolution.comparison.standings import Curves, Standings
from dna_ray.mining.durable import write_file
from dna_ray.report import evolution_words, standings_words
from dna_ray.report.markdown import PAGE, template, write_figures, yaml_of
from dna_ray.report.standings_figures import scores, searches


def write_standings(
    folder: Path, table: Standings, curves: Curves, *, network: str, default: str, recipe: Mapping[str, Any]
) -> list[Path]:
    """Writes `report.md` and `figures/*.png` into `folder`, and returns their paths; each appears whole or not at all.

    Args:
        network: What the user called it.
        default: The method that `evolve` has when none is named.
        recipe: What the YAML of the run says.

    Raises:
        SpaceError: No space left.
    """
    figures = (
        ("scores", "Score of each method on the test split", scores(table)),
        ("searches", "Lowest search loss over evaluations", searches(table, curves)),
    )
    captions = write_figures(folder, figures)
    page = standings_page(table, captions, network=network, default=default, recipe=recipe)
    write_file(folder / PAGE, [page.encode()])
    return [folder / PAGE, *(folder / "figures" / f"{name}.png" for name in captions)]


def standings_page(
    table: Standings, captions: Mapping[str, str], *, network: str, default: str, recipe: Mapping[str, Any]
) -> str:
    """The markdown of a page.

    Args:
        captions: Name -> caption of each figure that lies in `figures/` beside it.
    """
    return template("standings.md.j2").render(
        network=network,
        table=table,
        captions=captions,
        findings=standings_words.findings(table, default),
        said=standings_words,
        number=evolution_words.number,
        recipe=yaml_of(recipe) if recipe else "",
        version=__version__,
    )
