import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_config import TINY

from dna_ray.errors import TaskError
from dna_ray.networks import Network
from dna_ray.tasks import images
from dna_ray.tasks.config import TaskSettings

RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
NETWORKS = {
    "ViTForImageClassification": {**TINY, "image_size": 32, "patch_size": 8, "num_labels": 5},
    "ViTModel": {**TINY, "image_size": 32, "patch_size": 8},
    "ResNetForImageClassification": {**RESNET, "num_labels": 5},
    "ResNetModel": RESNET,
}
SETTINGS = TaskSettings(limit=12, batch_size=8)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_original_agrees_with_itself_and_a_disturbed_one_less(
    architecture: str, tiny: Callable[..., Network], disturb: Callable[..., Network]
):
    original = tiny(architecture, **NETWORKS[architecture])
    prepared = images.prepare(original, SETTINGS)
    same = images.score(prepared, original).metrics
    less = images.score(prepared, disturb(original, 1.0)).metrics

    assert ("kl" in same) == ("same_top" in same) == architecture.endswith("Classification")
    for name, perfect in same.items():
        assert perfect.value == pytest.approx(0.0 if name == "kl" else 1.0, abs=1e-6)
    assert less["cosine"].value < 0.9999
    assert less["rank_correlation"].value < 0.999
    if "kl" in less:
        assert less["kl"].value > 0


@pytest.mark.samples
def test_efficientnet_agrees_with_itself():
    pytest.importorskip("efficientnet_lite_pytorch", reason="make samples installs it")
    from dna_ray.networks import load

    network = load("sample:effnet")
    score = images.score(images.prepare(network, SETTINGS), network)
    assert score.metrics["same_top"].value == 1
    assert score.metrics["kl"].value == pytest.approx(0, abs=1e-9)


def test_statistics_of_batch_normalisation_are_part_of_the_network(tiny: Callable[..., Network]):
    from dna_ray.networks import from_state_dict

    original = tiny("ResNetForImageClassification", **NETWORKS["ResNetForImageClassification"])
    weights = {info.name: original.read(info.name) for info in original.anatomy}
    weights |= {name: weight * 4 for name, weight in weights.items() if name.endswith("running_var")}
    subject = from_state_dict(weights, name="subject", config=original.config)
    assert images.score(images.prepare(original, SETTINGS), subject).metrics["kl"].value > 0


def test_images_are_shown_as_the_network_takes_them(tiny: Callable[..., Network], tmp_path: Path):
    network = tiny("ViTModel", **NETWORKS["ViTModel"])
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    view = images.view_of(replace(network, files=(tmp_path / "preprocessor_config.json",)))
    shown = images.show(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1).expand(2, 28, 28), view)
    assert shown.shape == (2, 3, 32, 32)
    torch.testing.assert_close(shown[0], torch.full((3, 32, 32), -1.0))
    torch.testing.assert_close(shown[1], torch.full((3, 32, 32), 1.0))


def test_imagenets_mean_and_deviation_are_the_default(tiny: Callable[..., Network]):
    view = images.view_of(tiny("ViTModel", **NETWORKS["ViTModel"]))
    assert view == images.View(32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_a_language_network_does_not_look_at_images(minilm: Network):
    with pytest.raises(TaskError, match="does not look at images .* choose --task agreement"):
        images.prepare(minilm, SETTINGS)


def test_channels_other_than_one_and_three_are_refused(tiny: Callable[..., Network]):
    network = tiny("ViTModel", **NETWORKS["ViTModel"], num_channels=2)
    with pytest.raises(TaskError, match="takes images of 2 channels"):
        images.prepare(network, SETTINGS)
