import subprocess
import sys
from math import isclose

import pytest
from evolved_runs import told
from synthetic import founders_of, space_of

from dna_ray.evolution.agent import Agent, Evaluation
from dna_ray.evolution.chronicle import Chronicle, chronicle
from dna_ray.evolution.genealogy import Change, changes, formula, program
from dna_ray.evolution.metric.founders import FOUNDERS
from dna_ray.evolution.metric.listing import infix, listing
from dna_ray.evolution.metric.source import from_python
from dna_ray.evolution.search.archive import Archive


@pytest.fixture(scope="module")
def events() -> list[dict]:
    return [{**event, "time": 1000 * number} for number, event in enumerate(told())]


@pytest.fixture(scope="module")
def search(events: list[dict]) -> Chronicle:
    found = chronicle(events)
    assert found is not None
    return found


def test_a_journal_without_a_population_tells_of_no_search():
    assert chronicle([{"event": "run"}, {"event": "network"}]) is None


def test_every_agent_that_was_told_is_there_once_with_its_last_evaluation(events: list[dict], search: Chronicle):
    last = {
        evaluation["agent"]: evaluation
        for event in events
        if event["event"] == "told"
        for evaluation in event["evaluations"]
    }
    assert list(search.agents) == list(last)
    assert {name: list(agent.losses) for name, agent in search.agents.items()} == {
        name: evaluation["losses"] for name, evaluation in last.items()
    }
    assert any(agent.failed for agent in search.agents.values())


def test_genes_are_those_of_the_agent(search: Chronicle):
    for record in search.agents.values():
        agent = Agent.from_json({**record.genes, "parents": list(record.parents), "operator": record.operator})
        assert agent.id == record.id


def test_losses_are_carried_as_in_the_archive(events: list[dict], search: Chronicle):
    archive = Archive(space_of())
    for event in events:
        for agent, evaluation in zip(event.get("agents", []), event.get("evaluations", []), strict=False):
            if evaluation["status"] != "failed":
                archive.add(Agent.from_json(agent), Evaluation.from_json(evaluation))
    carried = {entry.agent.id: loss for entry, loss in zip(archive, archive.losses(), strict=True)}
    assert carried.keys() == search.losses.keys()
    assert all(isclose(carried[name], loss) for name, loss in search.losses.items())


def test_counts_are_those_of_the_search(events: list[dict], search: Chronicle):
    latest = [event for event in events if event["event"] == "generation"][-1]
    assert search.counts["evaluated"] == sum(len(e["evaluations"]) for e in events if e["event"] == "told")
    assert all(search.counts[name] >= latest[name] for name in search.counts)


def test_events_that_a_resume_repeats_count_once(events: list[dict], search: Chronicle):
    generations = [event for event in events if event["event"] in ("generation", "population", "champion", "score")]
    again = chronicle([*events, *generations])
    assert again is not None
    assert (again.generations, again.champion, again.scores) == (search.generations, search.champion, search.scores)


def test_parents_are_shallower_than_their_children_and_no_younger(search: Chronicle):
    for agent in search.agents.values():
        for parent in agent.parents:
            assert search.depths[parent] < search.depths[agent.id]
            assert search.agents[parent].generation <= agent.generation


def test_a_line_leads_from_a_founder_to_the_agent(search: Chronicle):
    assert search.champion is not None
    line = search.line(search.champion["id"])
    assert line[0].parents == ()
    assert line[-1].id == search.champion["id"]
    assert all(child.parents[0] == parent.id for parent, child in zip(line, line[1:], strict=False))
    assert search.line("unknown") == ()


def test_the_sum_of_what_levels_change_is_nothing(search: Chronicle):
    child = next(agent for agent in search.agents.values() if agent.operator == "level-switch")
    found = changes(search.agents[child.parents[0]], child, search.layers)
    assert found
    assert all(change.gene.startswith("level") for change in found)
    before, after = (
        sum(int(getattr(change, side).replace(",", "")) for change in found) for side in ("before", "after")
    )
    assert before == after


def test_a_program_that_comes_or_goes_is_a_change(search: Chronicle):
    founder = next(iter(search.agents.values()))
    more = {**founder.genes, "metrics": [*founder.genes["metrics"], ["query", "mul(absW, X2)"]]}
    child = type(founder)(**{**vars(founder), "genes": more})
    assert changes(founder, child, search.layers) == (Change("metric of query", "", "absW * X2"),)
    assert formula(child).endswith("; query: absW * X2")
    assert "# layers of kind query\ndef importance(X2, absW):" in program(child)


@pytest.mark.parametrize("name", FOUNDERS)
def test_what_is_shown_is_read_as_the_same_program(name: str):
    founder = FOUNDERS[name]
    assert from_python(infix(str(founder))) == founder
    assert from_python(listing(str(founder), "words")) == founder


def test_every_program_of_a_search_reads_back(search: Chronicle):
    for agent in search.agents.values():
        for text in agent.metrics.values():
            assert str(from_python(infix(text))) == text


@pytest.mark.parametrize("text", ["", "1 +", "(" * 3000, "-" * 3000 + "1", "x" * 5000, "absW; import os", 'absW\n"""'])
def test_what_is_no_expression_is_a_comment(text: str):
    assert infix(text) == text
    assert all(line.startswith("#") for line in listing(text).splitlines())


def test_words_do_not_end_the_docstring():
    assert listing("absW", 'a """ b \\').count('"""') == 2


def test_a_chronicle_is_read_without_torch_and_numpy():
    code = "import sys, dna_ray.evolution.genealogy\nprint([m for m in ('torch', 'numpy') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_founders_are_those_of_the_space(search: Chronicle):
    assert {agent.id for agent in founders_of(space_of())} <= set(search.agents)
