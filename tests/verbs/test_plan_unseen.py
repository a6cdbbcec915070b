"""Plans of networks that are out of reach, from their shapes alone; and the recipes of `jobs/`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from dna_ray.cli import main
from dna_ray.errors import NetworkError
from dna_ray.mining.config import MineConfig
from dna_ray.mining.functions import assemble, precision_for
from dna_ray.mining.holding import holding
from dna_ray.mining.planning import plan_learned
from dna_ray.mining.tiles import tiles
from dna_ray.networks import Anatomy, TensorInfo
from dna_ray.networks.published import PUBLISHED, UNSEEN, load_or_shapes
from dna_ray.recipe import MineRecipe, read_recipe
from dna_ray.verbs.plan_unseen import random_spectra, traffic

RECIPES = sorted((Path(__file__).parents[2] / "jobs" / "recipes").glob("*.yaml"))
# Numbers of parameters of the published files, tied ones once.
SIZES = {
    "google-bert/bert-base-uncased": 110_106_428,
    "FacebookAI/roberta-base": 124_697_433,
    "openai-community/gpt2-xl": 1_557_611_200,
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def planned(recipe: Path, *options: str) -> dict[str, object]:
    done = CliRunner().invoke(main, ["run", str(recipe), "--dry-run", "--json", "-q", *options])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes_are_those_that_are_published_and_there_are_no_values(name: str):
    network, said = load_or_shapes(name)
    assert said == UNSEEN
    assert sum(info.size for info in network.anatomy) == SIZES[name]
    with pytest.raises(NetworkError, match="only the shape is known"):
        network.read(network.anatomy.tensors[0].name)


def test_a_network_of_unknown_shape_stays_an_error():
    with pytest.raises(NetworkError):
        load_or_shapes("nobody/nothing")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_of_the_jobs_say_what_they_are_about(recipe: Path):
    assert recipe.read_text().startswith("# ")
    what = read_recipe(recipe).what
    assert recipe.stem.rpartition("-")[2] in (getattr(what, "network", None) or what.x)


@pytest.mark.parametrize(
    "recipe", [path for path in RECIPES if path.stem.endswith(("uncased", "roberta-base"))], ids=lambda path: path.stem
)
def test_the_recipes_for_gpu_nodes_have_a_plan_that_says_what_it_rests_on(recipe: Path):
    if isinstance(read_recipe(recipe), MineRecipe):
        plan = planned(recipe)
        assert plan["file_bytes"] == int(float(str(plan["fp32_bytes"])) / read_recipe(recipe).what.config.ratio)
    else:
        plan = planned(recipe)
        assert plan["evaluations"] == 100_000
    assert UNSEEN in plan["assumed"]


def test_a_plan_for_many_gpus_says_memory_traffic_and_time():
    (recipe,) = [path for path in RECIPES if path.stem == "bert-base-uncased"]
    sines = ("--set", "what.kind=spectral", "--set", "what.heal=null", "--set", "what.ratio=22")
    many, one = planned(recipe, *sines), planned(recipe, *sines, "--set", "how.workers=1")
    assert many["traffic"]
    assert one["traffic"] == 0
    assert many["cost"]["worker_bytes"] < one["cost"]["worker_bytes"]
    assert many["seconds"] > many["cost"]["steps"] * many["traffic"] / 1e10, "what is sent takes its time"


def test_planned_traffic_is_what_a_worker_gives_to_sums():
    anatomy = Anatomy("none", tuple(TensorInfo(name=n, dtype="F32", shape=(600, 384), kind="ffn_in") for n in "abc"))
    config = MineConfig(kind="spectral")
    shape = plan_learned(anatomy, random_spectra(anatomy), anatomy.fp32_bytes // 8, config)
    held = holding(tiles(shape.bands(anatomy)), anatomy, 0, of=2)
    functions = assemble(shape, anatomy, precision_for("float32", torch.device("cpu")), held=held)
    gradients, _ = functions.gradients()
    assert held.cols.shared
    assert traffic(shape, anatomy, workers=2) == sum(x.nbytes for x in [*gradients, *functions.shared_places()])


@pytest.mark.parametrize("shape", [(96, 96), (96, 384), (3840, 96)], ids=str)
def test_random_matrices_have_the_singular_values_that_are_assumed_of_them(shape: tuple[int, int]):
    (spectrum,) = random_spectra(Anatomy("none", (TensorInfo(name="w", dtype="F32", shape=shape, kind="ffn_in"),)))
    found = np.linalg.svd(np.random.default_rng(0).normal(size=shape), compute_uv=False)
    assert np.abs(spectrum - found).max() < 0.02 * found.max()
    assert (spectrum**2).sum() == pytest.approx((found**2).sum(), rel=0.02)
