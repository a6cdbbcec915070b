"""ResNet-18 with the stem for small images (He et al. 2016, "Deep residual learning", section 4.2 for the stem)."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from dna_ray.models.architecture import Architecture
from dna_ray.models.layers import ConvNorm

_STAGES = (64, 128, 256, 512)  # channels; each but the first halves the image
_BLOCKS = 2  # in a stage


class BasicBlock(nn.Module):
    """Two convolutions, and what went in added to what comes out."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, stride=stride)
        self.second = ConvNorm(outputs, outputs, 3)
        same = stride == 1 and inputs == outputs
        self.shortcut: nn.Module = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


class ResNet18(nn.Module):
    """Images (n, channels, side, side) -> logits (n, classes). Each of the last three stages halves the image."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        widths = [architecture.scaled(channels) for channels in _STAGES]
        self.stem = ConvNorm(architecture.channels, widths[0], 3)
        self.stages = nn.Sequential()
        for number, (inputs, outputs) in enumerate(pairwise([widths[0], *widths])):
            first = BasicBlock(inputs, outputs, stride=2 if number else 1)
            rest = [BasicBlock(outputs, outputs, stride=1) for _ in range(_BLOCKS - 1)]
            self.stages.append(nn.Sequential(first, *rest))
        self.classifier = nn.Linear(widths[-1], architecture.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(F.relu(self.stem(x)))
        return self.classifier(x.mean((2, 3)))
