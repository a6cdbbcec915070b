"""Writes what was found as markdown: `report.md` with its figures in a run folder, and the model card of a DNA."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dna_ray import __version__
from dna_ray.mining.durable import write_file
from dna_ray.mining.fidelity import gap_db
from dna_ray.mining.reference import References
from dna_ray.report import words
from dna_ray.report.canvas import png, svg
from dna_ray.report.figures import FIGURES, comparison
from dna_ray.report.findings import Compared, Findings, best_first, first_metrics, score_json, score_metrics
from dna_ray.report.markdown import PAGE, template, write_figures, yaml_of
from dna_ray.report.rate_distortion import rate_distortion
from dna_ray.report.rate_points import RatePoint, by_size, remarks, shown_metrics


def write_page(folder: Path, findings: Findings) -> Path:
    """Writes `report.md` and `figures/*.png` into `folder`; each file appears whole or not at all.

    Figures of an earlier page that are not drawn this time are removed.

    Raises:
        SpaceError: No space left.
    """
    captions = write_figures(folder, ((name, plot.caption, plot.draw(findings)) for name, plot in FIGURES.items()))
    write_file(folder / PAGE, [page(findings, captions).encode()])
    return folder / PAGE


def page(findings: Findings, captions: Mapping[str, str]) -> str:
    """The markdown of a page.

    Args:
        captions: Name -> caption of each figure that lies in `figures/` beside it.
    """
    return _render("report.md.j2", findings, captions=captions, recipe=yaml_of(findings.recipe))


def write_comparison(folder: Path, network: str, rows: Sequence[Compared], *, impossible: Sequence[str] = ()) -> Path:
    """Writes `report.md` and `figures/comparison.png` into `folder`, of several kinds of DNA of one network.

    Args:
        impossible: Why kinds that were asked for are missing.

    Raises:
        SpaceError: No space left.
    """
    write_file(folder / "figures" / "comparison.png", [png(comparison(rows))])
    ordered = best_first(rows)
    metric, values = first_metrics(ordered)
    scored = list(zip(ordered, values, strict=True))
    notes = dict.fromkeys(
        note for row in rows if row.score is not None for note in score_json(row.score).get("notes", ())
    )
    text = template("comparison.md.j2").render(
        network=network,
        rows=scored,
        metric=metric,
        impossible=impossible,
        notes=list(notes),
        words=words,
        version=__version__,
    )
    write_file(folder / PAGE, [text.encode()])
    return folder / PAGE


def write_sweep(
    folder: Path, network: str, points: Sequence[RatePoint], references: References, *, impossible: Sequence[str] = ()
) -> Path:
    """Writes `report.md` and `figures/rate_distortion.png` and `.svg` into `folder`.

    Args:
        impossible: Why points that were asked for are missing.

    Raises:
        SpaceError: No space left.
    """
    figure = rate_distortion(points, references)
    if figure is not None:
        write_file(folder / "figures" / "rate_distortion.png", [png(figure)])
        write_file(folder / "figures" / "rate_distortion.svg", [svg(figure)])
    text = template("sweep.md.j2").render(
        network=network,
        groups=by_size(points),
        metrics=shown_metrics(points),
        drawn=figure is not None,
        impossible=impossible,
        notes=remarks(points),
        words=words,
        version=__version__,
    )
    write_file(folder / PAGE, [text.encode()])
    return folder / PAGE


def model_card(findings: Findings) -> str:
    """The README.md of a DNA folder, as the Hugging Face hub reads it.

    Of the recipe it holds only what decides the DNA (`what`): workers, addresses and paths are nobody else's business.
    """
    front = {"library_name": "dna-ray", "tags": ["dna-ray", "weight-compression", findings.kind]}
    if findings.base_model is not None:
        front |= {"base_model": findings.base_model, "base_model_relation": "quantized"}
    recipe = {"verb": findings.recipe.get("verb", "mine"), "what": findings.recipe.get("what", {})}
    return _render("card.md.j2", findings, front=yaml_of(front), recipe=yaml_of(recipe))


def _render(name: str, findings: Findings, **more: Any) -> str:
    return template(name).render(
        findings=findings,
        measures=findings.measures,
        score=None if findings.score is None else score_json(findings.score),
        metrics={} if findings.score is None else score_metrics(findings.score),
        words=words,
        gap_db=gap_db,
        version=__version__,
        **more,
    )
