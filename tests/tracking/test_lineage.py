import json
import subprocess
import sys
from pathlib import Path

import pytest
from invented_runs import MINILM, compared, mined, network_event, run_event, ticking

from dna_ray.errors import InputError
from dna_ray.tracking.journal import FILE, Journal
from dna_ray.tracking.lineage import lineage_of, read_graph
from dna_ray.tracking.record import read_record
from dna_ray.tracking.synced import Synced


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    mined(tmp_path)
    compared(tmp_path)
    return tmp_path


def mined_dna(store: Path) -> dict:
    return dict(read_record(store / "mine-minilm-ab12cd34ef56").dna[0])


def names(nodes) -> list[str]:
    return [f"{node.kind} {node.name}" for node in nodes]


def test_a_dna_comes_from_its_run_and_its_network(runs: Path):
    dna = mined_dna(runs)
    found = lineage_of(runs / "mine-minilm-ab12cd34ef56" / "dna", runs)
    assert found.node.id == dna["id"]
    assert names(found.ancestors) == ["network sample:minilm", "run mine-minilm-ab12cd34ef56"]
    assert found.descendants == ()


def test_of_a_network_come_its_runs_and_all_their_dna(runs: Path):
    found = lineage_of("sample:minilm", runs)
    assert found.ancestors == ()
    assert [node.kind for node in found.descendants] == ["run", "run", "dna", "dna", "dna"]


@pytest.mark.parametrize("by", ["folder", "file", "id", "prefix", "absolute"])
def test_a_dna_is_found_by(runs: Path, by: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(runs)
    dna = mined_dna(runs)["id"]
    folder = "mine-minilm-ab12cd34ef56/dna"
    given = {
        "folder": folder,
        "file": f"{folder}/model.safetensors",
        "id": dna,
        "prefix": dna[:8],
        "absolute": runs / folder,
    }
    assert lineage_of(given[by], Path(".")).node.id == dna


@pytest.mark.parametrize(
    "given", ["mine-minilm-ab12cd34ef56", "mine-minilm-ab12", "ab12cd34", "runs/mine-minilm-ab12cd34ef56"]
)
def test_a_run_is_found_by_its_name_the_start_of_its_id_and_its_folder(
    tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    mined(tmp_path / "runs")
    assert lineage_of(given, Path("runs")).node.name == "mine-minilm-ab12cd34ef56"


def test_a_network_is_found_by_the_start_of_its_fingerprint(runs: Path):
    assert lineage_of(MINILM[:6], runs).node.name == "sample:minilm"


def test_what_is_not_there_is_said_with_what_is(runs: Path):
    with pytest.raises(
        InputError, match=r"nothere: no network, run, DNA or agent .* compare-minilm-0f1e2d3c4b5a, mine-min"
    ):
        lineage_of("nothere", runs)
    with pytest.raises(InputError, match="which holds nothing yet"):
        lineage_of("nothere", runs / "empty")


def test_a_name_of_several_is_refused_with_their_ids(runs: Path):
    with Journal(runs / "mine-other", clock=ticking()) as journal:
        journal.append(run_event("mine-other"), network_event(fingerprint="77" * 32))
    with pytest.raises(InputError, match=r"2 network are called so; give more of the id: .*777777777777"):
        lineage_of("sample:minilm", runs)


def test_a_damaged_run_takes_no_part_and_harms_no_other(runs: Path):
    (runs / "compare-minilm-0f1e2d3c4b5a" / FILE).write_text("damaged\n")
    assert [node.kind for node in read_graph(runs).nodes.values()] == ["network", "run", "dna"]


def test_the_tree_marks_what_was_asked_for(runs: Path):
    dna = mined_dna(runs)["id"]
    assert lineage_of(dna, runs).to_text().splitlines() == [
        f"network sample:minilm  bert, 22,713,216 parameters  {MINILM[:12]}",
        "└─ run mine-minilm-ab12cd34ef56  mine, finished",
        f"   └─ * DNA hierarchical {dna[:12]}  164,000 bytes, r2 0.617, snr_db 4.17  "
        f"{runs / 'mine-minilm-ab12cd34ef56' / 'dna'}",
    ]


def test_the_tree_draws_branches(runs: Path):
    starts = [line[:6].strip() for line in lineage_of("sample:minilm", runs).to_text().splitlines()]
    assert starts == ["* netw", "├─ run", "│  ├─", "│  └─", "└─ run", "└─"]


def test_json_holds_the_same_nodes_with_their_edges(runs: Path):
    dna = mined_dna(runs)
    origin = read_record(runs / "mine-minilm-ab12cd34ef56").origin
    told = json.loads(json.dumps(lineage_of(dna["id"], runs).to_json()))
    assert told["subject"] == dna["id"]
    assert [node["kind"] for node in told["nodes"]] == ["network", "run", "dna"]
    assert told["edges"] == sorted([[MINILM, origin], [origin, dna["id"]]])


def test_what_was_sent_to_mlflow_carries_its_ids(runs: Path):
    dna = mined_dna(runs)["id"]
    Synced(uri="sqlite:///x", run="4a5b6c", models={dna: "m-123"}).save(runs / "mine-minilm-ab12cd34ef56")
    found = lineage_of(dna, runs)
    assert [node.mlflow for node in (*found.ancestors, found.node)] == [None, "4a5b6c", "m-123"]
    assert "[MLflow m-123]" in found.to_text()
    assert lineage_of("m-123", runs).node.id == dna


def test_lineage_imports_no_mlflow(runs: Path):
    program = "import sys, dna_ray.tracking.lineage, dna_ray.tracking.ui, dna_ray.tracking.writer\n"
    program += "print([m for m in ('mlflow', 'torch', 'ray', 'numpy') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
