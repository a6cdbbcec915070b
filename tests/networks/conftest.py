import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

_TEXT: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 30,
    "max_position_embeddings": 12,
}
_DISTIL: dict[str, Any] = {
    "dim": 8,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 16,
    "vocab_size": 30,
    "max_position_embeddings": 12,
}
_GPT2: dict[str, Any] = {
    "n_embd": 8,
    "n_layer": 2,
    "n_head": 2,
    "vocab_size": 30,
    "n_positions": 12,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_VIT: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 8,
    "patch_size": 4,
}
_RESNET: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [2, 1], "layer_type": "basic"}

# Random networks of every family, tiny: (family, class of transformers, its config).
ZOO: dict[str, tuple[str, type, Callable[[], Any]]] = {
    "bert": ("bert", hf.BertModel, lambda: hf.BertConfig(**_TEXT)),
    "bert-mlm": ("bert", hf.BertForMaskedLM, lambda: hf.BertConfig(**_TEXT)),
    "bert-pretraining": ("bert", hf.BertForPreTraining, lambda: hf.BertConfig(**_TEXT)),
    "bert-decoder": (
        "bert",
        hf.BertLMHeadModel,
        lambda: hf.BertConfig(**_TEXT, is_decoder=True, add_cross_attention=True),
    ),
    "roberta": ("roberta", hf.RobertaModel, lambda: hf.RobertaConfig(**_TEXT)),
    "roberta-mlm": ("roberta", hf.RobertaForMaskedLM, lambda: hf.RobertaConfig(**_TEXT)),
    "roberta-classifier": ("roberta", hf.RobertaForSequenceClassification, lambda: hf.RobertaConfig(**_TEXT)),
    "distilbert": ("distilbert", hf.DistilBertModel, lambda: hf.DistilBertConfig(**_DISTIL)),
    "distilbert-mlm": ("distilbert", hf.DistilBertForMaskedLM, lambda: hf.DistilBertConfig(**_DISTIL)),
    "mpnet": ("mpnet", hf.MPNetModel, lambda: hf.MPNetConfig(**_TEXT)),
    "mpnet-mlm": ("mpnet", hf.MPNetForMaskedLM, lambda: hf.MPNetConfig(**_TEXT)),
    "electra": ("electra", hf.ElectraModel, lambda: hf.ElectraConfig(embedding_size=6, **_TEXT)),
    "electra-mlm": ("electra", hf.ElectraForMaskedLM, lambda: hf.ElectraConfig(embedding_size=6, **_TEXT)),
    "electra-pretraining": ("electra", hf.ElectraForPreTraining, lambda: hf.ElectraConfig(embedding_size=6, **_TEXT)),
    "gpt2": ("gpt2", hf.GPT2Model, lambda: hf.GPT2Config(**_GPT2)),
    "gpt2-lm": ("gpt2", hf.GPT2LMHeadModel, lambda: hf.GPT2Config(**_GPT2)),
    "gpt2-cross": ("gpt2", hf.GPT2Model, lambda: hf.GPT2Config(**_GPT2, add_cross_attention=True)),
    "vit": ("vit", hf.ViTModel, lambda: hf.ViTConfig(**_VIT)),
    "vit-classifier": ("vit", hf.ViTForImageClassification, lambda: hf.ViTConfig(**_VIT)),
    "resnet": ("convolutional", hf.ResNetForImageClassification, lambda: hf.ResNetConfig(**_RESNET)),
    "mobilenet": (
        "convolutional",
        hf.MobileNetV1ForImageClassification,
        lambda: hf.MobileNetV1Config(depth_multiplier=0.0625, min_depth=2),
    ),
}


def make(name: str) -> nn.Module:
    """The network `name` of the zoo, the same weights every time."""
    _, model_class, config = ZOO[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model_class(config()).eval()


def config_of(module: Any) -> dict[str, Any]:
    return module.config.to_dict() | {"architectures": [type(module).__name__]}


@pytest.fixture(params=ZOO)
def zoo_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def zoo() -> Callable[[str], nn.Module]:
    return make


@pytest.fixture(scope="session")
def family_of() -> dict[str, str]:
    return {name: family for name, (family, _, _) in ZOO.items()}


@pytest.fixture(scope="session")
def describe() -> Callable[[nn.Module], dict[str, Any]]:
    """The config.json of a module."""
    return config_of
