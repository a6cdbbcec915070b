"""Networks that agents can be tried on within a second: random, but real."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dna_ray.evolution.agent import Agent
from dna_ray.evolution.metric.founders import FOUNDERS
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.budget import in_weights
from dna_ray.evolution.sparsity.profile import erk, uniform
from dna_ray.evolution.subject.subject import Subject, prepare
from dna_ray.evolution.subject.subject_settings import SubjectSettings
from dna_ray.models.architecture import Architecture
from dna_ray.models.architectures import make
from dna_ray.networks import Network, from_state_dict, load
from dna_ray.tasks import TaskSettings

TASK = TaskSettings(limit=64, max_length=16)
SMALL: dict[str, Any] = {"calibration": 16, "minibatch": 4, "task": TASK}
KINDS = ("texts", "images")
PLAIN = Architecture(name="resnet18", width=1 / 8, channels=1, side=16)


def settings(**changes: Any) -> SubjectSettings:
    return SubjectSettings(**(SMALL | changes))


@cache
def network(kind: str) -> Network:
    """`texts`: a BERT of two layers with the tokenizer of minilm; `images`: a residual network with batch norms.

    `plain` is one of this package: evaluators on Ray need not import transformers for it, which takes 4 s of each.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, config, files = _made(kind)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:  # of the size that training gives them: so a mask is felt
                    parameter.mul_(4)
    return from_state_dict(model.state_dict(), name=f"tiny {kind}", config=config, files=files)


def _made(kind: str) -> tuple[Any, dict[str, Any], Sequence[Path]]:
    """A random model, its config and the files beside it."""
    if kind == "plain":
        return make(PLAIN), PLAIN.to_config(), ()
    import transformers

    config: Any
    if kind == "texts":
        config = transformers.BertConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
        )
        model, files = transformers.BertModel(config, add_pooling_layer=False), load("sample:minilm").files
    else:
        config = transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=10
        )
        config.image_size = 16
        model, files = transformers.ResNetForImageClassification(config), ()
    return model, {**config.to_dict(), "architectures": [type(model).__name__]}, files


@cache
def subject(kind: str) -> Subject:
    """One for all tests: none may leave it changed."""
    return prepare(network(kind), settings())


def space(of: Subject, sparsity: float = 0.5) -> Space:
    return Space(layers=of.layers, budget=in_weights(of.layers, sparsity))


def agents(of: Space) -> list[Agent]:
    """Eight: each metric on two profiles."""
    return [
        Agent(of.levels(rule(of.layers, of.budget)), (("*", program),))
        for rule in (uniform, erk)
        for program in FOUNDERS.values()
    ]


def state(of: Subject) -> Mapping[str, Tensor]:
    """A copy of all that the model holds."""
    return {name: tensor.clone() for name, tensor in of.model.state_dict().items()}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
