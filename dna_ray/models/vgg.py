"""VGG-16 with batch norms (Simonyan and Zisserman 2015, configuration D; Ioffe and Szegedy 2015).

For small images the three linear layers of the paper, made for 7 x 7 places, are one: as is usual on CIFAR (Liu and
Deng 2015; Li et al. 2017).
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from dna_ray.models.architecture import Architecture
from dna_ray.models.layers import ConvNorm

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions; each halves the image


class Vgg16Bn(nn.Module):
    """Images (n, channels, side, side) -> logits (n, classes)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        widths = [[architecture.scaled(channels)] * layers for channels, layers in _STAGES]
        first, *rest = widths
        self.stem = ConvNorm(architecture.channels, first[0], 3)
        self.stages = nn.ModuleList()
        last = first.pop()
        for stage in (first, *rest):
            self.stages.append(nn.ModuleList(ConvNorm(n, m, 3) for n, m in pairwise([last, *stage])))
            last = stage[-1]
        self.classifier = nn.Linear(last, architecture.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            for layer in stage:
                x = F.relu(layer(x))
            x = F.max_pool2d(x, 2, ceil_mode=True)  # an odd side would lose its last pixels, and 28 all of them
        return self.classifier(x.mean((2, 3)))
