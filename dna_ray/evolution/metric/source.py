"""Programs as Python text and back: `to_python` prints a pure function, `from_python` reads it, and runs nothing.

What is read is text from anywhere, so it passes three sieves. The frame of the function is matched as fixed text; only
its expression goes on. The expression must consist of the language's lexemes, which leaves Python's parser nothing to
warn of and no Unicode to normalise. Its syntax tree must then consist of names of the language, numbers, calls of
operations, and + - *. Nothing is compiled to code, so nothing can run.

The parser is asked for an expression (`mode="eval"`) because for a module it opens a file named `<unknown>` to show a
line of it beside a syntax error.
"""

import ast
import re

from dna_ray.errors import ProgramError
from dna_ray.evolution.metric.program import MOST_DEPTH, Program, subtrees
from dna_ray.evolution.metric.symbols import CONST, LEAVES, OPERATIONS
from dna_ray.evolution.metric.words import words

LONGEST = 4000  # characters of a text; the longest programs take about a quarter of them

_INFIX = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2)}  # how it is written, and how tightly it binds
_OPERATORS: dict[type[ast.operator], str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}

_FUNCTION = re.compile(r'def importance\(([\w, ]*)\):\n    """[^"\\]*"""\n    return ([^\n]*)', re.ASCII)
# All that is well formed from the start on. Possessive throughout: it is found in one pass.
_LEXEMES = re.compile(
    r"(?:[ \n]++|[A-Za-z_]\w*+|(?:\d++(?:\.\d*+)?|\.\d++)(?:e[-+]?\d++)?+(?![\w.])|[-+*/(),])*+", re.ASCII
)


def to_python(program: Program) -> str:
    """The program as a function of what it reads, with what it does in words."""
    used = {part.symbol for _, part in subtrees(program)}
    parameters = ", ".join(leaf for leaf in LEAVES if leaf in used)
    return f'def importance({parameters}):\n    """{words(program)}."""\n    return {_expression(program)}\n'


def from_python(text: str) -> Program:
    """The program that `to_python` printed, or that a text of its expression alone stands for.

    Operations may be called by name throughout: `mul(absW, X1)`, the canonical text, and `absW * X1` are the same.

    Raises:
        ProgramError: The text is too long, or tries anything else than the language.
    """
    if len(text) > LONGEST:
        raise _error(f"the text has {len(text)} characters, at most {LONGEST} are read")
    stripped = text.strip(" \n")  # of nothing else: other blanks are not of the language
    function = _FUNCTION.fullmatch(stripped)
    expression = function[2].strip(" ") if function else stripped
    if rest := _LEXEMES.sub("", expression, count=1):
        raise _error(f"{rest[:20]!r} at character {len(expression) - len(rest) + 1} is not of the language")
    program = _program(_parse(expression), 1)
    if function:
        _check_parameters([name.strip() for name in function[1].split(",") if name.strip()], program)
    return program


def _parse(expression: str) -> ast.expr:
    try:
        return ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise _error(f"{error.msg} at character {error.offset or 1}") from error
    except (MemoryError, RecursionError, ValueError) as error:  # how the parser says that nesting is too deep
        raise _error("the text is nested too deeply") from error


def _program(node: ast.expr, level: int) -> Program:
    """What a node of the syntax tree stands for, and an error for every kind of node that is not named here."""
    if level > MOST_DEPTH:  # before going down, for a syntax tree may be deeper than Python's stack
        raise _error(f"a program has at most {MOST_DEPTH} levels")
    match node:
        case ast.Constant(value=int() | float() as value) if value is not True and value is not False:
            return _number(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
            positive = _program(node.operand, level)
            return Program(CONST, value=0.0 - positive.value)
        case ast.Name(id=name) if name in LEAVES:
            return Program(name)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return Program(_OPERATORS[type(op)], (_program(left, level + 1), _program(right, level + 1)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in OPERATIONS:
            return Program(name, tuple(_program(argument, level + 1) for argument in arguments))
    raise _error(f"{_named(node)} is not of the language")


def _number(value: int | float) -> Program:
    try:
        return Program(CONST, value=float(value) + 0.0)  # + 0.0 makes -0.0 a zero like any other
    except OverflowError as error:
        raise _error("a number is too large") from error


def _named(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
            return f"{name[:40]!r} used so"
        case ast.UnaryOp(op=ast.USub()):
            return "a minus sign before anything but a number (write neg(...))"
        case ast.BinOp(op=ast.Div()):
            return "a / b (write div_safe(a, b))"
    return f"{type(node).__name__} at character {node.col_offset + 1}"


def _check_parameters(parameters: list[str], program: Program) -> None:
    used = {part.symbol for _, part in subtrees(program) if part.symbol in LEAVES}
    unknown = [name for name in parameters if name not in LEAVES]
    if unknown:
        raise _error(f"parameter {unknown[0][:40]!r} is nothing that a metric can read")
    if len(set(parameters)) < len(parameters) or not used <= set(parameters):
        raise _error(f"parameters {', '.join(parameters)} must name each of {', '.join(sorted(used))} once")


def _expression(program: Program) -> str:
    """With no parentheses but those that the tree needs: + - * bind to the left."""
    if program.symbol not in _INFIX:
        inside = ", ".join(map(_expression, program.arguments))
        return f"{program.symbol}({inside})" if program.arguments else str(program)
    sign, binding = _INFIX[program.symbol]
    left, right = program.arguments
    return f"{_operand(left, binding)} {sign} {_operand(right, binding + 1)}"


def _operand(program: Program, binding: int) -> str:
    looser = program.symbol in _INFIX and _INFIX[program.symbol][1] < binding
    return f"({_expression(program)})" if looser else _expression(program)


def _error(what: str) -> ProgramError:
    return ProgramError(
        f"metric: {what}; a metric is one expression of {' '.join(LEAVES)}, numbers, + - * and {' '.join(OPERATIONS)}"
    )
