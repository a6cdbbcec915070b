"""A recipe that judges: the one whose verb makes no run."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_runs import write_reader

from dna_ray.cli import main
from dna_ray.errors import ArtifactError, RecipeError
from dna_ray.recipe import EvaluateHow, EvaluateRecipe, EvaluateWhat, read_recipe, resolve, to_yaml
from dna_ray.verbs.evaluate import evaluate_recipe
from dna_ray.verbs.runs import read_run, recorded_recipe

RECIPE = EvaluateRecipe(what=EvaluateWhat(x="runs/a/dna", limit=50), how=EvaluateHow(device="cuda", home="/shared"))


def test_it_is_written_and_read_like_all_others(tmp_path: Path):
    (tmp_path / "recipe.yaml").write_text(to_yaml(RECIPE))
    assert read_recipe(tmp_path / "recipe.yaml") == RECIPE
    changed = resolve("evaluate", recipe=tmp_path / "recipe.yaml", sets=["what.limit=60"])
    assert changed.what.limit == 60


def test_it_must_say_what_is_judged():
    with pytest.raises(RecipeError, match=r"no x is given.*what\.x"):
        resolve("evaluate")
    with pytest.raises(RecipeError, match="did you mean 'what.limit'"):
        resolve("evaluate", sets=["what.limt=60"])


@pytest.mark.filterwarnings("default:.*held against itself")
def test_what_it_asks_for_is_judged_by_run_and_from_python(tmp_path: Path):
    network = write_reader(tmp_path / "bert")
    what = EvaluateWhat(x=str(network), task="agreement", texts=str(network / "texts.txt"), limit=20)
    recipe = EvaluateRecipe(what=what)
    with pytest.warns(UserWarning, match="held against itself"):
        assert evaluate_recipe(recipe).score.n == 20
    (tmp_path / "recipe.yaml").write_text(to_yaml(recipe))
    done = CliRunner().invoke(main, ["run", str(tmp_path / "recipe.yaml"), "--json", "-q"])
    assert done.exit_code == 0, done.output
    assert '"task": "agreement"' in done.stdout
    refused = CliRunner().invoke(main, ["run", str(tmp_path / "recipe.yaml"), "--dry-run", "-q"])
    assert refused.exit_code == 3
    assert "nothing to plan" in refused.stderr


def test_a_run_folder_never_holds_it(tmp_path: Path):
    (tmp_path / "recipe.yaml").write_text(to_yaml(RECIPE, identity="0" * 64))
    with pytest.raises(ArtifactError, match="makes no runs"):
        recorded_recipe(read_run(tmp_path))
