import json
from dataclasses import replace
from pathlib import Path

import pytest
from finished_run import shown
from tiny_runs import Watcher, write_bert

from dna_ray.errors import BudgetError
from dna_ray.mining.config import MineConfig
from dna_ray.recipe import CompareRecipe, CompareWhat, MineHow
from dna_ray.tracking import journal
from dna_ray.verbs.compare import CompareResult, compare, plan
from dna_ray.verbs.mined import file_id

NAMES = ["svd-2x", "spectral-2x", "svd-3x", "spectral-3x"]
ROUNDED = ["int8", "int4", "int3", "int2", "int2 clipped"]


@pytest.fixture(scope="module", autouse=True)
def _offline():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("networks") / "bert")


def recipe_for(network: Path, home: Path, **what: object) -> CompareRecipe:
    asked = {
        "kinds": ("svd", "spectral"),
        "ratios": (2.0, 3.0),
        "config": MineConfig(epochs=0.5, batch_size=64),
        **what,
    }
    return CompareRecipe(
        what=CompareWhat(network=str(network), **asked),
        how=MineHow(home=str(home), workers=0, tracking="http://127.0.0.1:9"),
    )


@pytest.fixture(scope="module")
def swept(network: Path, tmp_path_factory: pytest.TempPathFactory) -> CompareResult:
    return compare(recipe_for(network, tmp_path_factory.mktemp("swept")))


def test_every_kind_is_mined_at_every_ratio_within_its_budget(swept: CompareResult):
    assert list(swept.dna) == NAMES
    for row, folder in zip(swept.rows, swept.dna.values(), strict=True):
        assert Path(folder, "model.safetensors").stat().st_size == row.measures.file_bytes
        assert row.asked is not None
        assert row.asked <= row.measures.ratio < 1.02 * row.asked
    assert {row.asked for row in swept.rows} == {2.0, 3.0}


def test_yardsticks_are_measured_beside_the_kinds(swept: CompareResult):
    assert [point.label for point in swept.yardsticks] == ROUNDED
    noises = [point.achieved.noise for point in swept.yardsticks]
    assert noises[:4] == sorted(noises[:4])
    assert noises[4] < noises[3]
    assert "round to nearest, int4, groups of 64" in [point.name for point in swept.yardsticks]


def test_a_sweep_is_told_in_one_table_one_figure_and_one_object(swept: CompareResult):
    run = Path(swept.run)
    text = shown(swept)
    assert text.count("svd ") == text.count("spectral ") == 2
    assert "round to nearest, int8" in text
    assert "function: not measured, because" in text
    page = (run / "report.md").read_text()
    assert "figures/rate_distortion.png" in page
    assert {each.name for each in (run / "figures").iterdir()} == {"rate_distortion.png", "rate_distortion.svg"}
    values = json.loads((run / "result.json").read_text())
    assert values == json.loads(json.dumps(swept.to_json()))
    assert [(row["kind"], row["asked"]) for row in values["rows"]] == [(r.kind, r.asked) for r in swept.rows]
    assert len(values["yardsticks"]) == len(ROUNDED)


def test_the_journal_names_every_dna_with_its_ratio_and_every_file(swept: CompareResult):
    past = journal.read(Path(swept.run))
    told = [entry for entry in past if entry["event"] == "dna"]
    assert [entry["id"] for entry in told] == [file_id(Path(swept.dna[name])) for name in NAMES]
    assert [(entry["params"]["kind"], entry["params"]["ratio"]) for entry in told] == [
        (row.kind, row.asked) for row in swept.rows
    ]
    files = {entry["file"] for entry in past if entry["event"] == "artifact"}
    assert files == {"report.md", "result.json", "figures/rate_distortion.png", "figures/rate_distortion.svg"}


def test_a_stopped_sweep_goes_on_behind_what_it_has(network: Path, swept: CompareResult, tmp_path: Path):
    recipe, watcher = recipe_for(network, tmp_path), Watcher()
    # First between two DNA, then between two yardsticks.
    watcher.stop_when = lambda: watcher.stages.count("write") == 3
    with pytest.raises(KeyboardInterrupt):
        compare(recipe, progress=watcher)
    watcher = Watcher()
    watcher.stop_when = lambda: sum(note.startswith("yardstick") for note in watcher.notes) == 2
    with pytest.raises(KeyboardInterrupt):
        compare(recipe, progress=watcher)
    assert watcher.stages.count("write") == 1
    watcher = Watcher()
    result = compare(recipe, progress=watcher)
    assert watcher.stages.count("write") == 0
    assert sum(note.startswith("yardstick") for note in watcher.notes) == len(ROUNDED) - 2
    assert result.points == swept.points
    assert [file_id(Path(folder)) for folder in result.dna.values()] == [
        file_id(Path(folder)) for folder in swept.dna.values()
    ]


def test_a_size_that_a_kind_cannot_have_is_named_and_the_rest_goes_on(network: Path, tmp_path: Path):
    recipe = recipe_for(network, tmp_path, kinds=("verbatim", "svd"), ratios=(0.5, 4.0), yardsticks=False)
    result = compare(recipe)
    assert list(result.dna) == ["verbatim-0.5x", "svd-0.5x", "svd-4x"]
    assert list(result.impossible) == ["verbatim-4x"]
    assert result.yardsticks == ()
    for text in (shown(result), (Path(result.run) / "report.md").read_text()):
        assert "ot possible: " in text
        assert "kind verbatim cannot be a file of" in text


def test_a_comparison_of_which_nothing_is_possible_fails(network: Path, tmp_path: Path):
    with pytest.raises(BudgetError, match="kind verbatim cannot be a file of"):
        compare(recipe_for(network, tmp_path, kinds=("verbatim",)))


def test_one_size_has_yardsticks_when_they_are_asked_for(network: Path, tmp_path: Path):
    config = MineConfig(ratio=4.0)
    recipe = recipe_for(network, tmp_path, kinds=("svd",), ratios=(), config=config)
    assert not recipe.what.beside_yardsticks
    result = compare(replace(recipe, what=replace(recipe.what, yardsticks=True)))
    assert list(result.dna) == ["svd"]
    assert len(result.yardsticks) == len(ROUNDED)
    assert "rate and distortion" in shown(result)


def test_a_plan_has_a_part_for_each_dna(network: Path, tmp_path: Path):
    planned = plan(recipe_for(network, tmp_path, kinds=("svd",)))
    sizes = [each.fp32_bytes / each.file_bytes for each in planned.kinds]
    assert sizes == pytest.approx([2.0, 3.0], rel=0.02)
    assert not list(tmp_path.iterdir())
