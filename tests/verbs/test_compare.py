import json
from pathlib import Path

import pytest
from tiny_runs import TRAINED, Watcher, write_bert

from dna_ray.mining.config import MineConfig
from dna_ray.recipe import CompareRecipe, CompareWhat, MineHow
from dna_ray.tracking import journal
from dna_ray.verbs.compare import CompareResult, compare, plan
from dna_ray.verbs.mined import file_id

KINDS = ("spectral", "hierarchical", "adaptive", "svd")


@pytest.fixture(scope="module", autouse=True)
def _offline():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("networks") / "bert")


def recipe_for(network: Path, home: Path) -> CompareRecipe:
    config = MineConfig(**{**TRAINED, "epochs": 1.0})
    what = CompareWhat(network=str(network), kinds=KINDS, config=config)
    return CompareRecipe(what=what, how=MineHow(home=str(home), workers=0, tracking="http://127.0.0.1:9"))


@pytest.fixture(scope="module")
def compared(network: Path, tmp_path_factory: pytest.TempPathFactory) -> CompareResult:
    return compare(recipe_for(network, tmp_path_factory.mktemp("compared")))


def test_all_kinds_have_files_within_a_percent_of_the_budget(compared: CompareResult):
    assert [row.kind for row in compared.rows] == list(KINDS)
    sizes = [Path(compared.dna[row.kind], "model.safetensors").stat().st_size for row in compared.rows]
    assert sizes == [row.measures.file_bytes for row in compared.rows]
    assert compared.budget is not None
    assert all(0.99 * compared.budget <= size <= compared.budget for size in sizes)


def test_report_figure_and_result_are_there_and_the_journal_names_every_dna(compared: CompareResult):
    run = Path(compared.run)
    page = (run / "report.md").read_text()
    assert all(kind in page for kind in KINDS)
    assert list((run / "figures").glob("*.png"))
    assert [row["kind"] for row in json.loads((run / "result.json").read_text())["rows"]] == list(KINDS)
    told = [entry for entry in journal.read(run) if entry["event"] == "dna"]
    assert [entry["id"] for entry in told] == [file_id(Path(compared.dna[kind])) for kind in KINDS]


def test_a_stopped_comparison_does_not_mine_again_what_it_has(network: Path, compared: CompareResult, tmp_path: Path):
    recipe, watcher = recipe_for(network, tmp_path), Watcher()
    watcher.stop_when = lambda: watcher.stages.count("write") == 1 and watcher.stages[-1] == "train"
    with pytest.raises(KeyboardInterrupt):
        compare(recipe, progress=watcher)
    finished = watcher.stages.count("write")
    again = Watcher()
    result = compare(recipe, progress=again)
    assert again.stages.count("write") == len(KINDS) - finished
    assert [file_id(Path(result.dna[kind])) for kind in KINDS] == [file_id(Path(compared.dna[kind])) for kind in KINDS]


def test_a_plan_has_a_part_for_each_kind_and_writes_nothing(network: Path, tmp_path: Path):
    planned = plan(recipe_for(network, tmp_path))
    assert [each.kind for each in planned.kinds] == list(KINDS)
    assert not list(tmp_path.iterdir())
