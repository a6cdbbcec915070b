"""How every page is made of its template: markdown, in which nothing that was not written for the page is markup."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from matplotlib.figure import Figure

from dna_ray.mining.durable import write_file
from dna_ray.report.canvas import png

PAGE = "report.md"


def template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("dna_ray.report"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # markdown: `code`, `prose` and `fenced` below do what it needs
    )
    environment.filters |= {"code": _code, "prose": _prose, "fenced": _fenced}
    return environment.get_template(name)


def write_figures(folder: Path, figures: Iterable[tuple[str, str, Figure | None]]) -> dict[str, str]:
    """Writes `figures/NAME.png` into `folder`; returns name -> caption of those that there are.

    Those of an earlier page that are not drawn this time are removed.

    Args:
        figures: Name, caption, and what was drawn.

    Raises:
        SpaceError: No space left.
    """
    captions: dict[str, str] = {}
    for name, caption, figure in figures:
        path = folder / "figures" / f"{name}.png"
        if figure is None:
            path.unlink(missing_ok=True)
            continue
        write_file(path, [png(figure)])
        captions[name] = caption
    return captions


def yaml_of(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip()


def _code(text: object) -> str:
    """A name as inline code that ends neither its code span nor the cell of its table."""
    line = " ".join(str(text).split())
    return "`" + line.replace("`", "'").replace("|", "\\|") + "`"


def _prose(text: object) -> str:
    """Words that were not written for this page: one line, no HTML, no table cells."""
    return escape(" ".join(str(text).split()), quote=False).replace("|", "\\|")


def _fenced(text: object) -> str:
    """Lines of code that do not end the block that they stand in."""
    return str(text).rstrip().replace("```", "'''")
