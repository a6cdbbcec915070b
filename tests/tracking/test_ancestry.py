import json
import subprocess
import sys
from pathlib import Path

import pytest
from evolved_runs import NAME, evolved
from invented_runs import mined

from dna_ray.errors import InputError
from dna_ray.evolution.chronicle import Chronicle
from dna_ray.tracking.ancestry import ancestry_of
from dna_ray.tracking.record import read_record
from dna_ray.verbs.lineage import lineage


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("runs")
    evolved(store)
    mined(store)
    return store


@pytest.fixture(scope="module")
def search(runs: Path) -> Chronicle:
    found = read_record(runs / NAME).evolution
    assert found is not None
    return found


def champion(search: Chronicle) -> str:
    assert search.champion is not None
    return str(search.champion["id"])


def test_an_agent_is_told_from_its_founder_on_by_the_start_of_its_id(runs: Path, search: Chronicle):
    found = ancestry_of(champion(search)[:10], runs)
    assert found is not None
    assert found.champion
    assert [step.agent.id for step in found.line] == [agent.id for agent in search.line(champion(search))]
    assert found.line[0].changes == ()
    assert all(step.changes for step in found.line[1:])


def test_the_text_names_each_step_with_operator_and_loss_and_ends_with_the_program(runs: Path, search: Chronicle):
    text = lineage(champion(search)[:10], home=runs).lineage.to_text()
    for agent in search.line(champion(search)):
        [line] = [line for line in text.splitlines() if line[2:14] == agent.id[:12]]
        assert agent.operator in line
        assert f"{search.losses[agent.id]:.5g}" in line
    assert text.splitlines()[0].endswith("its champion; network sample:minilm")
    assert "def importance(" in text


def test_a_change_of_the_program_is_a_diff(runs: Path, search: Chronicle):
    child = next(agent for agent in search.agents.values() if agent.operator.startswith("metric-"))
    found = ancestry_of(child.id, runs)
    assert found is not None
    [metric, *_] = [change for change in found.line[-1].changes if change.gene.startswith("metric")]
    for change in (metric.before, metric.after):
        assert change in found.to_text()


def test_json_holds_the_line_with_its_programs(runs: Path, search: Chronicle):
    told = json.loads(json.dumps(lineage(champion(search), home=runs).to_json()))
    assert told["subject"] == told["line"][-1]["id"] == champion(search)
    assert told["line"][0]["operator"].startswith("founder:")
    assert all("def importance(" in step["program"] for step in told["line"])


def test_a_founder_of_several_runs_is_told_of_the_newest(runs: Path, search: Chronicle, tmp_path: Path):
    founder = search.line(champion(search))[0].id
    for name in ("evolve-a", "evolve-b"):
        evolved(tmp_path, name)
    found = ancestry_of(founder, tmp_path)
    assert found is not None
    assert (found.run, found.others) == ("evolve-b", ("evolve-a",))
    assert found.children


@pytest.mark.parametrize("x", ["mine-minilm", "abc", "ffff0000ffff", "sample:minilm", "ABCD"])
def test_what_is_no_agent_is_left_to_others(runs: Path, x: str):
    assert ancestry_of(x, runs) is None


def test_networks_and_runs_are_found_beside_agents(runs: Path):
    assert lineage("sample:minilm", home=runs).to_json()["nodes"]
    with pytest.raises(InputError, match="or agent of that name"):
        lineage("ffff0000ffff", home=runs)


def test_a_start_of_several_ids_is_refused(tmp_path: Path, search: Chronicle, monkeypatch: pytest.MonkeyPatch):
    from dna_ray.tracking import ancestry

    evolved(tmp_path)
    monkeypatch.setattr(ancestry, "LEAST", 1)
    starts = [agent[0] for agent in search.agents]
    start = next(each for each in starts if starts.count(each) > 1)
    with pytest.raises(InputError, match=rf"{start}: \d+ ids start so; give more of it"):
        ancestry_of(start, tmp_path)


def test_ancestry_imports_no_torch_and_no_mlflow():
    code = "import sys, dna_ray.tracking.ancestry\n"
    code += "print([m for m in ('mlflow', 'torch', 'ray', 'numpy') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
