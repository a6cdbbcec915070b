from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_fashion import CLASSES, SIDE, write_fashion

from dna_ray.errors import TaskError
from dna_ray.models.architecture import Architecture
from dna_ray.models.architectures import make
from dna_ray.networks import Network, fashion_mnist, from_state_dict
from dna_ray.tasks import evaluate
from dna_ray.tasks.config import SPLIT_SHARES, TaskSettings
from dna_ray.tasks.image_folder import list_images, read_images
from dna_ray.tasks.pictures import Pictures, pictures, training_pictures

PIL = pytest.importorskip("PIL.Image")


@pytest.fixture
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The config of a network that was trained on the data set in the folder that the environment names."""
    monkeypatch.setenv("DNA_RAY_FASHION_MNIST", str(write_fashion(tmp_path / "fashion", train=1200)))
    config = Architecture(name="resnet18", width=0.125, channels=1, side=SIDE, classes=CLASSES).to_config()
    return config | {"dataset": {"name": "fashion-mnist", "sha256": fashion_mnist.fingerprint()}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of 60 images, each of a colour of its own; one class folder has folders in it."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("n02", "n01", "n03/more")):
        (tmp_path / "val" / name).mkdir(parents=True)
        for place in range(60):
            pixels = rng.integers(0, 60, (30, 40, 3), dtype=np.uint8)
            pixels[..., number] += 180
            suffix = ("png", "JPEG", "bmp")[place % 3]
            PIL.fromarray(pixels).save(tmp_path / "val" / name / f"{place}.{suffix}")
    (tmp_path / "val" / "n01" / "notes.txt").write_text("no image")
    (tmp_path / "val" / "labels.csv").write_text("no class")
    return tmp_path / "val"


def keys(found: Pictures) -> set[bytes]:
    return {image.numpy().tobytes() for image in found.pixels}


def network(config: dict[str, object]) -> Network:
    module = make(Architecture.from_config(config))
    return from_state_dict(module.state_dict(), name="small", config=config)


def test_splits_of_a_network_that_was_trained_here_are_disjoint_and_test_is_the_data_sets_own(fashion: dict):
    found = {split: pictures(fashion, TaskSettings(), split=split) for split in SPLIT_SHARES}
    seen = [keys(each) for each in found.values()]
    assert len(set().union(*seen)) == sum(map(len, seen)) == 1260
    assert keys(found["test"]) == {image.tobytes() for image in fashion_mnist.read("test").pixels}
    assert len(found["training"]) == pytest.approx(1200 * 9 / 12, rel=0.1)
    assert {len(found[name]) for name in ("calibration", "validation", "healing")} <= set(range(60, 150))
    assert keys(training_pictures()) == keys(found["training"])


def test_an_image_that_is_in_two_parts_is_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_fashion(tmp_path, train=400, test=400)
    for part in ("images-idx3", "labels-idx1"):
        content = (folder / f"t10k-{part}-ubyte.gz").read_bytes()
        (folder / f"train-{part}-ubyte.gz").write_bytes(content)
    monkeypatch.setenv("DNA_RAY_FASHION_MNIST", str(folder))
    with pytest.raises(TaskError, match="0 images in split 'training'"):
        training_pictures()


def test_labels_stay_with_their_images(fashion: dict):
    for split in ("validation", "test"):
        found = pictures(fashion, TaskSettings(seed=3), split=split)
        rows = found.pixels.double().mean(2)
        assert torch.equal(rows.argmax(1) // 3, found.labels)
        assert found.classes == CLASSES


def test_the_seed_draws_and_the_limit_cuts(fashion: dict):
    one, same, other = (pictures(fashion, TaskSettings(seed=s), split="validation", limit=30) for s in (0, 0, 1))
    assert len(one) == 30
    assert torch.equal(one.pixels, same.pixels)
    assert keys(one) != keys(other)


def test_other_data_than_a_network_was_trained_on_are_refused(
    fashion: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DNA_RAY_FASHION_MNIST", str(write_fashion(tmp_path / "other", seed=1)))
    with pytest.raises(TaskError, match="holds other data .* than those that the network was trained on"):
        pictures(fashion, TaskSettings(), split="test")


def test_a_network_without_a_data_set_is_shown_any_images():
    found = pictures({"num_channels": 3}, TaskSettings(), split="test", limit=50)
    assert len(found) == 50
    assert found.classes == 10


def test_the_task_says_how_often_a_network_is_right(fashion: dict):
    original = network(fashion)
    score = evaluate(original, "images", original=original, settings=TaskSettings(limit=60))
    assert next(iter(score.metrics)) == "accuracy"
    assert score.metrics["accuracy"] == score.metrics["accuracy_of_original"]
    assert score.metrics["difference"].value == 0
    assert score.metrics["accuracy"].stderr is not None
    assert score.metrics["kl"].value == pytest.approx(0, abs=1e-9)
    assert score.n == 60
    assert score.notes[0] == "test split of Fashion-MNIST"


def test_a_folder_of_class_folders_is_labelled_by_their_sorted_names(folder: Path):
    found = list_images(folder)
    assert found.classes == ("n01", "n02", "n03")
    assert len(found.files) == 180
    pixels, labels = read_images(found, [0, 60, 120], side=16)
    assert pixels.shape == (3, 3, 16, 16)
    assert labels.tolist() == [0, 1, 2]
    assert pixels.double().mean((2, 3)).argmax(1).tolist() == [1, 0, 2]


def test_images_of_a_folder_are_resized_and_cut_out_of_the_middle(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pixels = np.zeros((64, 128, 3), dtype=np.uint8)
        pixels[:, 40:88] = 255  # what is left of the sides is black
        PIL.fromarray(pixels).save(tmp_path / name / "wide.png")
    pixels, _ = read_images(list_images(tmp_path), [0], side=28)
    assert pixels.shape == (1, 3, 28, 28)
    assert (pixels[0, :, :, 5:23] == 255).all(), "32 of 64 pixels wide, of which 24 are white, and 28 are cut out"
    assert (pixels[0, :, :, 0] == 0).all()
    grey, _ = read_images(list_images(tmp_path), [1], side=28, grey=True)
    assert torch.equal(grey[0], pixels[0, 0])


def test_splits_of_a_folder_follow_from_names_and_are_disjoint(folder: Path):
    settings = TaskSettings(images=folder)
    config = {"num_channels": 3, "image_size": 16}
    found = {split: pictures(config, settings, split=split) for split in ("calibration", "validation", "test")}
    seen = [keys(each) for each in found.values()]
    assert len(set().union(*seen)) == sum(map(len, seen))
    assert {each.classes for each in found.values()} == {3}


def test_a_network_is_judged_on_a_folder(folder: Path):
    config = Architecture(name="mobilenetv2", width=0.125, side=16, classes=3).to_config()
    score = evaluate(network(config), "images", original=network(config), settings=TaskSettings(images=folder))
    assert "accuracy" in score.metrics
    other = Architecture(name="mobilenetv2", width=0.125, side=16, classes=5).to_config()
    score = evaluate(network(other), "images", original=network(other), settings=TaskSettings(images=folder))
    assert "accuracy" not in score.metrics, "it tells five classes apart, and the folder has three"


@pytest.mark.parametrize(
    ("make_folder", "said"),
    [
        (lambda root: None, "cannot be read"),
        (lambda root: root.mkdir(), "0 images in 0 class folders"),
        (lambda root: (root / "only").mkdir(parents=True), "0 images in 1 class folders"),
    ],
)
def test_a_folder_without_classes_is_refused(tmp_path: Path, make_folder, said: str):
    make_folder(tmp_path / "val")
    with pytest.raises(TaskError, match=said):
        list_images(tmp_path / "val")


def test_a_file_that_is_no_image_is_named(folder: Path):
    (folder / "n01" / "0.png").write_bytes(b"no image")
    found = list_images(folder)
    with pytest.raises(TaskError, match=r"n01/0\.png: is no image"):
        read_images(found, range(len(found.files)), side=16)
