import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from metric_fixture import programs

from dna_ray.evolution.metric.founders import FOUNDERS, WINA
from dna_ray.evolution.metric.gate import examine, objections, verdict
from dna_ray.evolution.metric.probes import rank_hash
from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.metric.source import from_python


@pytest.mark.parametrize("name", FOUNDERS)
def test_founders_pass(name: str):
    assert verdict(FOUNDERS[name], set()).accepted


@pytest.mark.parametrize("text", ["0.5", "minmax(fan_in)", "W - W", "absW * 0"])
def test_a_program_that_tells_no_weights_apart_is_refused(text: str):
    assert verdict(from_python(text), set()).reason == "finds all weights equally important"


def test_a_program_that_ranks_as_a_known_one_does_is_refused():
    known = {rank_hash(program) for program in FOUNDERS.values()}
    assert verdict(from_python("sqrt(X1 * absW)"), known).reason == (
        "ranks weights as a program does that is known already"
    )
    assert verdict(from_python("absW * Xmax"), known).accepted


def test_a_program_that_costs_too_much_is_refused():
    judged = verdict(from_python("rank(rank(rank(rank(absW))))"), set())
    assert judged.reason == "costs 6.05 times WINA, at most 5 is allowed"


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        ({"reads_back": False}, "its Python text does not read back as the same program"),
        ({"nodes": 26}, "has 26 symbols, at most 25 are allowed"),
        ({"depth": 7}, "has 7 levels, at most 6 are allowed"),
        ({"not_finite": 3}, "3 importances of the probes are not finite"),
        ({"deterministic": False}, "two evaluations differ"),
    ],
)
def test_what_the_language_rules_out_is_refused_all_the_same(change: dict[str, int | bool], objection: str):
    figures = examine(WINA)
    assert list(objections(figures, set())) == []
    assert list(objections(replace(figures, **change), set())) == [objection]


@given(programs())
@settings(max_examples=30, deadline=None)
def test_a_verdict_is_json_and_always_the_same(program: Program):
    judged = verdict(program, set())
    assert json.loads(json.dumps(asdict(judged), allow_nan=False)) == asdict(judged)
    assert verdict(program, set()) == judged
    assert verdict(program, {judged.figures.rank_hash}).accepted is False
