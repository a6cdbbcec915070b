import pytest
from hypothesis import given, settings
from metric_fixture import programs

from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.metric.source import from_python
from dna_ray.evolution.metric.symbols import LEAVES, OPERATIONS
from dna_ray.evolution.metric.words import words


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("absW", "|weight|"),
        ("rank(absW * X1)", "|weight| x mean |input|, ranked"),
        ("rank(absW) * X1", "(|weight|, ranked) x mean |input|"),
        ("max(absW * X1, 0.5)", "larger of (|weight| x mean |input|) and 0.5"),
        ("absW * (1 - depth)", "|weight| x (1 - depth)"),
        ("div_safe(absW, row_l1)", "|weight| / sum of the row's |weights|"),
        ("abs(W - tanh(X2))", "|weight - (tanh of rms input)|"),
    ],
)
def test_a_program_is_said_in_words(text: str, line: str):
    assert words(from_python(text)) == line


@given(programs())
@settings(max_examples=50, deadline=None)
def test_words_are_a_line_that_fits_into_a_docstring(program: Program):
    line = words(program)
    assert line.isascii()
    assert not set(line) & set('\n"\\{}')


def test_every_symbol_has_words_of_its_own():
    said = [symbol.words for symbol in (*LEAVES.values(), *OPERATIONS.values())]
    assert len(said) == len(set(said))
