"""A program of the metric language: a small tree of symbols, as a value that cannot be invalid."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite

from dna_ray.errors import ProgramError
from dna_ray.evolution.metric.symbols import CONST, LEAVES, OPERATIONS

MOST_NODES = 25
MOST_DEPTH = 6  # of levels: a leaf alone is 1 deep
DIGITS = 4  # significant ones of a constant
SMALLEST, LARGEST = 1e-6, 1e6  # absolute values of a constant other than 0


@dataclass(frozen=True, slots=True)
class Program:
    """An operation with its arguments, or a leaf; every subtree is a program too.

    `str(program)` is its canonical text: `mul(absW, X1)`.

    Attributes:
        symbol: In `LEAVES` or `OPERATIONS`, or "const".
        value: Of a constant, 0 for any other symbol: 0, or 1e-6 to 1e6 in size, with at most 4 significant digits.
        nodes: Symbols in the tree, at most 25.
        depth: Levels of the tree, at most 6.

    Raises:
        ProgramError: The symbol is unknown, has another number of arguments, or the program would be too large.
    """

    symbol: str
    arguments: tuple["Program", ...] = ()
    value: float = 0.0
    nodes: int = field(init=False, compare=False, repr=False)
    depth: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        arity = arity_of(self.symbol)
        if len(self.arguments) != arity:
            raise ProgramError(f"metric: {self.symbol} takes {arity} arguments, found {len(self.arguments)}")
        if self.symbol == CONST:
            _check_constant(self.value)
        nodes = 1 + sum(argument.nodes for argument in self.arguments)
        depth = 1 + max((argument.depth for argument in self.arguments), default=0)
        if nodes > MOST_NODES or depth > MOST_DEPTH:
            raise ProgramError(
                f"metric: a program of {nodes} symbols on {depth} levels is too large; "
                f"at most {MOST_NODES} symbols and {MOST_DEPTH} levels are allowed"
            )
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "depth", depth)

    def __str__(self) -> str:
        if self.symbol == CONST:
            return repr(self.value)
        return f"{self.symbol}({', '.join(map(str, self.arguments))})" if self.arguments else self.symbol

    @property
    def sha256(self) -> str:
        """Of the canonical text."""
        return hashlib.sha256(str(self).encode()).hexdigest()


def arity_of(symbol: str) -> int:
    """How many arguments `symbol` takes.

    Raises:
        ProgramError: It is no symbol of the language.
    """
    if symbol in LEAVES or symbol == CONST:
        return 0
    if symbol not in OPERATIONS:
        known = " ".join([*LEAVES, *OPERATIONS])
        raise ProgramError(f"metric: {symbol[:40]!r} is no symbol of the language; it has {known} and numbers")
    return OPERATIONS[symbol].arity


def constant(value: float) -> Program:
    """The constant nearest to `value`, which must not be NaN."""
    size = min(abs(value), LARGEST)
    rounded = float(f"{size:.{DIGITS}g}") if size >= SMALLEST else 0.0
    return Program(CONST, value=-rounded if value < 0 and rounded else rounded)


def subtrees(program: Program, level: int = 1) -> Iterator[tuple[int, Program]]:
    """Every subtree with the level that it stands on, the program itself (level 1) first, then from left to right."""
    yield level, program
    for argument in program.arguments:
        yield from subtrees(argument, level + 1)


def replaced(program: Program, place: int, other: Program) -> Program:
    """`program` with its subtree number `place`, in the order of `subtrees`, replaced by `other`.

    Raises:
        ProgramError: The result would be too large.
    """
    if place == 0:
        return other
    arguments, first = [], 1
    for argument in program.arguments:
        inside = first <= place < first + argument.nodes
        arguments.append(replaced(argument, place - first, other) if inside else argument)
        first += argument.nodes
    return Program(program.symbol, tuple(arguments), program.value)


def _check_constant(value: float) -> None:
    # By its text, which tells -0.0 and integers apart.
    if not isfinite(value) or not (value == 0 or SMALLEST <= abs(value) <= LARGEST):
        raise ProgramError(f"metric: constant {value!r} is not 0 nor {SMALLEST:g} to {LARGEST:g} in size")
    short = float(f"{value:.{DIGITS}g}") + 0.0
    if repr(value) != repr(short):
        raise ProgramError(f"metric: constant {value!r} has more than {DIGITS} significant digits; write {short!r}")
