"""Writes what a search found as markdown: `report.md` with its figures in a run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dna_ray import __version__
from dna_ray.evolution.chronicle import Chronicle
from dna_ray.evolution.genealogy import changes, formula
from dna_ray.mining.durable import write_file
from dna_ray.report import evolution_words, words
from dna_ray.report.evolution_figures import FIGURES
from dna_ray.report.markdown import PAGE, template, write_figures, yaml_of
from dna_ray.report.methods import methods


def write_evolution_page(folder: Path, search: Chronicle, *, network: str, recipe: Mapping[str, Any]) -> Path:
    """Writes `report.md` and `figures/*.png` into `folder`; each file appears whole or not at all.

    Figures of an earlier page that are not drawn this time are removed.

    Args:
        network: What the user called it.
        recipe: How it evolved: what the YAML of the run says.

    Raises:
        SpaceError: No space left.
    """
    captions = write_figures(folder, ((name, plot.caption, plot.draw(search)) for name, plot in FIGURES.items()))
    write_file(folder / PAGE, [evolution_page(search, captions, network=network, recipe=recipe).encode()])
    return folder / PAGE


def evolution_page(search: Chronicle, captions: Mapping[str, str], *, network: str, recipe: Mapping[str, Any]) -> str:
    """The markdown of a page.

    Args:
        captions: Name -> caption of each figure that lies in `figures/` beside it.
    """
    champion = search.champion
    line = search.line(champion["id"]) if champion else ()
    rows = methods(search)
    return template("evolution.md.j2").render(
        network=network,
        search=search,
        champion=champion,
        agent=search.agents.get(champion["id"]) if champion else None,
        line=[(agent, search.losses.get(agent.id)) for agent in line],
        steps=[
            (child, search.losses.get(child.id), changes(parent, child, search.layers))
            for parent, child in zip(line, line[1:], strict=False)
        ],
        rows=rows,
        figures=list(dict.fromkeys(name for row in rows for name in row.figures)),
        paired=any(row.ahead for row in rows),
        captions=captions,
        formula=formula,
        recipe=yaml_of(recipe) if recipe else "",
        words=words,
        said=evolution_words,
        version=__version__,
    )
