"""A program as a line of English."""

from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.metric.symbols import CONST, LEAVES, OPERATIONS


def words(program: Program) -> str:
    """What the program does: `|weight| x mean |input|, ranked`."""
    if program.symbol == CONST:
        return f"{program.value:g}"
    if not program.arguments:
        return LEAVES[program.symbol].words
    operation = OPERATIONS[program.symbol]
    return operation.words.format(*(_part(argument, operation.encloses) for argument in program.arguments))


def _part(argument: Program, enclosed: bool) -> str:
    return words(argument) if enclosed or not argument.arguments else f"({words(argument)})"
