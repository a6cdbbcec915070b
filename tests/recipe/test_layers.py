from pathlib import Path

import pytest

from dna_ray.errors import RecipeError
from dna_ray.mining.config import MineConfig
from dna_ray.recipe import CompareRecipe, CompareWhat, MineHow, MineRecipe, MineWhat, Recipe, resolve


def mined(**layers: object) -> Recipe:
    layers["flags"] = {"network": "sample:minilm", **layers.get("flags", {})}  # type: ignore[dict-item]
    return resolve("mine", **layers)  # type: ignore[arg-type]


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_nothing_but_a_network_gives_the_defaults():
    assert mined() == MineRecipe(what=MineWhat(network="sample:minilm", config=MineConfig()), how=MineHow())


def test_each_layer_wins_over_the_one_before(tmp_path: Path):
    recipe = write(tmp_path, "verb: mine\nwhat: {network: a, kind: svd, seed: 1}\nhow: {workers: 1, threads: 1}\n")
    environment = {"DNA_RAY_SEED": "2", "DNA_RAY_WORKERS": "2"}
    sets = ["what.seed=3", "how.workers=3"]
    by_recipe = resolve("mine", recipe=recipe)
    by_environment = resolve("mine", recipe=recipe, environment=environment)
    by_set = resolve("mine", recipe=recipe, environment=environment, sets=sets)
    by_flag = resolve("mine", recipe=recipe, environment=environment, sets=sets, flags={"seed": 4, "workers": None})
    assert [each.what.config.seed for each in (by_recipe, by_environment, by_set, by_flag)] == [1, 2, 3, 4]
    assert [each.how.workers for each in (by_recipe, by_environment, by_set, by_flag)] == [1, 2, 3, 3]
    assert by_flag.what.config.kind == "svd"
    assert by_flag.what.network == "a"


def test_a_later_layer_that_says_bytes_takes_back_the_ratio(tmp_path: Path):
    recipe = write(tmp_path, "verb: mine\nwhat: {network: a, ratio: 22}\n")
    config = resolve("mine", recipe=recipe, flags={"bytes": 1000}).what.config
    assert (config.ratio, config.bytes) == (None, 1000)


def test_a_null_ratio_does_not_take_back_the_bytes(tmp_path: Path):
    recipe = write(tmp_path, "verb: mine\nwhat: {network: a, bytes: 1000}\n")
    assert resolve("mine", recipe=recipe, sets=["what.ratio=null"]).what.config.bytes == 1000


def test_ratio_and_bytes_in_one_layer_are_refused():
    with pytest.raises(RecipeError, match="exclude each other"):
        mined(flags={"ratio": 2.0, "bytes": 3})


