from pathlib import Path

import pytest

from dna_ray.errors import RecipeError
from dna_ray.evolution.comparison.config import ComparisonConfig
from dna_ray.mining.config import MineConfig
from dna_ray.recipe import (
    CompareEvolutionRecipe,
    CompareEvolutionWhat,
    CompareRecipe,
    CompareWhat,
    MineHow,
    MineRecipe,
    MineWhat,
    Recipe,
    identity,
    read_recipe,
    recorded_identity,
    resolve,
    to_yaml,
)

RECIPES = [
    MineRecipe(what=MineWhat(network="sample:minilm")),
    MineRecipe(
        what=MineWhat(network="./a b/ü", config=MineConfig(kind="svd", bytes=1000, lr=1e-5), task=None, limit=50),
        how=MineHow(workers=0, elastic=True, address="127.0.0.1:6379", run_dir="/tmp/x: y", checkpoint_every=0.5),
    ),
    CompareRecipe(what=CompareWhat(network="org/name", kinds=("svd", "adaptive"), config=MineConfig(ratio=44.0))),
    CompareRecipe(what=CompareWhat(network="org/name", ratios=(8.0, 22.5), yardsticks=False)),
    CompareEvolutionRecipe(what=CompareEvolutionWhat(network="org/name", config=ComparisonConfig(sparsities=(0.5,)))),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["defaults", "set", "compare", "sweep", "evolution"])
def test_yaml_and_back_is_the_identity(recipe: Recipe, tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    path.write_text(to_yaml(recipe))
    assert read_recipe(path) == recipe


def test_yaml_of_a_run_also_records_its_identity(tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    path.write_text(to_yaml(RECIPES[0], identity="ab" * 32))
    assert recorded_identity(path) == "ab" * 32
    assert read_recipe(path) == RECIPES[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("verb: mine\nwhat: [", "recipe.yaml:2: is not YAML"),
        ("\x00", "is not YAML"),
        ("- 1", "expected a mapping"),
        ("what: {network: a}", "says no verb"),
        ("verb: mien", "recipe.yaml:1: unknown verb 'mien'; did you mean 'mine'"),
        ("verb: [mine]", "unknown verb"),
        ("verb: mine\nwhta: {}", "recipe.yaml:2: unknown key 'whta'; did you mean 'what'"),
        ("verb: mine\nwhat:\n  network: a\n  knid: svd", "recipe.yaml:4: unknown key 'knid'; did you mean 'kind'"),
        ("verb: mine\nwhat: {network: a, workers: 1}", "key 'workers' belongs into `how`, not into `what`"),
        ("verb: mine\nwhat: {network: a, network: b}", "stands here twice"),
        ("verb: mine\nwhat: {network: a}\nhow: 3", "recipe.yaml:3: expected a mapping"),
        ("verb: mine\nwhat:\n  network: a\n  ratio: true", "recipe.yaml:4: ratio must be a number or null, got True"),
        ("verb: mine\nwhat:\n  network: 3", "recipe.yaml:3: network must be a text"),
        (
            "verb: mine\nwhat:\n  network: a\n  kind: svdd",
            "recipe.yaml:4: kind 'svdd' is not known; did you mean 'svd'",
        ),
        ("verb: mine\nwhat:\n  network: a\n  ratio: 1\n  bytes: 2", "recipe.yaml:4, .*recipe.yaml:5: ratio and bytes"),
        (
            "verb: mine\nwhat: {network: !!python/object:os.system a}",
            "recipe.yaml:2: is no value that a recipe can hold",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_with_its_line(text: str, said: str, tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=said) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_is_named(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"none\.yaml: cannot read the recipe \(No such file"):
        read_recipe(tmp_path / "none.yaml")


def test_a_recipe_of_another_verb_is_refused(tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    path.write_text("verb: compare\nwhat: {network: a}")
    with pytest.raises(RecipeError, match="is a recipe of 'compare', not of 'mine'"):
        resolve("mine", recipe=path)


def test_identity_depends_on_what_and_on_the_data_only(tmp_path: Path):
    texts, copy = tmp_path / "texts", tmp_path / "copy"
    texts.write_text("one\ntwo\n")
    copy.write_text("one\ntwo\n")
    recipe = MineRecipe(what=MineWhat(network="a", texts=str(texts)))
    same = MineRecipe(what=MineWhat(network="moved", texts=str(copy)), how=MineHow(workers=5, out="elsewhere"))
    assert identity(recipe, "f1") == identity(same, "f1")
    others = {
        identity(recipe, "f2"),
        identity(MineRecipe(what=MineWhat(network="a")), "f1"),
        identity(MineRecipe(what=MineWhat(network="a", config=MineConfig(seed=1))), "f1"),
        identity(CompareRecipe(what=CompareWhat(network="a")), "f1"),
    }
    assert len(others | {identity(recipe, "f1")}) == 5
    copy.write_text("one\nthree\n")
    assert identity(recipe, "f1") != identity(same, "f1")


def test_identity_names_texts_that_are_missing(tmp_path: Path):
    recipe = MineRecipe(what=MineWhat(network="a", texts=str(tmp_path / "none")))
    with pytest.raises(RecipeError, match="none: cannot read the texts"):
        identity(recipe, "f1")
