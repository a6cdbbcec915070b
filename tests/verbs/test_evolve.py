"""`evolve`, and what is done with the agents that it finds: in process, on a tiny network that reads texts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_runs import Watcher, write_reader
from transformers import AutoModel

from dna_ray.errors import InputError, LockedError, NetworkError, RecipeError, TaskError
from dna_ray.evolution.config import EvolveConfig
from dna_ray.evolution.sparsity.sparse import load_masks
from dna_ray.networks import load
from dna_ray.recipe import EvolveHow, EvolveRecipe, EvolveWhat
from dna_ray.tracking import journal
from dna_ray.tracking.journal import Journal
from dna_ray.verbs.apply import apply
from dna_ray.verbs.bounds import bounds
from dna_ray.verbs.evolve import evolve, plan
from dna_ray.verbs.evolved import EvolveResult
from dna_ray.verbs.runs import open_run

NOBODY = "http://127.0.0.1:9"  # where no tracking server listens
SMALL = {
    "signal": "cosine",
    "population_size": 15,
    "generations": 3,
    "minibatch": 4,
    "calibration": 16,
    "rungs": (1, 2),
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reader(tmp_path_factory.mktemp("networks") / "reader")


def recipe_for(network: Path, home: Path, **changes: object) -> EvolveRecipe:
    config = EvolveConfig(**(SMALL | changes))  # type: ignore[arg-type]
    how = EvolveHow(workers=0, home=str(home), tracking=NOBODY)
    texts = str(network / "texts.txt")
    return EvolveRecipe(what=EvolveWhat(network=str(network), config=config, texts=texts, limit=40), how=how)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture(scope="module")
def undisturbed(network: Path, home: Path) -> EvolveResult:
    return evolve(recipe_for(network, home))


def test_a_champion_is_found_and_shown_beside_what_the_search_began_from(undisturbed: EvolveResult):
    methods = undisturbed.to_json()["methods"]
    assert {"champion", "dense", "magnitude", "wanda", "wina"} <= methods.keys()
    assert methods["dense"]["cosine"] == pytest.approx(1)
    assert methods["champion"]["skipped"] == pytest.approx(0.6, abs=0.01)
    assert undisturbed.sparsity == pytest.approx(0.6, abs=0.001)
    assert undisturbed.counts["evaluated"] == 45
    losses = undisturbed.search.losses
    assert undisturbed.loss == min(losses[agent] for agent in undisturbed.search.agents)


def test_a_run_leaves_masks_the_program_and_a_page_with_figures(undisturbed: EvolveResult):
    run = Path(undisturbed.run)
    agent, masks = load_masks(run / "champion" / "masks.safetensors")
    assert agent.id == undisturbed.champion
    kept, size = sum(int(mask.sum()) for mask in masks.values()), sum(mask.numel() for mask in masks.values())
    assert 1 - kept / size == undisturbed.sparsity
    assert (run / "champion" / "program.py").read_text() == undisturbed.program
    assert undisturbed.champion[:12] in (run / "report.md").read_text()
    assert (run / "figures" / "fitness.png").stat().st_size > 5000


def test_a_finished_run_is_shown_again(undisturbed: EvolveResult, network: Path, home: Path):
    before = len(journal.read(Path(undisturbed.run)))
    assert evolve(recipe_for(network, home)).to_json() == undisturbed.to_json()
    assert len(journal.read(Path(undisturbed.run))) == before


def test_a_run_that_was_stopped_goes_on_and_finds_the_same(undisturbed: EvolveResult, network: Path, tmp_path: Path):
    recipe = recipe_for(network, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        evolve(recipe, progress=Watcher(stop_after=2))
    (run,) = (path for path in tmp_path.iterdir() if path.is_dir())
    told = [event for event in journal.read(run) if event["event"] == "told"]
    assert 0 < sum(len(event["agents"]) for event in told) < 45
    resumed = evolve(recipe)
    assert resumed.lineage == undisturbed.lineage
    assert resumed.champion == undisturbed.champion
    numbers = [event["number"] for event in journal.read(run) if event["event"] == "told"]
    assert len(set(numbers)) == len(numbers), "every batch is told once"


def test_more_multiply_adds_than_zeros_can_save_are_refused_before_anything_is_evaluated(network: Path, tmp_path: Path):
    with pytest.raises(RecipeError, match=r"skip is 0\.7, but so many zeros, spread evenly, save 0\.5996"):
        evolve(recipe_for(network, tmp_path, skip=0.7))


def test_another_seed_goes_another_way(undisturbed: EvolveResult, network: Path, tmp_path: Path):
    assert evolve(recipe_for(network, tmp_path, seed=1)).lineage != undisturbed.lineage


def test_a_rival_searches_by_the_same_command(network: Path, tmp_path: Path):
    found = evolve(recipe_for(network, tmp_path, method="random"))
    assert found.counts["evaluated"] == 45


def test_apply_writes_a_folder_that_opens_with_as_many_zeros(
    undisturbed: EvolveResult, network: Path, home: Path, tmp_path: Path
):
    applied = apply(undisturbed.champion[:10], str(network), out=tmp_path / "sparse", home=home)
    assert applied.agent == undisturbed.champion
    assert applied.sparsity == undisturbed.sparsity
    assert "speed-up" in applied.latency or "x (" in applied.latency
    state = AutoModel.from_pretrained(tmp_path / "sparse").state_dict()
    _, masks = load_masks(tmp_path / "sparse" / "masks.safetensors")
    for name, mask in masks.items():
        assert torch.equal(state[name] != 0, mask), name
    with pytest.raises(NetworkError, match="exists"):
        apply(undisturbed.champion[:10], str(network), out=tmp_path / "sparse", home=home)


def test_bounds_stand_beside_what_was_measured(undisturbed: EvolveResult, home: Path):
    found = bounds(Path(undisturbed.run).name, home=home)
    assert found.agent == undisturbed.champion, "a run stands for its champion"
    assert all(each.promise == "equal" and each.ratio == pytest.approx(1, rel=1e-6) for each in found.layers)
    assert "not a guarantee" in found.network
    assert not found.disagreement, "these texts have no classes"


def test_what_is_no_agent_is_refused(undisturbed: EvolveResult, network: Path, home: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no agent or run"):
        bounds("nobody", home=home)
    several = max("0123456789abcdef", key=lambda digit: sum(agent[0] == digit for agent in undisturbed.search.agents))
    with pytest.raises(InputError, match="give more"):
        apply(several, str(network), out=tmp_path / "sparse", home=home)


def test_two_drivers_on_one_run_are_one_too_many(network: Path, tmp_path: Path):
    recipe = recipe_for(network, tmp_path)
    run = open_run(recipe, fingerprint=load(str(network)).fingerprint)
    with Journal(run.path), pytest.raises(LockedError):
        evolve(recipe)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"sparsity": 1.0}, RecipeError, "sparsity"),
        ({"method": "machin"}, RecipeError, "did you mean 'machine'"),
        ({"signal": "klm"}, RecipeError, "module:function"),
        ({"rungs": (4, 1)}, RecipeError, "rise"),
        ({"population_size": 2, "generations": 1}, RecipeError, "founders"),
        ({"signal": "no_such_module:task"}, TaskError, "no_such_module"),
        ({"signal": "loss"}, TaskError, "label"),
        ({"exclude": ("*",)}, NetworkError, "layer"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    network: Path, tmp_path: Path, changes: dict[str, object], error: type[Exception], said: str
):
    with pytest.raises(error, match=said) as caught:
        evolve(recipe_for(network, tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_a_plan_counts_without_writing(network: Path, tmp_path: Path):
    found = plan(recipe_for(network, tmp_path))
    assert found.evaluations == 45
    assert found.kept == -(-found.weights * 4 // 10)
    assert not any(tmp_path.iterdir())


def test_the_result_is_json(undisturbed: EvolveResult):
    assert json.loads(json.dumps(undisturbed.to_json()))["champion"] == undisturbed.champion


def test_a_journal_of_another_search_is_refused(undisturbed: EvolveResult, network: Path, tmp_path: Path):
    recipe = recipe_for(network, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        evolve(recipe, progress=Watcher(stop_after=2))
    (run,) = (path for path in tmp_path.iterdir() if path.is_dir())
    other = replace(recipe, how=replace(recipe.how, run_dir=str(run)), what=replace(recipe.what, limit=41))
    with pytest.raises(RecipeError, match="another recipe"):
        evolve(other)
    shutil.rmtree(run)
