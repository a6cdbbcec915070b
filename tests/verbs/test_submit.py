"""What goes along with a job, what it is called, and what its end means. With a head: tests/cluster/test_jobs.py."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_runs import recipe_for

from dna_ray.distributed.jobs import Log, State, attempt_of
from dna_ray.errors import InputError, UnreachableError
from dna_ray.recipe import EvaluateRecipe, EvaluateWhat, MineRecipe, read_recipe
from dna_ray.verbs import stage as staging
from dna_ray.verbs.stage import RECIPE, name_of, stage
from dna_ray.verbs.submit import exit_code, submit


@pytest.fixture
def recipe(tmp_path: Path) -> MineRecipe:
    how = {"address": "127.0.0.1:6379", "tracking": "postgresql://dna:password@db/mlflow"}
    return recipe_for(Path("/shared/bert"), tmp_path / "runs", workers=2, how=how, ratio=8.0)


def sent(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_job_keeps_its_name_as_long_as_it_computes_the_same_in_the_same_place(recipe: MineRecipe):
    name = name_of(recipe)
    assert name.startswith("dna-ray-mine-bert-")
    assert name_of(replace(recipe, how=replace(recipe.how, workers=64, device="cuda"))) == name
    assert name_of(replace(recipe, how=replace(recipe.how, home="/elsewhere"))) != name
    assert name_of(replace(recipe, what=replace(recipe.what, limit=20))) != name
    assert name_of(EvaluateRecipe(what=EvaluateWhat(x="runs/a/dna"))).startswith("dna-ray-evaluate-dna-")


def test_a_job_takes_along_its_recipe_without_secrets_and_no_more_than_it_needs(recipe: MineRecipe, tmp_path: Path):
    folder = tmp_path / "stage"
    stage(recipe, folder, working_dir=None, with_code=False, insecure=False)
    assert sent(folder) == [RECIPE]
    staged = read_recipe(folder / RECIPE)
    assert staged == replace(recipe, how=replace(recipe.how, address=None, tracking="postgresql://db/mlflow"))
    assert "password" not in (folder / RECIPE).read_text()


def test_a_job_takes_along_the_code_that_is_asked_for_and_leaves_out_what_is_large(recipe: MineRecipe, tmp_path: Path):
    own = tmp_path / "own"
    for name in ("task.py", ".git/config", "runs/mine/journal.jsonl", "a.dna", "mlflow.db", "data/texts.txt"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text("x")
    stage(recipe, tmp_path / "stage", working_dir=own, with_code=False, insecure=False)
    assert sent(tmp_path / "stage") == ["data/texts.txt", RECIPE, "task.py"]
    stage(recipe, tmp_path / "stage", working_dir=None, with_code=True, insecure=True)
    files = sent(tmp_path / "stage")
    assert "dna_ray/__main__.py" in files
    assert "task.py" not in files
    assert not [file for file in files if "__pycache__" in file]


def test_a_working_folder_that_is_too_large_is_refused(
    recipe: MineRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(staging, "LARGEST", 10)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "weights.bin").write_bytes(bytes(11))
    with pytest.raises(InputError, match="put large files on storage"):
        stage(recipe, tmp_path / "stage", working_dir=tmp_path / "own", with_code=False, insecure=False)


def test_only_the_url_of_a_dashboard_takes_jobs(recipe: MineRecipe):
    with pytest.raises(InputError, match="http://HEAD:8265"):
        submit(recipe, address="127.0.0.1:6379")
    with pytest.raises(UnreachableError, match="does not answer"):
        submit(recipe, address="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("state", "lost", "code"),
    [
        (State(id="j", status="SUCCEEDED", exit_code=0), False, 0),
        (State(id="j", status="FAILED", exit_code=4), False, 4),
        (State(id="j", status="FAILED", exit_code=-9), True, 8),
        (State(id="j", status="FAILED", exit_code=137), True, 8),
        (State(id="j", status="FAILED", exit_code=143), True, 8),
        (State(id="j", status="FAILED", error="JOB_SUPERVISOR_ACTOR_DIED"), True, 8),
        (State(id="j", status="FAILED", error="RUNTIME_ENV_SETUP_FAILURE"), False, 8),
        (State(id="j", status="LOST"), True, 8),
        (State(id="j", status="STOPPED"), False, 143),
    ],
    ids=lambda value: value.status if isinstance(value, State) else str(value),
)
def test_the_end_of_a_job_is_an_exit_code_and_lost_or_not(state: State, lost: bool, code: int):
    assert state.ended
    assert (state.lost, exit_code(state)) == (lost, code)


def test_a_log_that_comes_whole_each_time_is_shown_once():
    lines: list[str] = []
    log = Log(lines.append)
    for text in ("", "one\ntw", "one\ntwo\r\nthree", "one\ntwo\r\nthree"):
        log.whole(text)
    assert lines == ["one", "two"]
    log.close()
    assert lines == ["one", "two", "three"]


def test_attempts_are_told_apart_from_other_jobs():
    assert [
        attempt_of(job, "mine-a") for job in ("mine-a-a3", "mine-a-a12", "mine-a", "mine-ab-a1", "mine-a-a1-x")
    ] == [
        3,
        12,
        0,
        0,
        0,
    ]
