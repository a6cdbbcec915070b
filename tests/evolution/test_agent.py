import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_fixture import programs

from dna_ray.errors import InputError, ProgramError, RecipeError
from dna_ray.evolution.agent import GENES, Agent, Evaluation, metrics_of
from dna_ray.evolution.metric.founders import MAGNITUDE, RIA, WINA

PLAIN = Agent(levels=(3, 4), metrics=(("*", WINA),))


@st.composite
def agents(draw: st.DrawFn) -> Agent:
    kinds = draw(st.sets(st.sampled_from(["query", "ffn_in", "convolution"])))
    return Agent(
        levels=tuple(draw(st.lists(st.integers(0, 10**12), min_size=1, max_size=6))),
        metrics=metrics_of({"*": draw(programs()), **{kind: draw(programs()) for kind in kinds}}),
        scope=draw(st.sampled_from(["layer", "global"])),
        pattern=draw(st.sampled_from(["unstructured", "column", "n:4"])),
        basis=draw(st.sampled_from(GENES["basis"])),
        repair=draw(st.sampled_from(GENES["repair"])),
        parents=tuple(draw(st.lists(st.text("0123456789abcdef", max_size=8), max_size=2))),
        operator=draw(st.text(max_size=8)),
    )


@settings(max_examples=60, deadline=None)
@given(agents())
def test_an_agent_and_back_through_json_is_the_identity(agent: Agent):
    back = Agent.from_json(json.loads(json.dumps(agent.to_json())))
    assert back == agent
    assert (back.id, back.genome) == (agent.id, agent.genome)


def test_lineage_is_part_of_the_id_and_not_of_the_genome():
    child = Agent(PLAIN.levels, PLAIN.metrics, parents=(PLAIN.id,), operator="gene-flip")
    assert child.id != PLAIN.id
    assert child.genome == PLAIN.genome


def test_global_agents_with_the_same_levels_compute_the_same():
    assert Agent((3, 4), PLAIN.metrics, scope="global").genome == PLAIN.genome
    assert Agent((3, 4), PLAIN.metrics, scope="row").genome != PLAIN.genome


def test_identity_does_not_depend_on_the_process():
    assert PLAIN.id == "cf208408152663ac17bd3574f128dc43902e36ec4dfb9b274b937cbdd1b3190c"


def test_a_kind_without_a_program_has_the_general_one():
    agent = Agent((1,), metrics_of({"*": WINA, "query": MAGNITUDE, "value": WINA}))
    assert [kind for kind, _ in agent.metrics] == ["*", "query"]
    assert (agent.metric("query"), agent.metric("value")) == (MAGNITUDE, WINA)


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ({"levels": ()}, "levels of an agent"),
        ({"levels": (1, -1)}, "none below 0"),
        ({"levels": (1.5,)}, "whole numbers"),
        ({"metrics": (("query", WINA),)}, "one for '\\*'"),
        ({"metrics": (("query", WINA), ("*", WINA))}, "sorted by kind"),
        ({"scope": "column"}, "no scope 'column'; choose of row, layer, global"),
        ({"pattern": "m:n"}, "no pattern 'm:n'"),
        ({"scope": "row", "pattern": "n:4"}, "does not go with scope row"),
        ({"basis": "fft"}, "no basis 'fft'"),
        ({"repair": "bias"}, "no repair 'bias'"),
    ],
)
def test_genes_that_say_what_there_is_not_are_refused_in_one_line(genes: dict, message: str):
    with pytest.raises(RecipeError, match=message) as caught:
        Agent(**{"levels": (1,), "metrics": (("*", RIA),), **genes})
    assert "\n" not in str(caught.value)


def test_a_damaged_agent_is_refused():
    for damaged in ({}, {**PLAIN.to_json(), "levels": 3}, {**PLAIN.to_json(), "metrics": [["*"]]}):
        with pytest.raises(InputError, match="an agent is damaged"):
            Agent.from_json(damaged)
    with pytest.raises(ProgramError, match="not of the language"):
        Agent.from_json({**PLAIN.to_json(), "metrics": [["*", "__import__('os')"]]})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_no_evaluation_holds_a_loss_that_is_not_finite(bad: float):
    with pytest.raises(InputError, match="not finite"):
        Evaluation("a", (1.0, bad))
    with pytest.raises(InputError, match="no loss"):
        Evaluation("a")
    assert Evaluation("a", status="failed", reason="NaN").failed


def test_an_evaluation_and_back_through_json_is_the_identity():
    evaluation = Evaluation("a", (0.1, 1 / 3), kept=7, multiply_adds=9, status="duplicate", seconds=0.5)
    assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) == evaluation
    assert evaluation.rung == 2
    with pytest.raises(InputError, match="damaged"):
        Evaluation.from_json({"losses": [1.0], "verdict": 1})
