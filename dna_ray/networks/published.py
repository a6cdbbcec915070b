"""The shapes of some well-known networks, for plans where the hub is not reached: from their published configs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dna_ray.errors import NetworkError
from dna_ray.networks.anatomy import anatomy_of
from dna_ray.networks.load import load
from dna_ray.networks.network import DTYPE_NAMES, Network

UNSEEN = "shapes from the architecture's published config; the hub was not reached"


@dataclass(frozen=True, slots=True)
class Published:
    """An architecture of transformers, and where its published config differs from that one's defaults.

    Attributes:
        model: Name of the class whose tensors the published file holds.
    """

    model: str
    config: Mapping[str, Any]


# Name on the hub -> what is published under it. The defaults of `BertConfig` and `GPT2Config` are the base sizes.
PUBLISHED: dict[str, Published] = {
    "google-bert/bert-base-uncased": Published("BertForPreTraining", {}),
    "FacebookAI/roberta-base": Published(
        "RobertaForMaskedLM", {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}
    ),
    "openai-community/gpt2-xl": Published("GPT2LMHeadModel", {"n_embd": 1600, "n_layer": 48, "n_head": 25}),
}


@dataclass(frozen=True, slots=True)
class _Unread:
    """Stands where a network's values would be read."""

    network: str

    def __call__(self, name: str) -> Tensor:
        raise NetworkError(f"{self.network}: of tensor {name!r} only the shape is known here, since {UNSEEN}")


def load_or_shapes(name: str) -> tuple[Network, str]:
    """The network, and nothing; or where it is out of reach, one without values, and what to say of that.

    Raises:
        NetworkError: It is out of reach, and its shapes are not known either.
    """
    try:
        return load(name), ""
    except NetworkError:
        found = PUBLISHED.get(name)
        if found is None:
            raise
        return shapes(name, found), UNSEEN


def shapes(name: str, published: Published) -> Network:
    """A network whose tensors have shapes and no values. Its fingerprint is empty."""
    import transformers

    model_class: Callable[[Any], torch.nn.Module] = getattr(transformers, published.model)
    config = getattr(transformers, published.model).config_class(**published.config)
    with torch.device("meta"):
        model = model_class(config)
    # A tied tensor comes once, under its first name, as in a published file.
    found = [(key, DTYPE_NAMES[value.dtype], tuple(value.shape)) for key, value in model.named_parameters()]
    settings = {**config.to_dict(), "architectures": [published.model]}
    return Network(name=name, anatomy=anatomy_of(found, settings), read=_Unread(name), fingerprint="", config=settings)
