"""`train-small` on a small Fashion-MNIST, and what is made of what it trains."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from tiny_fashion import CLASSES, SIDE, write_fashion
from tiny_runs import Watcher

from dna_ray.cli import main
from dna_ray.errors import ArtifactError, LockedError, NetworkError, RecipeError, TaskError
from dna_ray.evolution.config import EvolveConfig
from dna_ray.models.samples import TRAINED
from dna_ray.models.training_config import TrainingConfig
from dna_ray.networks import build, load
from dna_ray.recipe import EvolveHow, EvolveRecipe, EvolveWhat
from dna_ray.tracking import lock
from dna_ray.verbs.apply import apply
from dna_ray.verbs.evolve import evolve
from dna_ray.verbs.small_network import TrainSmallResult
from dna_ray.verbs.train_small import train_small

SMALL = TrainingConfig(epochs=3, batch=32, shift=1, mirror=False, rate=0.05)
NOBODY = "http://127.0.0.1:9"  # where no tracking server listens


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fashion(tmp_path_factory.mktemp("fashion"), train=1200, test=200)


@pytest.fixture(autouse=True)
def _places(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DNA_RAY_FASHION_MNIST", str(data))
    monkeypatch.setenv("DNA_RAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def trained(name: str, out: Path, **how: object) -> TrainSmallResult:
    architecture = replace(TRAINED[name].architecture, width=0.125, side=SIDE, classes=CLASSES)
    how = {"threads": 1} | how
    return train_small(name, architecture=architecture, training=SMALL, out=out, **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folders(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {name: tmp_path_factory.mktemp("trained") / name for name in TRAINED}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNA_RAY_FASHION_MNIST", str(data))
        for name, out in found.items():
            trained(name, out)
    return found


@pytest.mark.parametrize("name", TRAINED)
def test_a_network_is_trained_into_an_ordinary_folder(folders: dict[str, Path], name: str):
    folder = folders[name]
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors", "config.json", "preprocessor_config.json", "training.json"
    }  # fmt: skip
    assert [path.name for path in folder.parent.iterdir() if "training" in path.name] == [], "checkpoints are gone"
    card = json.loads((folder / "training.json").read_text())
    assert card["accuracy"]["value"] > 0.8
    assert card["test_images"] == 200
    assert len(card["epochs"]) == 3
    network = load(folder)
    assert network.fingerprint == card["fingerprint"]
    assert network.anatomy.family == "convolutional"
    assert network.anatomy.by_name["stem.conv.weight"].kind == "convolution"
    with torch.inference_mode():
        assert build(network)(torch.zeros(1, 1, SIDE, SIDE)).shape == (1, CLASSES)


@pytest.mark.parametrize("stop_after", [1, 2])
def test_training_that_was_stopped_goes_on_to_the_same_bytes(folders: dict[str, Path], tmp_path: Path, stop_after: int):
    name, out = "resnet18-fashion", tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        trained(name, out, progress=Watcher(stop_after=stop_after))
    assert not out.exists()
    result = trained(name, out)
    assert len(result.epochs) == 3
    for file in ("model.safetensors", "config.json", "preprocessor_config.json"):
        assert (out / file).read_bytes() == (folders[name] / file).read_bytes(), file


def test_a_network_that_is_trained_is_shown_again(folders: dict[str, Path]):
    folder = folders["vgg16bn-fashion"]
    before = (folder / "training.json").stat().st_mtime_ns
    assert trained("vgg16bn-fashion", folder).to_json() == trained("vgg16bn-fashion", folder).to_json()
    assert (folder / "training.json").stat().st_mtime_ns == before


def test_a_sample_is_found_where_it_was_trained(folders: dict[str, Path], tmp_path: Path):
    with pytest.raises(NetworkError, match="not trained here so far; run: dna-ray train-small resnet18$"):
        load("sample:resnet18-fashion")
    shutil.copytree(folders["resnet18-fashion"], tmp_path / "cache" / "trained" / "resnet18-fashion")
    assert load("sample:resnet18-fashion").name == "sample:resnet18-fashion"
    with pytest.raises(NetworkError, match="did you mean sample:mobilenetv2-fashion"):
        load("sample:mobilenet-fashion")


def test_weights_that_were_altered_are_refused(folders: dict[str, Path], tmp_path: Path):
    folder = tmp_path / "altered"
    shutil.copytree(folders["resnet18-fashion"], folder)
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"][0] += 1
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ArtifactError, match="but training left"):
        load(folder)
    (folder / "training.json").write_text("{")
    with pytest.raises(ArtifactError, match="damaged"):
        load(folder)
    assert trained("resnet18-fashion", folder, fresh=True).accuracy.value > 0.8


def test_missing_data_print_the_line_that_installs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DNA_RAY_FASHION_MNIST", str(tmp_path / "nowhere"))
    found = CliRunner().invoke(main, ["train-small", "resnet18"])
    assert found.exit_code == 3
    assert "run: apt-get install dataset-fashion-mnist" in found.output


def test_the_command_trains_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = write_fashion(tmp_path / "fashion", side=28, classes=10)
    monkeypatch.setenv("DNA_RAY_FASHION_MNIST", str(data))
    out = tmp_path / "by-hand"
    options = ["--width", "0.05", "--epochs", "1", "--threads", "1", "--out", str(out), "--json"]
    found = CliRunner().invoke(main, ["train-small", "vgg16bn", *options])
    assert found.exit_code == 0, found.output
    assert load(out).config["width"] == 0.05  # type: ignore[index]


def test_images_of_another_size_or_number_of_classes_are_refused(tmp_path: Path):
    with pytest.raises(TaskError, match="12 x 12 pixels in 4 classes, and resnet18 takes 28 x 28 in 10"):
        train_small("resnet18-fashion")


def test_what_cannot_be_trained_is_said_in_one_line(folders: dict[str, Path], tmp_path: Path):
    with pytest.raises(RecipeError, match="give another network a folder with --out"):
        train_small("resnet18-fashion", training=SMALL)
    (tmp_path / "mine").mkdir()
    for fresh in (False, True):
        with pytest.raises(ArtifactError, match="was not trained here"):
            trained("resnet18-fashion", tmp_path / "mine", fresh=fresh)
    with pytest.raises(ArtifactError, match="trained in another way"):
        train_small("resnet18-fashion", training=SMALL, out=folders["resnet18-fashion"])
    busy = tmp_path / "busy"
    with lock.locked(tmp_path / ".busy.lock", what="busy"), pytest.raises(LockedError):
        trained("resnet18-fashion", busy)


def test_checkpoints_of_another_plan_are_refused(tmp_path: Path):
    out = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        trained("resnet18-fashion", out, progress=Watcher(stop_after=1))
    with pytest.raises(ArtifactError, match="another plan; start over with --fresh"):
        trained("resnet18-fashion", out, threads=2)


@pytest.mark.parametrize("name", TRAINED)
def test_agents_evolve_on_it_with_statistics_that_are_recalibrated(folders: dict[str, Path], tmp_path: Path, name: str):
    config = EvolveConfig(
        sparsity=0.5, skip=0.4, population_size=15, generations=1, batch=15, calibration=32, minibatch=16, rungs=(1, 2)
    )
    how = EvolveHow(workers=0, home=str(tmp_path / "runs"), tracking=NOBODY)
    found = evolve(EvolveRecipe(what=EvolveWhat(network=str(folders[name]), config=config, limit=200), how=how))
    assert found.genes["repair"] == "batch-norm"
    methods = found.to_json()["methods"]
    assert methods["dense"]["accuracy"] > 0.8
    assert 0.4 <= methods["champion"]["skipped"] < 0.9, "counted at output positions"
    applied = apply(found.run, str(folders[name]), out=tmp_path / "sparse", home=tmp_path / "runs")
    assert applied.sparsity == found.sparsity
    sparse = load(tmp_path / "sparse")
    assert sparse.config == load(folders[name]).config
    with torch.inference_mode():
        assert build(sparse)(torch.zeros(1, 1, SIDE, SIDE)).shape == (1, CLASSES)


def test_a_network_of_other_data_is_refused_before_anything_runs(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DNA_RAY_FASHION_MNIST", str(write_fashion(tmp_path / "other", seed=9)))
    how = EvolveHow(workers=0, home=str(tmp_path / "runs"), tracking=NOBODY)
    with pytest.raises(TaskError, match="other data"):
        evolve(EvolveRecipe(what=EvolveWhat(network=str(folders["resnet18-fashion"])), how=how))
