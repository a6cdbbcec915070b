"""`compare --evolution`: in process and on Ray, on a tiny network that reads texts, stopped and killed on the way."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from finished_run import shown
from tiny_runs import Watcher, write_reader

from dna_ray.distributed.cluster import ray_cluster
from dna_ray.errors import LockedError
from dna_ray.evolution.comparison.config import ComparisonConfig
from dna_ray.networks import load
from dna_ray.recipe import CompareEvolutionRecipe, CompareEvolutionWhat, EvolveHow
from dna_ray.tracking import journal
from dna_ray.tracking.journal import Journal
from dna_ray.verbs.compare_evolution import compare_evolution, plan
from dna_ray.verbs.compared_evolution import CompareEvolutionResult
from dna_ray.verbs.runs import open_run

NOBODY = "http://127.0.0.1:9"  # where no tracking server listens
CONFIG = ComparisonConfig(
    sparsities=(0.6,),
    methods=("wanda", "evopress-best", "machine"),
    seeds=2,
    evaluations=20,
    signal="cosine",
    calibration=16,
    minibatch=4,
    rungs=(1, 2),
)
CELLS = 6


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reader(tmp_path_factory.mktemp("networks") / "reader")


def recipe_for(network: Path, home: Path, *, workers: int = 0, **changes: object) -> CompareEvolutionRecipe:
    what = CompareEvolutionWhat(
        network=str(network), config=replace(CONFIG, **changes), texts=str(network / "texts.txt"), limit=40
    )
    return CompareEvolutionRecipe(what=what, how=EvolveHow(workers=workers, home=str(home), tracking=NOBODY))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture(scope="module")
def undisturbed(network: Path, home: Path) -> CompareEvolutionResult:
    return compare_evolution(recipe_for(network, home))


def told(run: Path) -> list[str]:
    return [f"{event['method']} {event['seed']}" for event in journal.read(run) if event["event"] == "cell"]


def test_every_method_has_a_row_with_the_same_budget_and_data(undisturbed: CompareEvolutionResult):
    [standing] = undisturbed.standings.sparsities
    assert {row.method: row.evaluations for row in standing.rows} == {"wanda": 1, "evopress-best": 20, "machine": 20}
    assert {(row.seeds, row.missing, row.failed) for row in standing.rows} == {(2, 0, 0)}
    assert (standing.rival, standing.known) in {("wanda", "wanda"), ("evopress-best", "wanda")}
    assert undisturbed.standings.score == "cosine"
    assert undisturbed.standings.dense == pytest.approx(1)
    assert undisturbed.default == "machine"


def test_the_test_split_is_the_same_for_all_seeds_and_the_data_searched_on_are_not(undisturbed: CompareEvolutionResult):
    cells = [event for event in journal.read(Path(undisturbed.run)) if event["event"] == "cell"]
    assert {len(cell["items"]) for cell in cells} == {40}
    wanda = [cell for cell in cells if cell["method"] == "wanda"]
    assert wanda[0]["loss"] != wanda[1]["loss"]


def test_a_run_leaves_a_page_two_figures_one_object_and_scores_for_mlflow(undisturbed: CompareEvolutionResult):
    run = Path(undisturbed.run)
    assert {each.name for each in (run / "figures").iterdir()} == {"scores.png", "searches.png"}
    assert json.loads((run / "result.json").read_text()) == json.loads(json.dumps(undisturbed.to_json()))
    text = shown(undisturbed)
    for method in CONFIG.methods:
        assert method in text
        assert method in (run / "report.md").read_text()
    scores = {event["name"] for event in journal.read(run) if event["event"] == "score"}
    assert scores == {f"0.6/{method}" for method in CONFIG.methods}


def test_a_finished_run_is_shown_again(undisturbed: CompareEvolutionResult, network: Path, home: Path):
    before = len(journal.read(Path(undisturbed.run)))
    assert compare_evolution(recipe_for(network, home)).to_json() == undisturbed.to_json()
    assert len(journal.read(Path(undisturbed.run))) == before


def test_a_run_that_is_stopped_within_a_search_and_after_each_cell_goes_on_and_makes_the_same_table(
    undisturbed: CompareEvolutionResult, network: Path, tmp_path: Path
):
    recipe, asked = recipe_for(network, tmp_path, methods=("machine", "wanda")), iter(range(100))
    stops = [Watcher(stop_when=lambda: next(asked) == 2), *(Watcher(stop_after=1) for _ in range(3))]
    for done, watcher in enumerate(stops):
        with pytest.raises(KeyboardInterrupt):
            compare_evolution(recipe, progress=watcher)
        (run,) = (path for path in tmp_path.iterdir() if path.is_dir())
        assert len(told(run)) == done
        assert f"{done} of 4 cells are finished" in (run / "report.md").read_text()
    result = compare_evolution(recipe).standings.sparsities[0]
    assert told(run) == ["machine 0", "wanda 0", "machine 1", "wanda 1"]
    for row in result.rows:
        assert row == undisturbed.standings.sparsities[0].row(row.method)


def test_a_driver_that_was_killed_leaves_what_it_told(
    undisturbed: CompareEvolutionResult, network: Path, tmp_path: Path
):
    """As SIGKILL leaves a journal: without an end, its last line torn."""
    run = tmp_path / Path(undisturbed.run).name
    shutil.copytree(undisturbed.run, run)
    lines = (run / journal.FILE).read_bytes().splitlines(keepends=True)
    cut = next(place for place, line in enumerate(lines) if b'"cell"' in line) + 3
    (run / journal.FILE).write_bytes(b"".join(lines[:cut]) + lines[cut][:30])
    assert len(told(run)) == 3
    again = compare_evolution(recipe_for(network, tmp_path))
    assert again.standings == undisturbed.standings
    assert again.curves == undisturbed.curves
    assert sorted(told(run)) == sorted(told(Path(undisturbed.run)))


def test_a_plan_counts_what_is_left_and_writes_nothing(
    undisturbed: CompareEvolutionResult, network: Path, home: Path, tmp_path: Path
):
    found = plan(recipe_for(network, tmp_path))
    assert (found.cells, found.done, found.evaluations) == (CELLS, 0, 2 * 41)
    assert found.seconds > 0
    assert "82 evaluations left" in shown(found)
    assert not any(tmp_path.iterdir())
    assert plan(recipe_for(network, home)).done == CELLS


def test_two_drivers_on_one_run_are_one_too_many(network: Path, tmp_path: Path):
    recipe = recipe_for(network, tmp_path)
    run = open_run(recipe, fingerprint=load(str(network)).fingerprint)
    with Journal(run.path), pytest.raises(LockedError):
        compare_evolution(recipe)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with ray_cluster(None, workers=2):
        yield


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_two_workers_make_the_same_table(undisturbed: CompareEvolutionResult, network: Path, tmp_path: Path):
    recipe = recipe_for(network, tmp_path, workers=2)
    with pytest.raises(KeyboardInterrupt):
        compare_evolution(recipe, progress=Watcher(stop_after=22))
    (run,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert 1 <= len(told(run)) < CELLS
    result = compare_evolution(recipe)
    assert result.standings == undisturbed.standings
    assert sorted(told(run)) == sorted(told(Path(undisturbed.run)))
