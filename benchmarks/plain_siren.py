"""A SIREN as one writes it first: a linear layer and a sine, again and again. What ours is compared with."""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn


class PlainSiren(nn.Module):
    """[points, axes] -> [points], with the initialisation of Sitzmann et al. 2020, section 3.2."""

    def __init__(self, axes: int, widths: Sequence[int], *, omega: float) -> None:
        super().__init__()
        self.omega = omega
        layers = [nn.Linear(n, m) for n, m in pairwise((axes, *widths))]
        self.hidden = nn.ModuleList(layers)
        self.out = nn.Linear(widths[-1], 1)
        with torch.no_grad():
            for i, layer in enumerate(layers):
                bound = sqrt(6 / layer.in_features) / omega if i else 1 / axes
                layer.weight.uniform_(-bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = torch.sin(self.omega * layer(x))
        return self.out(x).squeeze(-1)
