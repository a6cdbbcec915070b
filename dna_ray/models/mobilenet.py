"""MobileNetV2 for small images (Sandler et al. 2018, "Inverted residuals and linear bottlenecks").

Of its five strides the first is left out, as an image of 32 pixels has none to spare.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from dna_ray.models.architecture import Architecture
from dna_ray.models.layers import ConvNorm

# Table 2 of the paper: expansion, channels, blocks, stride of the first block. The stem's stride, 2 there, is 1.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_STEM, _LAST = 32, 1280


class InvertedResidual(nn.Module):
    """Widens, filters each channel alone, and narrows without a nonlinearity."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand: nn.Module | None = ConvNorm(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = ConvNorm(wide, wide, 3, stride=stride, groups=wide)
        self.project = ConvNorm(wide, outputs, 1)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        narrow = self.project(F.relu6(self.depthwise(wide)))
        return x + narrow if self.adds else narrow


class MobileNetV2(nn.Module):
    """Images (n, channels, side, side) -> logits (n, classes).

    A width below 1 narrows all but the last convolution, as in the paper.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width = architecture.scaled(_STEM)
        self.stem = ConvNorm(architecture.channels, width, 3)
        self.blocks = nn.Sequential()
        for expansion, channels, blocks, stride in _STAGES:
            outputs = architecture.scaled(channels)
            for number in range(blocks):
                step = stride if number == 0 else 1
                self.blocks.append(InvertedResidual(width, outputs, expansion=expansion, stride=step))
                width = outputs
        last = max(_LAST, architecture.scaled(_LAST))
        self.last = ConvNorm(width, last, 1)
        self.classifier = nn.Linear(last, architecture.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.last(self.blocks(F.relu6(self.stem(x), inplace=True))))
        return self.classifier(x.mean((2, 3)))
