"""The table of architectures, and how one becomes a module."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches

import torch
from torch import nn

from dna_ray.errors import NetworkError
from dna_ray.models.architecture import Architecture
from dna_ray.models.layers import initialise
from dna_ray.models.mobilenet import MobileNetV2
from dna_ray.models.resnet import ResNet18
from dna_ray.models.vgg import Vgg16Bn

# To add an architecture: its file, and its line here; tests/models/test_architectures.py holds it to what all keep.
ARCHITECTURES: Mapping[str, Callable[[Architecture], nn.Module]] = {
    "resnet18": ResNet18,
    "vgg16bn": Vgg16Bn,
    "mobilenetv2": MobileNetV2,
}


def make(architecture: Architecture, *, seed: int = 0) -> nn.Module:
    """A network before training; its weights depend on the architecture and the seed alone.

    Raises:
        NetworkError: There is no such architecture.
    """
    if architecture.name not in ARCHITECTURES:
        near = get_close_matches(architecture.name, ARCHITECTURES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(ARCHITECTURES)}"
        raise NetworkError(f"architecture {architecture.name!r}: unknown; {hint}")
    with torch.random.fork_rng(devices=()):  # layers initialise themselves first, by the global generator
        model = ARCHITECTURES[architecture.name](architecture)
    initialise(model, torch.Generator().manual_seed(seed))
    return model
