"""Trains one of the small convolutional networks on Fashion-MNIST, into an ordinary model folder."""

import hashlib
import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from dna_ray.errors import ArtifactError, RecipeError, TaskError
from dna_ray.mining import checkpoints
from dna_ray.models.architecture import Architecture
from dna_ray.models.architectures import make
from dna_ray.models.samples import TRAINED, sample_of
from dna_ray.models.training import Training, train
from dna_ray.models.training_config import TrainingConfig
from dna_ray.networks import fashion_mnist, load
from dna_ray.networks.samples import trained_folder
from dna_ray.networks.trained import CARD, read_card
from dna_ray.tasks.pictures import Pictures, training_pictures
from dna_ray.tasks.threads import threads_of_torch
from dna_ray.tracking import lock
from dna_ray.verbs.progress import Progress, Silent
from dna_ray.verbs.small_network import History, TrainSmallResult, publish, read_result, scale_of
from dna_ray.verbs.train import device_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What is to be trained, and where it goes.

    Attributes:
        folder: Of the finished network.
        threads: Of torch; the bytes depend on how many.
    """

    architecture: Architecture
    training: TrainingConfig
    folder: Path
    device: torch.device
    threads: int

    @property
    def checkpoints(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.training")

    def plan(self, dataset: str) -> str:
        """Identifies what is computed: a checkpoint of another plan is not gone on from."""
        values = [asdict(self.architecture), asdict(self.training), dataset, self.threads, self.device.type]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def train_small(
    sample: str,
    *,
    architecture: Architecture | None = None,
    training: TrainingConfig | None = None,
    out: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> TrainSmallResult:
    """Trains a network, or goes on where the same call was stopped, at the last epoch; shows it again once it is done.

    Args:
        sample: One of `TRAINED`, or its architecture.
        architecture, training: Instead of those of the sample; then `out` says where the network goes.
        out: A new folder; None: where `sample:NAME` is looked for.
        threads: Of torch; None: as many as it would take.
        fresh: Forgets what an earlier call left.

    Raises:
        TaskError: Fashion-MNIST is not installed (names the line that installs it), or does not fit the network.
        RecipeError: Something other than the sample is to be trained, and no `out` is given.
        ArtifactError: The data or a checkpoint are damaged, or the folder holds another network.
        LockedError: Another process trains it.
        KeyboardInterrupt: `progress` asked to stop.
    """
    progress, sample = progress or Silent(), sample_of(sample)
    order = _order(sample, architecture, training, out, device, threads)
    order.folder.parent.mkdir(parents=True, exist_ok=True)
    with lock.locked(order.folder.with_name(f".{order.folder.name}.lock"), what=str(order.folder)):
        name = str(order.folder) if out else f"sample:{sample}"
        if fresh:
            _forget(order)
        elif order.folder.exists():
            return _again(order, name, progress)
        with progress.stage("read"):
            pictures, dataset = _fitting(training_pictures(), order.architecture), fashion_mnist.fingerprint()
        with threads_of_torch(order.threads):
            model, history = _trained(order, pictures, dataset, progress)
            with progress.stage("judge"):
                publish(model, history, order.folder)
        shutil.rmtree(order.checkpoints, ignore_errors=True)
    return read_result(name, order.folder)


def _order(
    sample: str,
    architecture: Architecture | None,
    training: TrainingConfig | None,
    out: Path | None,
    device: str,
    threads: int | None,
) -> Order:
    known = TRAINED[sample]
    changed = (architecture or known.architecture, training or known.training) != (known.architecture, known.training)
    if changed and out is None:
        raise RecipeError(f"sample:{sample} is trained in one way only; give another network a folder with --out")
    return Order(
        architecture=architecture or known.architecture,
        training=training or known.training,
        folder=(out or trained_folder(sample)).absolute(),
        device=device_of(device),
        threads=threads or torch.get_num_threads(),
    )


def _fitting(pictures: Pictures, architecture: Architecture) -> Pictures:
    """The images, where they are of the size and the number of classes that the network takes."""
    side, classes = architecture.side, architecture.classes
    if tuple(pictures.pixels.shape[1:]) != (side, side) or pictures.classes != classes:
        size = " x ".join(map(str, pictures.pixels.shape[1:]))
        raise TaskError(
            f"{fashion_mnist.folder()}: images of {size} pixels in {pictures.classes} classes, and "
            f"{architecture.name} takes {side} x {side} in {classes}; name another folder in {fashion_mnist.VARIABLE}"
        )
    return pictures


def _forget(order: Order) -> None:
    if order.folder.exists() and not (order.folder / CARD).is_file():  # a damaged one may go
        raise ArtifactError(f"{order.folder}: was not trained here, and stays; give another folder with --out")
    for folder in (order.folder, order.checkpoints):
        shutil.rmtree(folder, ignore_errors=True)


def _again(order: Order, name: str, progress: Progress) -> TrainSmallResult:
    card = read_card(order.folder)
    if card is None:
        raise ArtifactError(f"{order.folder}: exists, and was not trained here; give another folder with --out")
    if (card["architecture"], card["training"]) != (asdict(order.architecture), asdict(order.training)):
        raise ArtifactError(
            f"{order.folder}: holds a network that was trained in another way; give another folder with --out, or "
            "train it again with --fresh"
        )
    load(order.folder)  # are they the weights that training left?
    progress.note("this network is trained: it is shown again; --fresh starts over")
    return read_result(name, order.folder)


def _trained(order: Order, pictures: Pictures, dataset: str, progress: Progress) -> tuple[nn.Module, History]:
    """The network, and how it was trained, before the last interruption too."""
    plan = order.plan(dataset)
    model = make(order.architecture, seed=order.training.seed)
    model.to(order.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    training = Training(model, order.training)
    epochs, seconds = _resumed(order, training, plan)
    mean, deviation = scale_of(pictures)
    total, start = order.training.epochs, time.monotonic()
    with progress.stage("train", total=total, unit="epoch", done=len(epochs)) as stage:
        for epoch in train(training, pictures.pixels, pictures.labels, mean=mean, deviation=deviation):
            seconds, start = seconds + time.monotonic() - start, time.monotonic()
            epochs.append({"loss": epoch.loss, "accuracy": epoch.accuracy, "rate": epoch.rate})
            reached = {"plan": plan, "step": epoch.number, "epochs": epochs, "seconds": seconds}
            checkpoints.write(order.checkpoints, epoch.number, training.state(), reached)
            checkpoints.drop_old(order.checkpoints)
            stage.advance(1, loss=epoch.loss, accuracy=epoch.accuracy)
            if progress.stopping and epoch.number < total:
                raise KeyboardInterrupt
    history = History(
        architecture=order.architecture,
        training=order.training,
        images=pictures,
        dataset=dataset,
        epochs=epochs,
        seconds=seconds,
        threads=order.threads,
        device=order.device,
    )
    return model.eval(), history


def _resumed(order: Order, training: Training, plan: str) -> tuple[list[dict[str, float]], float]:
    """Puts training where the newest checkpoint left it; the epochs so far, and the seconds that they took."""
    saved = checkpoints.saved_steps(order.checkpoints)
    if not saved:
        return [], 0.0
    state, progress = checkpoints.read(order.checkpoints, saved[-1])
    checkpoints.check_plan(order.checkpoints, saved[-1], progress, plan=plan)
    try:
        training.restore(state, epochs=saved[-1])
    except (KeyError, RuntimeError) as error:
        raise ArtifactError(f"{order.checkpoints}: does not fit the network ({error}); start with --fresh") from error
    return list(progress["epochs"]), float(progress["seconds"])
