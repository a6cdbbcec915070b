import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from metric_fixture import escapes, programs

from dna_ray.errors import ProgramError
from dna_ray.evolution.metric.founders import FOUNDERS, RIA, WINA
from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.metric.source import LONGEST, from_python, to_python

# Before a release: DNA_RAY_SOAK=100000 make test ARGS="tests/evolution/metric/test_source.py --timeout=1800"
RANDOM_PROGRAMS = int(os.environ.get("DNA_RAY_SOAK", "5000"))


@given(programs())
@settings(max_examples=120, deadline=None)
def test_source_and_back_is_the_identity(program: Program):
    assert from_python(to_python(program)) == program
    assert from_python(str(program)) == program
    assert len(to_python(program)) < LONGEST


@given(programs())
@settings(max_examples=50, deadline=None)
def test_what_is_printed_is_valid_python_of_a_pure_function(program: Program):
    compile(to_python(program), "metric", "exec")


def test_a_program_reads_like_its_formula():
    assert to_python(WINA) == 'def importance(absW, X1):\n    """|weight| x mean |input|."""\n    return absW * X1\n'
    assert to_python(RIA).splitlines()[2:] == [
        "    return (div_safe(absW, row_l1) + div_safe(absW, col_l1)) * sqrt(X2)"
    ]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("W - X1 - X2", "sub(sub(W, X1), X2)"),
        ("W - (X1 - X2)", "sub(W, sub(X1, X2))"),
        ("W + X1 * X2", "add(W, mul(X1, X2))"),
        ("(W + X1) * X2", "mul(add(W, X1), X2)"),
        ("-2 * W", "mul(-2.0, W)"),
        ("neg(2) * .5", "mul(neg(2.0), 0.5)"),
        ("0 - -0.0", "sub(0.0, 0.0)"),
        ("1e-05 + 1e6", "add(1e-05, 1000000.0)"),
        (" max ( absW ,\nX1 ) \n", "max(absW, X1)"),
        ("((((absW))))", "absW"),
        ("div_safe(rank(absW), add(depth, 1))", "div_safe(rank(absW), add(depth, 1.0))"),
    ],
)
def test_an_expression_is_read_as_python_reads_it(text: str, canonical: str):
    assert str(from_python(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("W.T", r"'.T' at character 2 is not of the language; a metric is one expression of W absW"),
        ("weight", "'weight' used so"),
        ("absW / X1", r"write div_safe\(a, b\)"),
        ("-absW", r"write neg\(...\)"),
        ("abs(W, X1)", "abs takes 1 arguments, found 2"),
        ("(absW", "'\\(' was never closed at character 1"),
        ("", "invalid syntax at character"),
        ("0.12345", "more than 4 significant digits; write 0.1235"),
        ("-" * 3900 + "1", "nested too deeply"),
        ("1" * 3999, "too large"),
        ("1" * 4001, "has 4001 characters, at most 4000"),
        (to_python(WINA).replace("X1)", "os)"), "parameter 'os' is nothing that a metric can read"),
        (to_python(WINA).replace(", X1)", ")"), "parameters absW must name each of X1, absW once"),
    ],
)
def test_a_text_that_is_no_metric_is_refused_in_words(text: str, message: str):
    with pytest.raises(ProgramError, match=message) as refusal:
        from_python(text)
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 3


def test_there_are_escapes_of_every_kind():
    texts = list(escapes())
    assert len(texts) == len(set(texts)) >= 300


def test_no_escape_and_no_random_program_does_anything_but_parse():
    audit = Path(__file__).parents[1] / "metric_audit.py"
    command = [sys.executable, "-W", "error", str(audit), str(RANDOM_PROGRAMS)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stderr == ""
    found = json.loads(told.stdout)
    assert found["refused"] == found["texts"] >= 300
    assert found["programs"] == found["read_back"] == found["finite"] == RANDOM_PROGRAMS
    assert found["most_nodes"] <= 25
    assert found["most_operations"] <= 20 + 25 * 28
    assert found["longest"] < LONGEST
    assert set(found["events"]) == {"compile <unknown>"}  # of ast.parse, which makes no code
    assert found["events"]["compile <unknown>"] <= found["texts"] + 2 * RANDOM_PROGRAMS


@pytest.mark.parametrize("name", FOUNDERS)
def test_founders_come_back_from_their_source(name: str):
    assert from_python(to_python(FOUNDERS[name])) == FOUNDERS[name]
