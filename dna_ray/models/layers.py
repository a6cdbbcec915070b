"""What all networks of this package are made of, and how their weights begin."""

import torch
from torch import Tensor, nn


class ConvNorm(nn.Module):
    """A convolution that keeps the size at stride 1, with its batch norm. It has no bias: the norm would undo it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


@torch.no_grad()
def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """He et al. 2015, section 2.2: normal, of variance 2 / (outputs x kernel); deviation 0.01 for a classifier."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01, generator=generator)
            nn.init.zeros_(module.bias)
