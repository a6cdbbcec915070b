"""Tables of a comparison of methods for the terminal, from 80 columns up."""

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dna_ray.evolution.comparison.config import OURS
from dna_ray.evolution.comparison.standings import Row, Standing, Standings
from dna_ray.report.evolution_words import number
from dna_ray.report.standings_words import ahead, chance, percent, spread


def standing_table(table: Standings, standing: Standing) -> Table:
    """Methods at one sparsity, highest score first."""
    found = _table(
        f"{percent(standing.sparsity)} zeros", f"{table.score} ±", "search loss", f"{OURS} ahead [95 %]", "p"
    )
    for row in standing.rows:
        cells = (spread(row), number(row.loss), ahead(row.ahead), chance(row.ahead))
        found.add_row(Text(row.method + _flaw(row)), *cells, style="bold" if row.method == OURS else "")
    said = f"±: half of a 95 % interval over seeds; dense {table.dense:.3f}, {_seeds(standing)}, n = {table.examples:,}"
    found.caption = Text(said, style="dim")
    found.caption_justify = "left"
    return found


def overall_table(table: Standings) -> Table:
    """Methods over all sparsities, highest score first."""
    found = _table("all sparsities", f"mean {table.score}", f"{OURS} ahead [95 %]", "p")
    for each in table.overall:
        cells = (f"{each.score:.4f}", ahead(each.ahead), chance(each.ahead))
        found.add_row(Text(each.method), *cells, style="bold" if each.method == OURS else "")
    return found


def _flaw(row: Row) -> str:
    """What a reader has to know of a row."""
    return f" (none of {row.missing} seeds)" if row.missing else ""


def _seeds(standing: Standing) -> str:
    counts = sorted({row.seeds for row in standing.rows})
    return f"seeds {counts[0]}" if len(counts) == 1 else f"seeds {counts[0]} to {counts[-1]}"


def _table(*headings: str) -> Table:
    """The first column is a label; figures are right-aligned, so that their decimals meet."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=place > 0)
    return table
