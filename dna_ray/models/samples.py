"""The networks that are trained on this machine, by name: what they are, and how. Imports no torch.

Their widths are what two processor cores train in some minutes. All else is as in the papers, but for the stem, the
strides and the classifier of small images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from dna_ray.errors import NetworkError
from dna_ray.models.architecture import Architecture
from dna_ray.models.training_config import TrainingConfig

DATASET = "fashion-mnist"
_GREY = {"channels": 1, "side": 28, "classes": 10}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A network, and how it is trained.

    Attributes:
        install: The line that trains it.
    """

    architecture: Architecture
    training: TrainingConfig

    @property
    def install(self) -> str:
        return f"dna-ray train-small {self.architecture.name}"


# Name after `sample:` -> the network.
TRAINED: Mapping[str, Sample] = {
    "resnet18-fashion": Sample(
        architecture=Architecture(name="resnet18", width=0.25, **_GREY),
        training=TrainingConfig(epochs=6, precision="bfloat16"),
    ),
    "vgg16bn-fashion": Sample(
        architecture=Architecture(name="vgg16bn", width=0.25, **_GREY),
        training=TrainingConfig(epochs=8, precision="bfloat16"),
    ),
    "mobilenetv2-fashion": Sample(
        architecture=Architecture(name="mobilenetv2", width=0.25, **_GREY),
        training=TrainingConfig(epochs=6),
    ),
}


def sample_of(architecture: str) -> str:
    """The name of the sample that is one of this architecture; `resnet18-fashion` for `resnet18`, and for itself.

    Raises:
        NetworkError: There is none.
    """
    named = {sample.architecture.name: name for name, sample in TRAINED.items()}
    if architecture in TRAINED:
        return architecture
    if architecture not in named:
        near = get_close_matches(architecture, named, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(named)}"
        raise NetworkError(f"architecture {architecture!r}: unknown; {hint}")
    return named[architecture]