def test_a_sweep_takes_the_place_of_one_size_and_the_other_way_round(tmp_path: Path):
    recipe = write(tmp_path, "verb: compare\nwhat: {network: a, ratio: 22}\n")
    swept = resolve("compare", recipe=recipe, flags={"ratios": "8, 16,44"}).what
    assert isinstance(swept, CompareWhat)
    assert (swept.ratios, swept.config.ratio, swept.beside_yardsticks) == ((8.0, 16.0, 44.0), None, True)
    recipe = write(tmp_path, "verb: compare\nwhat: {network: a, ratios: [8, 16], yardsticks: true}\n")
    single = resolve("compare", recipe=recipe, flags={"bytes": 1000}).what
    assert isinstance(single, CompareWhat)
    assert (single.ratios, single.config.bytes, single.beside_yardsticks) == ((), 1000, True)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"ratios": "8,x"}, "option --ratios: ratios must be a list of numbers, got \\['8', 'x'\\]"),
        ({"ratios": "8,8"}, "option --ratios: ratios must be different numbers above 0"),
        ({"ratios": "8,-1"}, "ratios must be different numbers above 0"),
        ({"ratios": "8,16", "ratio": 22.0}, "option --ratios, option --ratio: ratios and ratio exclude each other"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(flags: dict[str, object], said: str):
    with pytest.raises(RecipeError, match=said):
        resolve("compare", flags={"network": "a", **flags})


def test_texts_become_numbers_and_truths():
    recipe = mined(sets=["what.lr=1e-3", "how.elastic=yes", "what.epochs=0.5", "what.hidden_dim=none"])
    assert recipe.what.config.lr == 0.001
    assert recipe.what.config.epochs == 0.5
    assert recipe.what.config.hidden_dim is None
    assert recipe.how.elastic is True


def test_no_task_can_be_asked_for():
    assert mined(flags={"task": "none"}).what.task is None


def test_kinds_come_with_commas_or_as_a_list(tmp_path: Path):
    by_flag = resolve("compare", flags={"network": "a", "kinds": "svd, spectral"})
    by_file = resolve("compare", recipe=write(tmp_path, "verb: compare\nwhat: {network: a, kinds: [svd, spectral]}\n"))
    assert isinstance(by_flag, CompareRecipe)
    assert by_flag == by_file
    assert by_flag.what.kinds == ("svd", "spectral")


def test_a_comparison_has_no_single_kind():
    with pytest.raises(RecipeError, match=r"unknown key 'what\.kind'; did you mean 'what\.kinds'"):
        resolve("compare", sets=["what.kind=svd"], flags={"network": "a"})


def test_a_misspelt_variable_is_warned_about_and_a_foreign_one_is_not():
    with pytest.warns(UserWarning, match="DNA_RAY_WORKRES is not used; did you mean DNA_RAY_WORKERS") as seen:
        mined(environment={"DNA_RAY_WORKRES": "4", "DNA_RAY_CACHE": "/c", "PATH": "/bin"})
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["what.knid=svd"], r"--set what\.knid=svd: unknown key 'what\.knid'; did you mean 'what\.kind'"),
        (["what.ratio"], "expected KEY=VALUE"),
        (["what.ratio=many"], "ratio must be a number or null, got 'many'"),
        (["what.seed=1.5"], "seed must be a whole number, got '1.5'"),
        (["what.kind=svdd"], "did you mean 'svd'"),
        (["what.kind=zzz"], "choose from coded, "),
        (["what.ratio=-1"], r"--set what\.ratio=-1: ratio must be more than 0"),
        (["what.ratio=nan"], "ratio must be more than 0, got nan"),
        (["what.lr=inf"], "lr must be more than 0, got inf"),
        (["what.num_layers=0"], "num_layers must be at least 1"),
        (["what.place_bits=9"], "place_bits must be"),
        (["what.seed=-1"], "seed must be"),
        (["what.patience=-1"], "patience must be"),
        (["what.limit=1"], "limit must be"),
        (["what.calibrate=agreemnt"], "calibrate 'agreemnt' is not known; did you mean 'agreement'"),
        (["what.calibrate=images"], "calibrate 'images' is not known; choose from agreement"),
        (["what.calibration_texts=15"], "calibration_texts must be at least 16, got 15"),
        (["how.workers=-1"], "workers must be at least 0"),
        (["how.threads=0"], "threads must be at least 1"),
        (["how.checkpoint_every=0"], "checkpoint_every must be more than 0"),
        (["how.elastic=perhaps"], "elastic must be true or false"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(sets: list[str], said: str):
    with pytest.raises(RecipeError, match=said) as caught:
        mined(sets=sets)
    assert "--set " + sets[0] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"kind": "svd"}, "kind svd cannot be calibrated; use kind coded, or leave calibrate out"),
        ({"r2": 0.9}, "calibrate spends errors where they matter least, .*; give a ratio or bytes"),
        ({"snr": 12.0}, "calibrate spends errors where they matter least, .*; give a ratio or bytes"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(flags: dict[str, object], said: str):
    with pytest.raises(RecipeError, match=said) as caught:
        mined(flags={"calibrate": "agreement", **flags})
    assert "\n" not in str(caught.value)


def test_a_comparison_calibrates_coded_alone():
    what = resolve("compare", flags={"network": "a", "kinds": "coded,svd", "calibrate": "agreement"}).what
    assert isinstance(what, CompareWhat)
    assert {kind: what.config_of(kind).calibrate for kind in what.kinds} == {"coded": "agreement", "svd": None}


@pytest.mark.parametrize("kinds", ["svd,svd", "svd,nosuch", ""])
def test_kinds_that_cannot_be_compared_are_refused(kinds: str):
    with pytest.raises(RecipeError, match="kind"):
        resolve("compare", flags={"network": "a", "kinds": kinds})


def test_a_recipe_without_a_network_says_so():
    with pytest.raises(RecipeError, match="no network is given"):
        resolve("mine")
