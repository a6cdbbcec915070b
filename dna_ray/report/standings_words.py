"""What a comparison of methods found, in sentences: who won, by how much, how sure that is, and what the default is."""

from collections.abc import Iterator

from dna_ray.evolution.comparison.config import OURS
from dna_ray.evolution.comparison.paired import Paired
from dna_ray.evolution.comparison.standings import HIGH, MARGIN, Row, Standing, Standings

LEAST_WON = 0.05  # of the score: what the machine should be ahead by, where sparsity is high


def percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def spread(row: Row) -> str:
    """A score with half of its 95 % interval over seeds, or a dash."""
    if row.score is None:
        return "-"
    return f"{row.score:.3f}" + ("" if row.high is None else f" ± {row.high - row.score:.3f}")


def ahead(difference: Paired | None) -> str:
    """A paired difference with its interval, or a dash."""
    if difference is None:
        return "-"
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def chance(difference: Paired | None) -> str:
    """How probable such a difference is where there is none."""
    if difference is None:
        return "-"
    return "<.001" if difference.p < 0.001 else f"{difference.p:.3f}"


def findings(table: Standings, default: str) -> tuple[str, ...]:
    """A paragraph for each sparsity, and one for all of them.

    Args:
        default: The method that `evolve` has when none is named.
    """
    unfinished = (
        (f"{table.done} of {table.cells} cells are finished: what follows may change.",)
        if table.done < table.cells
        else ()
    )
    each = (" ".join(_at(standing, table)) for standing in table.sparsities)
    return (*unfinished, *each, *_overall(table, default))


def _at(standing: Standing, table: Standings) -> Iterator[str]:
    best = standing.rows[0]
    if best.score is None:
        yield f"{percent(standing.sparsity)} zeros: no method has a score yet."
        return
    ours = next((row for row in standing.rows if row.method == OURS and row.score is not None), None)
    yield f"{percent(standing.sparsity)} zeros: {best.method} has the highest {table.score}, {best.score:.3f}"
    yield (
        f"(dense {table.dense:.3f})." if ours in (None, best) else f"(dense {table.dense:.3f}, {OURS} {_score(ours)})."
    )
    if ours is None:
        return
    if standing.rival is not None:
        found = standing.row(standing.rival).ahead
        held = found is not None and found.low > -MARGIN
        yield f"Against {standing.rival}, the best of the others on the search split, {OURS} is ahead by"
        yield f"{ahead(found)}: the lower limit is {'above' if held else 'not above'} {-MARGIN:.2f}."
    if standing.known is not None:
        found = standing.row(standing.known).ahead
        lead = f"{ahead(found)}{_of_high(standing, found)}"
        yield f"Against {standing.known}, the best without search on the test split, by {lead}."
    yield from _passed(standing, table)


def _score(row: Row | None) -> str:
    return "-" if row is None or row.score is None else f"{row.score:.3f}"


def _of_high(standing: Standing, found: Paired | None) -> str:
    if not standing.high:
        return ""
    enough = found is not None and found.value >= LEAST_WON
    return (
        f"; that one lost more than {percent(HIGH)} of the dense score, and a lead of {LEAST_WON:.2f} was the goal: "
        f"{'reached' if enough else 'missed'}"
    )


def _passed(standing: Standing, table: Standings) -> Iterator[str]:
    if not standing.passed:
        return
    times = sum(each is not None for each in standing.passed)
    after = standing.typically_passed
    middle = "" if after is None else f", after {after:g} of {table.evaluations} evaluations (median)"
    yield (
        f"The final search loss of {standing.evopress}, the best EvoPress-like, was passed with {times} of "
        f"{len(standing.passed)} seeds{middle}."
    )


def _overall(table: Standings, default: str) -> tuple[str, ...]:
    if not table.overall:
        return ()
    first, rest = table.overall[0], table.overall[1:]
    where = "Over all sparsities" if len(table.sparsities) > 1 else "So"
    lead = f"{where} {first.method} has the highest mean {table.score}, {first.score:.4f}"
    if rest:
        lead += f"; then {rest[0].method}, {rest[0].score:.4f}"
        lead += f" ({OURS} is ahead of it by {ahead(rest[0].ahead)})" if first.method == OURS else ""
    if first.method == default:
        return (f"{lead}. It is the default of `dna-ray evolve`.",)
    sure = f" ({OURS} is ahead of {first.method} by {ahead(first.ahead)})" if first.ahead else ""
    return (f"{lead}. The default of `dna-ray evolve` is {default}, which did not win here{sure}.",)
