"""What training leaves: an ordinary model folder with a card, and what is shown of it."""

import json
import platform
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import RenderableType
from torch import Tensor, nn

from dna_ray.errors import ArtifactError
from dna_ray.models.architecture import Architecture
from dna_ray.models.architectures import make
from dna_ray.models.counting import multiply_adds
from dna_ray.models.samples import DATASET
from dna_ray.models.training_config import TrainingConfig
from dna_ray.networks import from_state_dict, save
from dna_ray.networks.trained import CARD, FORMAT, read_card
from dna_ray.tasks import Measured, TaskSettings
from dna_ray.tasks import evaluate as judge
from dna_ray.tasks.pictures import Pictures
from dna_ray.verbs.result import count, duration, plain

_PREPROCESSOR = "preprocessor_config.json"
_EVERY_IMAGE = 10**9


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSmallResult:
    """What was trained.

    Attributes:
        network: What to call it: `sample:NAME`, or its folder.
        folder: Where it lies.
        accuracy: On the images for tests, which training has not seen.
        parameters: Weights, norms and biases.
        multiply_adds: Of one image.
        epochs: Loss and share told right of the images for training, one an epoch.
        seconds: Of training.
        card: All that is written down of it.
    """

    network: str
    folder: str
    accuracy: Measured
    parameters: int
    multiply_adds: int
    epochs: tuple[dict[str, float], ...]
    seconds: float
    card: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __rich__(self) -> RenderableType:
        error = f" +- {self.accuracy.stderr:.4f}" if self.accuracy.stderr is not None else ""
        return plain(
            f"{self.folder}: {self.card['architecture']['name']}, width {self.card['architecture']['width']:g}\n"
            f"accuracy       {self.accuracy.value:.4f}{error} on {self.card['test_images']:,} images not trained on\n"
            f"parameters     {self.parameters:,}\n"
            f"multiply-adds  {self.multiply_adds:,} an image\n"
            f"trained        {count(len(self.epochs), 'epoch')} in {duration(self.seconds)}\n"
            f"evolve         dna-ray evolve {self.network}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """How a network was trained.

    Attributes:
        images: It was trained on.
        dataset: sha256 of the data set that they are of, in hex.
        epochs: Loss, accuracy and rate of each.
        threads: Of torch.
        device: Where.
    """

    architecture: Architecture
    training: TrainingConfig
    images: Pictures
    dataset: str
    epochs: list[dict[str, float]]
    seconds: float
    threads: int
    device: torch.device


def publish(model: nn.Module, history: History, folder: Path) -> None:
    """Judges the network on the images for tests, and writes its folder, which appears when it is complete."""
    mean, deviation = scale_of(history.images)
    weights: dict[str, Tensor] = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    config = history.architecture.to_config() | {"dataset": {"name": DATASET, "sha256": history.dataset}}
    with tempfile.TemporaryDirectory() as scratch:
        preprocessor, written = Path(scratch) / _PREPROCESSOR, Path(scratch) / CARD
        preprocessor.write_text(json.dumps({"image_mean": [mean], "image_std": [deviation]}) + "\n", encoding="utf-8")
        network = from_state_dict(weights, name=history.architecture.name, config=config, files=[preprocessor])
        settings = TaskSettings(limit=_EVERY_IMAGE, batch_size=250, device=str(history.device))
        scored = judge(network, "images", original=network, settings=settings)
        card = {
            "format": FORMAT,
            "fingerprint": network.fingerprint,
            "accuracy": asdict(scored.metrics["accuracy"]),
            "test_images": scored.n,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            **_told(history),
        }
        written.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        tensors = ((info.name, weights[info.name]) for info in network.anatomy)
        save(tensors, folder, anatomy=network.anatomy, config=config, files=[preprocessor, written])


def scale_of(pictures: Pictures) -> tuple[float, float]:
    """Mean and deviation of the values in [0, 1] that are trained on, in four digits, as a folder has them."""
    counts = torch.bincount(pictures.pixels.flatten(), minlength=256).double()
    levels, shares = torch.arange(256, dtype=torch.float64) / 255, counts / counts.sum()
    mean = float((levels * shares).sum())
    return round(mean, 4), round(float(((levels - mean).square() * shares).sum().sqrt()), 4)


def read_result(name: str, folder: Path) -> TrainSmallResult:
    """What is written down of a network that was trained here.

    Raises:
        ArtifactError: It is damaged.
    """
    try:
        card = read_card(folder) or {}
        return TrainSmallResult(
            network=name,
            folder=str(folder),
            accuracy=Measured(**card["accuracy"]),
            parameters=card["parameters"],
            multiply_adds=card["multiply_adds"],
            epochs=tuple(card["epochs"]),
            seconds=card["seconds"],
            card=card,
        )
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / CARD}: damaged ({error!r}); train the network again with --fresh") from error


def _told(history: History) -> dict[str, Any]:
    return {
        "multiply_adds": _work(history.architecture),
        "architecture": asdict(history.architecture),
        "training": asdict(history.training),
        "dataset": {"name": DATASET, "sha256": history.dataset},
        "training_images": len(history.images),
        "epochs": history.epochs,
        "seconds": round(history.seconds, 1),
        "threads": history.threads,
        "device": str(history.device),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }


def _work(architecture: Architecture) -> int:
    """Multiply-adds of one image."""
    model = make(architecture).eval()
    one = torch.zeros(1, architecture.channels, architecture.side, architecture.side)
    return multiply_adds(model, lambda: model(one))
