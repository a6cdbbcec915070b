from dataclasses import replace
from pathlib import Path

import pytest

from dna_ray.errors import ArtifactError, InputError, LockedError, RecipeError
from dna_ray.mining.config import MineConfig
from dna_ray.recipe import MineHow, MineRecipe, MineWhat
from dna_ray.tracking.journal import Journal
from dna_ray.verbs import runs
from dna_ray.verbs.runs import find, open_run, short_name


def recipe(home: Path, *, seed: int = 0, run_dir: Path | None = None, workers: int = 2) -> MineRecipe:
    what = MineWhat(network="sample:minilm", config=MineConfig(seed=seed))
    return MineRecipe(
        what=what, how=MineHow(home=str(home), run_dir=str(run_dir) if run_dir else None, workers=workers)
    )


def test_a_run_is_named_after_verb_network_and_identity(tmp_path: Path):
    run = open_run(recipe(tmp_path), fingerprint="f")
    assert run.name == f"mine-minilm-{run.identity[:12]}"
    assert run.path.parent == tmp_path
    assert runs.recorded_recipe(run) == recipe(tmp_path)


def test_the_same_recipe_continues_and_another_how_is_recorded(tmp_path: Path):
    first = open_run(recipe(tmp_path), fingerprint="f")
    again = open_run(recipe(tmp_path, workers=5), fingerprint="f")
    assert again == first
    assert runs.recorded_recipe(again).how.workers == 5


def test_another_recipe_or_network_has_another_folder(tmp_path: Path):
    names = {
        open_run(recipe(tmp_path), fingerprint="f").name,
        open_run(recipe(tmp_path, seed=1), fingerprint="f").name,
        open_run(recipe(tmp_path), fingerprint="g").name,
    }
    assert len(names) == 3


def test_another_recipe_in_the_same_folder_is_refused_with_three_ways_out(tmp_path: Path):
    folder = tmp_path / "mine"
    open_run(recipe(tmp_path, run_dir=folder), fingerprint="f")
    with pytest.raises(RecipeError, match=r"--run-dir.*--fresh.*dna-ray resume"):
        open_run(recipe(tmp_path, seed=1, run_dir=folder), fingerprint="f")


def test_fresh_sets_the_old_run_aside_and_deletes_nothing(tmp_path: Path):
    folder = tmp_path / "mine"
    for seed in (0, 1, 2):
        open_run(recipe(tmp_path, seed=seed, run_dir=folder), fingerprint="f", fresh=True)
    recorded = [runs.recorded_recipe(runs.read_run(tmp_path / name)) for name in ("mine~1", "mine~2", "mine")]
    assert [each.what.config.seed for each in recorded] == [0, 1, 2]


def test_fresh_does_not_touch_a_run_at_work(tmp_path: Path):
    run = open_run(recipe(tmp_path), fingerprint="f")
    with Journal(run.path), pytest.raises(LockedError):
        open_run(recipe(tmp_path), fingerprint="f", fresh=True)
    assert run.path.exists()


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("mine")
    for fresh in (False, True):
        with pytest.raises(RecipeError, match="holds files, but no run"):
            open_run(recipe(tmp_path, run_dir=tmp_path), fingerprint="f", fresh=fresh)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_may_become_a_run(tmp_path: Path):
    assert open_run(recipe(tmp_path, run_dir=tmp_path), fingerprint="f").path == tmp_path


def test_a_file_is_no_folder_for_a_run(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(RecipeError, match="is a file"):
        open_run(recipe(tmp_path, run_dir=file), fingerprint="f")


def test_a_run_is_found_by_path_name_and_the_start_of_its_id(tmp_path: Path):
    run = open_run(recipe(tmp_path), fingerprint="f")
    open_run(recipe(tmp_path, seed=1), fingerprint="f")
    for said in (str(run.path), run.name, run.name[:-3], run.identity[:6]):
        assert find(said, home=tmp_path) == run


def test_a_run_that_was_set_aside_is_found_by_its_full_name_only(tmp_path: Path):
    run = open_run(recipe(tmp_path), fingerprint="f")
    again = open_run(recipe(tmp_path), fingerprint="f", fresh=True)
    assert find(run.identity[:6], home=tmp_path) == again
    assert find(f"{run.name}~1", home=tmp_path).path == tmp_path / f"{run.name}~1"


def test_a_start_that_several_runs_share_is_refused(tmp_path: Path):
    for seed in (0, 1):
        open_run(recipe(tmp_path, seed=seed), fingerprint="f")
    with pytest.raises(InputError, match="names 2 runs"):
        find("mine-minilm", home=tmp_path)


def test_a_run_that_is_not_there_is_suggested(tmp_path: Path):
    run = open_run(recipe(tmp_path), fingerprint="f")
    with pytest.raises(InputError, match=f"did you mean '{run.name}'"):
        find(run.name.replace("mini", "mimi"), home=tmp_path)
    with pytest.raises(InputError, match="runs there: none"):
        find("x", home=tmp_path / "nowhere")


def test_a_folder_without_identity_is_no_run(tmp_path: Path):
    (tmp_path / "recipe.yaml").write_text("verb: mine\nwhat: {network: a}\n")
    with pytest.raises(ArtifactError, match="has no `identity`"):
        find(str(tmp_path), home=tmp_path)
    (tmp_path / "recipe.yaml").write_text("{")
    with pytest.raises(ArtifactError, match="not a run folder"):
        find(str(tmp_path), home=tmp_path)


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ("sample:minilm", "minilm"),
        ("sentence-transformers/all-MiniLM-L6-v2", "all-minilm-l6-v2"),
        ("/a/b/My Model/", "my-model"),
        ("weights.safetensors", "weights"),
        ("..", "network"),
        ("ü" * 300, "network"),
        ("a" * 300, "a" * 40),
    ],
)
def test_a_network_has_a_short_name_that_any_disk_takes(network: str, name: str):
    assert short_name(network) == name


def test_resuming_elsewhere_keeps_the_folder(tmp_path: Path):
    run = open_run(recipe(tmp_path), fingerprint="f")
    recorded = runs.recorded_recipe(run)
    moved = replace(recorded, how=replace(recorded.how, home="/other", run_dir=str(run.path)))
    assert open_run(moved, fingerprint="f") == run
