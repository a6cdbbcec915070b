"""Tables of a search for the terminal, from 80 columns up."""

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dna_ray.evolution.chronicle import Chronicle
from dna_ray.evolution.genealogy import formula
from dna_ray.report import evolution_words
from dna_ray.report.methods import CHAMPION, methods

_BAR = 30  # characters of a bar for a layer that keeps all


def methods_table(search: Chronicle) -> Table:
    """The champion beside the known methods, best first; what it is ahead in pairs, where that is known."""
    rows = methods(search)
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    paired = any(row.ahead for row in rows)
    extra = ["champion ahead (95 %)"] if paired else []
    table = _table("test split", *names, *extra, "skipped")
    for row in rows:
        cells = [evolution_words.measured(row.figures.get(name)) for name in names]
        cells += [evolution_words.ahead(row.ahead)] if paired else []
        cells += [evolution_words.share(row.skipped)]
        table.add_row(Text(row.name), *cells, style="bold" if row.name == CHAMPION else "")
    table.caption = Text("skipped: multiply-adds that zeros save; ± is a standard error", style="dim")
    table.caption_justify = "left"
    return table


def bounds_table(search: Chronicle) -> Table:
    """What was computed beside what was measured, how far apart they are, and what was promised."""
    table = _table("bound", "computed", "measured", "ratio", "promise")
    for bound in search.champion["bounds"] if search.champion else ():
        figures = (evolution_words.number(bound.get(name)) for name in ("bound", "measured", "ratio"))
        table.add_row(Text(bound["name"]), *figures, Text(bound["promise"]))
    table.columns[-1].justify, table.columns[-1].no_wrap = "left", False
    return table


def counts_table(counts: Mapping[str, int]) -> Table:
    """What came of the agents."""
    table = _table(*counts)
    table.columns[0].justify = "right"
    table.add_row(*(f"{count:,}" for count in counts.values()))
    return table


def front_table(search: Chronicle) -> Table:
    """The agents that none beats in loss and multiply-adds, lowest loss first."""
    table = _table("agent", "loss", "multiply-adds", "program")
    table.columns[-1].justify, table.columns[-1].no_wrap = "left", False
    for name in search.front:
        agent = search.agents[name]
        share = agent.multiply_adds / search.dense_multiply_adds
        table.add_row(name[:12], f"{search.losses[name]:.4g}", f"{share:.1%}", Text(formula(agent)))
    return table


def profile_table(profile: Mapping[str, float], sparsity: float) -> Table:
    """The share of its weights that each layer keeps, as a bar; a tick marks what all keep together."""
    table = _table("layer", "kept", "")
    table.columns[-1].justify = "left"
    for name, kept in profile.items():
        table.add_row(Text(name.removesuffix(".weight"), overflow="fold"), f"{kept:.1%}", _bar(kept, 1 - sparsity))
    return table


def _bar(kept: float, uniform: float) -> str:
    length, tick = round(_BAR * kept), min(_BAR - 1, round(_BAR * uniform))
    cells = ["█" if place < length else " " for place in range(_BAR)]
    cells[tick] = "▌" if tick < length else "│"
    return "".join(cells)


def _table(*headings: str) -> Table:
    """The first column is a label; figures are right-aligned, so that their decimals meet."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=place > 0)
    return table
