"""Ancestors and descendants of a network, a run, a DNA or an agent, as the journals of the run store tell them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from dna_ray.tracking.ancestry import Ancestry, ancestry_of
from dna_ray.tracking.lineage import Lineage, lineage_of
from dna_ray.tracking.store import home as default_home
from dna_ray.verbs.result import plain


@dataclass(frozen=True, slots=True)
class LineageResult:
    lineage: Lineage | Ancestry

    def to_json(self) -> dict[str, Any]:
        return self.lineage.to_json()

    def __rich__(self) -> RenderableType:
        return plain(self.lineage.to_text())


def lineage(x: str, *, home: Path | None = None) -> LineageResult:
    """Finds what `x` came from and what came of it.

    Args:
        x: A DNA folder or file, a run, the name of a network, or the start of an id: of any of these, or of an agent.

    Raises:
        InputError: Nothing in the run store is called so, or several are.
    """
    store = home or default_home()
    return LineageResult(ancestry_of(x, store) or lineage_of(x, store))
