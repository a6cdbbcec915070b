"""A program's canonical text as it is shown to people: infix, or as a Python function.

For those that only show programs, such as the writer to MLflow: needs no torch, which `source` does. The text may come
from a journal of a later version, or of a stranger. It is parsed, never run, and shown as it is where it is no
expression.
"""

import ast

LONGEST = 4000  # characters of a text that is parsed
_INFIX: dict[str, ast.operator] = {"add": ast.Add(), "sub": ast.Sub(), "mul": ast.Mult()}


def infix(text: str) -> str:
    """`mul(absW, X1)` as `absW * X1`."""
    read = _read(text)
    return text if read is None else read[0]


def listing(text: str, words: str = "") -> str:
    """The program as a function of what it reads, with what it does in words."""
    read = _read(text)
    if read is None:
        return f"# not an expression of this version: {' '.join(text.split())}\n"
    expression, names = read
    told = " ".join(words.replace("\\", "/").replace('"', "'").split())
    docstring = f'    """{told}."""\n' if told else ""
    return f"def importance({', '.join(names)}):\n{docstring}    return {expression}\n"


def _read(text: str) -> tuple[str, list[str]] | None:
    """The expression, infix, and the names that it reads; None for what is no expression, or too deep to look at."""
    if len(text) > LONGEST:
        return None
    try:
        tree = ast.parse(text, mode="eval").body
        called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in called}
        return ast.unparse(_Infix().visit(tree)), sorted(names)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


class _Infix(ast.NodeTransformer):
    """Calls of `add`, `sub` and `mul` as + - *."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        sign = _INFIX.get(node.func.id) if isinstance(node.func, ast.Name) else None
        if sign is None or len(node.args) != 2 or node.keywords:
            return node
        return ast.BinOp(left=node.args[0], op=sign, right=node.args[1])
