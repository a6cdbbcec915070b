"""Trains a classifier of small images: stochastic gradients with momentum, on images that are shifted and mirrored.

The rate rises for the first part of the steps and falls to nothing by a cosine (one cycle: Smith and Topin 2018).
Everything random in an epoch follows from the seed and the number of the epoch, and the rate from the number of the
step: training that goes on from the end of an epoch gives the bytes of training that was never stopped, with the same
number of threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dna_ray.models.precision import in_precision
from dna_ray.models.training_config import TrainingConfig


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over all images.

    Attributes:
        number: From 1.
        loss: Mean of its steps, in nats, smoothed labels and all.
        accuracy: Share of the images, changed as they were, that were told right before the step that they were in.
        rate: Of its last step.
    """

    number: int
    loss: float
    accuracy: float
    rate: float


@dataclass(slots=True)
class Training:
    """A network while it is trained.

    Attributes:
        epochs: That are done.
    """

    model: nn.Module
    config: TrainingConfig
    epochs: int = 0
    optimizer: torch.optim.SGD = field(init=False)

    def __post_init__(self) -> None:
        config, decays = self.config, [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decays, "weight_decay": config.decay},
            {"params": others, "weight_decay": 0.0},
        ]
        nesterov = config.momentum > 0
        self.optimizer = torch.optim.SGD(groups, lr=config.rate, momentum=config.momentum, nesterov=nesterov)

    def state(self) -> dict[str, Tensor]:
        """All that is needed to go on: weights, statistics and momenta, by name."""
        found = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            if "momentum_buffer" in self.optimizer.state[parameter]:
                found[f"momentum.{name}"] = self.optimizer.state[parameter]["momentum_buffer"]
        return found

    def restore(self, state: dict[str, Tensor], *, epochs: int) -> None:
        """Goes back to where `state` was taken, after so many epochs.

        Raises:
            KeyError, RuntimeError: It is that of another network.
        """
        weights = {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}
        self.model.load_state_dict(weights)
        for name, parameter in self.model.named_parameters():
            if epochs and self.config.momentum:
                self.optimizer.state[parameter]["momentum_buffer"] = state[f"momentum.{name}"].to(parameter).clone()
        self.epochs = epochs


def train(training: Training, images: Tensor, labels: Tensor, *, mean: float, deviation: float) -> Iterator[Epoch]:
    """Trains the model where it is, from where it is; yields after each epoch, and leaves it in eval mode at the end.

    Args:
        images: Grey values (n, height, width) uint8, on the CPU.
        labels: (n,) int64.
        mean, deviation: What values in [0, 1] are centred on and divided by.
    """
    config, steps = training.config, ceil(len(images) / training.config.batch)
    device = next(training.model.parameters()).device
    while training.epochs < config.epochs:
        generator = torch.Generator().manual_seed((config.seed << 20) + training.epochs)
        order = torch.randperm(len(images), generator=generator)
        sums = torch.zeros(2, dtype=torch.float64, device=device)
        training.model.train()
        for number, which in enumerate(order.split(config.batch)):
            rate = config.rate_at(training.epochs * steps + number, config.epochs * steps)
            pixels = changed(images[which], config, generator).to(device, torch.float32).unsqueeze_(1)
            pixels = pixels.div_(255).sub_(mean).div_(deviation).contiguous(memory_format=torch.channels_last)
            sums += _step(training, pixels, labels[which].to(device), rate)
        training.epochs += 1
        loss, right = (sums / len(images)).tolist()
        yield Epoch(training.epochs, loss, right, rate)
    training.model.eval()


def changed(images: Tensor, config: TrainingConfig, generator: torch.Generator) -> Tensor:
    """Each image moved within a frame of zeros, half of them in a mirror: (n, height, width) as it came."""
    n, high, wide = images.shape
    if config.shift:
        images = F.pad(images, (config.shift,) * 4)
        down, right = torch.randint(2 * config.shift + 1, (2, n, 1), generator=generator)
        rows, columns = down + torch.arange(high), right + torch.arange(wide)
    else:
        rows, columns = torch.arange(high).expand(n, -1), torch.arange(wide).expand(n, -1)
    if config.mirror:
        columns = torch.where(torch.rand(n, 1, generator=generator) < 0.5, columns, columns.flip(1))
    return images[torch.arange(n).view(n, 1, 1), rows.unsqueeze(2), columns.unsqueeze(1)]


def _step(training: Training, pixels: Tensor, labels: Tensor, rate: float) -> Tensor:
    """Sums over the batch of the loss and of what was told right, (2,)."""
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    with in_precision(training.config.precision, pixels.device):
        logits = training.model(pixels)
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=training.config.smoothing)
    training.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    training.optimizer.step()
    right = (logits.detach().argmax(1) == labels).sum()
    return torch.stack([loss.detach().double() * len(labels), right.double()])
