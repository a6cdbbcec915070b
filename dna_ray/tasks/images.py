"""For vision networks: does a network make of images what the original makes of them?

Any images will do to tell two networks apart; those that ship in packages are resized to what the network takes. Where
they are of classes that the network was trained to tell apart, it also says how often the network is right.
Running statistics of batch normalisation are part of a network: nothing here recalibrates them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dna_ray.errors import TaskError
from dna_ray.networks import Network, samples
from dna_ray.tasks import estimates
from dna_ray.tasks.agreement import compare_embeddings, compare_logits
from dna_ray.tasks.config import FEWEST_EXAMPLES, TaskSettings
from dna_ray.tasks.features import check_answers, open_network
from dna_ray.tasks.pictures import has_own_classes, pictures
from dna_ray.tasks.score import Measured, Score
from dna_ray.tasks.task import Task

# Of ImageNet's images: red, green and blue in [0, 1].
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class View:
    """How a network is shown an image: pixels a side, and what each channel in [0, 1] is centred on and divided by."""

    side: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network makes of images.

    Attributes:
        features: What its last linear layer reads, or the mean of the last hidden states where there is no head, at
            unit length, [images, width].
        logits: [images, classes], if it has a head.
    """

    features: Tensor
    logits: Tensor | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The images, and what the original makes of them.

    Attributes:
        images: 0 to 255, uint8: grey [images, height, width], or of three colours [images, 3, height, width].
        labels: Class of each, [images]; None if they have none that the original tells apart.
        source: Which images they are, in words.
    """

    settings: TaskSettings
    images: Tensor
    labels: Tensor | None
    source: str
    view: View
    answers: Answers


def prepare(original: Network, settings: TaskSettings) -> Prepared:
    """Lets the original look at the images.

    Raises:
        TaskError: There are no images, or the network does not look at any.
        NetworkError: The network cannot be built.
    """
    view = view_of(original)
    if has_own_classes(original.config or {}, settings):
        found = pictures(original.config or {}, settings, split=settings.split, limit=settings.limit)
        answers = _look(original, found.pixels, view, settings)
        told_apart = answers.logits is not None and answers.logits.shape[1] == found.classes
        source = f"{settings.split} split of {found.source}"
        return Prepared(settings, found.pixels, found.labels if told_apart else None, source, view, answers)
    pixels, _, source = samples.images(settings.limit)
    if len(pixels) < FEWEST_EXAMPLES:
        raise TaskError(f"{source}: {len(pixels)} images, but a score needs {FEWEST_EXAMPLES}")
    images = torch.from_numpy(pixels.copy())
    source = f"images of {source}, resized to {view.side} x {view.side}"
    return Prepared(settings, images, None, source, view, _look(original, images, view, settings))


def score(prepared: Prepared, network: Network) -> Score:
    """Lets `network` look at the same images.

    Raises:
        TaskError: It answers with NaN, or in another shape than the original.
        NetworkError: It cannot be built.
    """
    original = prepared.answers
    answers = _look(network, prepared.images, prepared.view, prepared.settings, like=original)
    metrics, notes = compare_embeddings(original.features, answers.features)
    if original.logits is not None and answers.logits is not None:
        metrics |= compare_logits(original.logits, answers.logits)
        if prepared.labels is not None:
            metrics = _accuracy(original.logits, answers.logits, prepared.labels) | metrics
    return Score(
        task="images",
        subject=network.fingerprint,
        n=len(prepared.images),
        metrics=metrics,
        notes=(prepared.source, *notes),
    )


def _accuracy(original: Tensor, subject: Tensor, labels: Tensor) -> dict[str, Measured]:
    """Metrics of two sets of logits of the same labelled images; the difference is paired, image by image."""
    right, right_of_original = ((logits.argmax(-1) == labels).double() for logits in (subject, original))
    return {
        "accuracy": estimates.mean(right),
        "accuracy_of_original": estimates.mean(right_of_original),
        "difference": estimates.mean(right - right_of_original),
    }


def view_of(network: Network) -> View:
    """The size from its config; mean and deviation from its preprocessor_config.json, or else those of ImageNet.

    Raises:
        TaskError: It takes no image, or one of other than three channels.
    """
    config = network.config or {}
    if not looks(config):
        raise TaskError(f"{network.name}: does not look at images (its config says so); choose --task agreement")
    channels = config.get("num_channels", 3)
    if channels not in (1, 3):
        raise TaskError(f"{network.name}: takes images of {channels} channels; task 'images' has those of 1 and 3 only")
    file = next((file for file in network.files if file.name == "preprocessor_config.json"), None)
    processor: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file else {}
    side = config.get("image_size", 224)
    return View(
        side if isinstance(side, int) else max(side),
        tuple(processor.get("image_mean", MEAN[:channels])),
        tuple(processor.get("image_std", DEVIATION[:channels])),
    )


def looks(config: Mapping[str, Any]) -> bool:
    """Whether a network with this config looks at images, and at nothing else."""
    return "vocab_size" not in config and ("num_channels" in config or "image_size" in config)


def show(images: Tensor, view: View) -> Tensor:
    """What a network reads, [n, channels, side, side], of 0 to 255: grey [n, h, w], or in colours [n, 3, h, w].

    Grey images are shown to a network that takes colours in all three of them.
    """
    pixels = (images.unsqueeze(1) if images.ndim == 3 else images).float() / 255
    if pixels.shape[-2:] != (view.side, view.side):
        pixels = F.interpolate(pixels, size=(view.side, view.side), mode="bilinear", antialias=True)
    return (pixels - torch.tensor(view.mean).view(-1, 1, 1)) / torch.tensor(view.deviation).view(-1, 1, 1)


@torch.inference_mode()
def _look(
    network: Network, images: Tensor, view: View, settings: TaskSettings, *, like: Answers | None = None
) -> Answers:
    model = open_network(network, settings)
    # Channels last: a large batch through depthwise convolutions takes a quarter less time on CPUs.
    answers = [
        _answer(network, model, show(batch, view).to(settings.device, memory_format=torch.channels_last))
        for batch in images.split(settings.batch_size)
    ]
    features = check_answers(network, torch.cat([a.features for a in answers]), like=like.features if like else None)
    if any(a.logits is None for a in answers):
        return Answers(F.normalize(features, dim=-1), None)
    logits = torch.cat([a.logits for a in answers if a.logits is not None])
    return Answers(F.normalize(features, dim=-1), check_answers(network, logits, like=like.logits if like else None))


def _answer(network: Network, model: nn.Module, pixels: Tensor) -> Answers:
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    read: list[Tensor] = []
    hooks = [layer.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0])) for layer in linears[-1:]]
    output = model(pixels)
    for hook in hooks:
        hook.remove()
    if isinstance(output, Tensor):
        return Answers(_pool(read[-1] if read else output).cpu(), output.cpu())
    if "logits" in output:
        return Answers(_pool(read[-1] if read else output["logits"]).cpu(), output["logits"].cpu())
    if "last_hidden_state" in output:
        hidden = output["last_hidden_state"]
        # [B, C, H, W] of a convolutional network, [B, T, D] of a transformer
        return Answers((hidden.mean((2, 3)) if hidden.ndim == 4 else hidden.mean(1)).cpu(), None)
    raise TaskError(f"{network.name}: gives neither logits nor hidden states, so task 'images' cannot judge it")


def _pool(features: Tensor) -> Tensor:
    return features if features.ndim == 2 else features.flatten(1, -2).mean(1)


TASK = Task(prepare, score)
