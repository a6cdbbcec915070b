import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dna_ray.networks import Network, from_state_dict, load

os.environ["HF_HUB_OFFLINE"] = "1"

PATTERNS = ("the {} is on the table in room {}", "we drove {} miles to see a {}", "please send {} of the {} today")
WORDS = ("apple", "river", "engine", "seven", "garden", "letter", "mountain", "window", "cheap", "broken", "music")


@pytest.fixture(scope="session")
def minilm() -> Network:
    return load("sample:minilm")


@pytest.fixture(scope="session")
def words_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """363 distinct short texts, one a line."""
    lines = [sentence.format(a, b) for sentence in PATTERNS for a in WORDS for b in WORDS]
    path = tmp_path_factory.mktemp("texts") / "words.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny(minilm: Network) -> Callable[..., Network]:
    """A small random network of a transformers architecture, with minilm's tokenizer if it reads text."""

    def make(architecture: str, **settings: Any) -> Network:
        import transformers

        model_class = getattr(transformers, architecture)
        torch.manual_seed(0)  # transformers initialises from the global generator only
        model: nn.Module = model_class(model_class.config_class(**settings))
        config = {**model.config.to_dict(), "architectures": [architecture]}
        files = minilm.files if "vocab_size" in config else ()
        return from_state_dict(model.state_dict(), name=architecture, config=config, files=files)

    return make


@pytest.fixture(scope="session")
def change() -> Callable[[Network, Callable[[Tensor], Tensor]], Network]:
    """A network whose matrices have gone through a function."""

    def make(network: Network, function: Callable[[Tensor], Tensor]) -> Network:
        weights: Mapping[str, Tensor] = {
            info.name: function(network.read(info.name)) if info.is_matrix else network.read(info.name)
            for info in network.anatomy
        }
        return from_state_dict(weights, name="changed", config=network.config, files=network.files)

    return make


@pytest.fixture(scope="session")
def disturb(change: Callable[..., Network]) -> Callable[..., Network]:
    """A network with Gaussian noise on its matrices, `share` of the deviation of each."""

    def make(network: Network, share: float) -> Network:
        generator = torch.Generator().manual_seed(0)
        return change(network, lambda w: w + share * w.std() * torch.randn(w.shape, generator=generator))

    return make
