import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_fixture import programs

from dna_ray.errors import ProgramError
from dna_ray.evolution.metric.program import MOST_DEPTH, MOST_NODES, Program, constant, replaced, subtrees
from dna_ray.evolution.metric.source import from_python

W = Program("W")


def chain(levels: int) -> Program:
    program = W
    for _ in range(levels - 1):
        program = Program("neg", (program,))
    return program


def full(levels: int) -> Program:
    return W if levels == 1 else Program("add", (full(levels - 1), full(levels - 1)))


def test_canonical_text_names_every_operation():
    assert str(from_python("absW * X1 + -0.5")) == "add(mul(absW, X1), -0.5)"


def test_equal_programs_have_one_hash_and_others_have_others():
    assert from_python("absW * X1").sha256 == from_python("mul(absW, X1)").sha256
    assert len({from_python(text).sha256 for text in ("absW * X1", "X1 * absW", "absW * X2", "W * X1")}) == 4


def test_the_hash_of_a_program_never_changes():
    assert from_python("absW * X1").sha256 == "c941f25746654a4e720839d311ea12fd271f2356157d73ae90038b0f3db371a4"


def test_the_largest_programs_that_are_allowed_can_be_made():
    assert chain(MOST_DEPTH).depth == 6
    wide = Program("add", (full(4), Program("mul", (full(3), W))))
    assert wide.nodes == MOST_NODES == 25


def test_a_program_that_is_too_large_is_refused():
    with pytest.raises(ProgramError, match="7 levels is too large; at most 25 symbols and 6 levels"):
        chain(MOST_DEPTH + 1)
    with pytest.raises(ProgramError, match="31 symbols on 5 levels is too large"):
        full(5)


@pytest.mark.parametrize("symbol", ["eval", "__class__", "", "w", "div", "X1.T"])
def test_a_symbol_that_is_unknown_is_refused(symbol: str):
    with pytest.raises(ProgramError, match="is no symbol of the language; it has W absW X1"):
        Program(symbol)


@pytest.mark.parametrize(("symbol", "count"), [("W", 1), ("abs", 0), ("abs", 2), ("mul", 1), ("const", 1)])
def test_a_wrong_number_of_arguments_is_refused(symbol: str, count: int):
    with pytest.raises(ProgramError, match=f"{symbol} takes . arguments, found {count}"):
        Program(symbol, (W,) * count)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.1e6, -2e6, 9e-7, -1e-300, 0.12345, 1 / 3, -0.0, 1])
def test_a_constant_without_a_short_exact_text_is_refused(value: float):
    with pytest.raises(ProgramError, match="constant"):
        Program("const", value=value)


@given(st.floats(allow_nan=False))
def test_every_number_has_a_nearest_constant_with_a_short_exact_text(value: float):
    program = constant(value)
    assert float(str(program)) == program.value
    assert len(str(program).lstrip("-")) <= 9
    if 1e-6 <= abs(value) <= 1e6:
        assert program.value == pytest.approx(value, rel=1e-3)
    assert constant(program.value) == program


@given(programs())
@settings(max_examples=50, deadline=None)
def test_subtrees_are_counted_and_levelled(program: Program):
    parts = list(subtrees(program))
    assert len(parts) == program.nodes
    assert max(level for level, _ in parts) == program.depth
    assert parts[0] == (1, program)


@given(programs(depth=4, nodes=12), st.data())
@settings(max_examples=100, deadline=None)
def test_a_subtree_can_be_replaced_wherever_it_is(program: Program, data: st.DataObject):
    place = data.draw(st.integers(0, program.nodes - 1))
    old = list(subtrees(program))[place][1]
    assert replaced(program, place, old) == program
    other = Program("tanh", (Program("fan_in"),))
    changed = replaced(program, place, other)
    assert list(subtrees(changed))[place][1] == other
    assert changed.nodes == program.nodes - old.nodes + 2


@given(programs())
@settings(max_examples=20, deadline=None)
def test_a_program_survives_the_way_to_another_process(program: Program):
    back = pickle.loads(pickle.dumps(program))
    assert (back, back.nodes, back.depth) == (program, program.nodes, program.depth)
