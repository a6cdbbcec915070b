"""What it costs to choose weights by a program, counted from its symbols and not by the clock."""

from dna_ray.evolution.metric.program import Program, subtrees
from dna_ray.evolution.metric.symbols import CONST, LEAVES, OPERATIONS, SORT, Axes


def operations(program: Program) -> int:
    """Operations a weight to compute the importances and to sort them, for no mask can be had before they are.

    A leaf is read once however often it occurs. What there is one of for a row, a column or a layer costs nothing
    beside what there is one of for every weight.
    """
    parts = [part for _, part in subtrees(program)]
    leaves = {part.symbol for part in parts if not part.arguments} - {CONST}
    full = [part.symbol for part in parts if part.arguments and axes(part) == Axes.BOTH]
    return SORT + sum(LEAVES[leaf].cost for leaf in leaves) + sum(OPERATIONS[symbol].cost for symbol in full)


def axes(program: Program) -> Axes:
    """What the importances differ along, as far as the shapes of its leaves tell."""
    if program.arguments:
        found = Axes.NONE
        for argument in program.arguments:
            found |= axes(argument)
        return found
    return Axes.NONE if program.symbol == CONST else LEAVES[program.symbol].axes
