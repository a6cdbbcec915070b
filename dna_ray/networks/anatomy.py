"""What each tensor of a network is: one table of names a family, and rules for what looks the same in all of them."""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dna_ray.networks.network import DTYPES, Anatomy, TensorInfo

# A tensor as it is found: (name, dtype by its safetensors name, shape).
Found = tuple[str, str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """How the networks of one family name their tensors.

    Attributes:
        model_types: Values of `model_type` in config.json that belong to it.
        marks: Pattern that gives it away where there is no config; searched in every name.
        kinds: End of a name -> kind. The longest end that is listed wins; `#` stands for a number.
        transposed: Ends of names whose matrices are stored as (in, out).
    """

    model_types: tuple[str, ...]
    marks: str
    kinds: Mapping[str, str]
    transposed: frozenset[str] = frozenset()


HEADS = dict.fromkeys(
    (
        "classifier.weight",
        "classifier.#.weight",
        "classifier.dense.weight",
        "classifier.out_proj.weight",
        "cls.predictions.decoder.weight",
        "cls.predictions.transform.dense.weight",
        "cls.seq_relationship.weight",
        "discriminator_predictions.dense.weight",
        "discriminator_predictions.dense_prediction.weight",
        "generator_lm_head.weight",
        "generator_predictions.dense.weight",
        "fc.weight",
        "_fc.weight",
        "head.weight",
        "lm_head.weight",
        "lm_head.decoder.weight",
        "lm_head.dense.weight",
        "pre_classifier.weight",
        "qa_outputs.weight",
        "score.weight",
        "summary.weight",
        "vocab_projector.weight",
        "vocab_transform.weight",
    ),
    "head",
)

BERT = HEADS | {
    "word_embeddings.weight": "word_embedding",
    "position_embeddings.weight": "position_embedding",
    "token_type_embeddings.weight": "type_embedding",
    "self.query.weight": "query",
    "self.key.weight": "key",
    "self.value.weight": "value",
    "attention.output.dense.weight": "attention_out",
    "crossattention.output.dense.weight": "attention_out",
    "intermediate.dense.weight": "ffn_in",
    "output.dense.weight": "ffn_out",
    "pooler.dense.weight": "pooler",
}

# To add a family: its line here, and a network of it in tests/networks/test_anatomy.py.
# Where there is no config, the first family whose mark is found is taken, so the narrower marks come first.
FAMILIES: dict[str, Family] = {
    "electra": Family(
        model_types=("electra",),
        marks=r"(^|\.)electra\.|embeddings_project\.|(generator|discriminator)_predictions\.",
        kinds=BERT | {"embeddings_project.weight": "other"},
    ),
    "roberta": Family(
        model_types=("roberta", "xlm-roberta", "camembert"),
        marks=r"(^|\.)roberta\.",
        kinds=BERT,
    ),
    "distilbert": Family(
        model_types=("distilbert",),
        marks=r"attention\.q_lin\.",
        kinds=HEADS
        | {
            "word_embeddings.weight": "word_embedding",
            "position_embeddings.weight": "position_embedding",
            "attention.q_lin.weight": "query",
            "attention.k_lin.weight": "key",
            "attention.v_lin.weight": "value",
            "attention.out_lin.weight": "attention_out",
            "ffn.lin1.weight": "ffn_in",
            "ffn.lin2.weight": "ffn_out",
        },
    ),
    "mpnet": Family(
        model_types=("mpnet",),
        marks=r"attention\.attn\.q\.",
        kinds=HEADS
        | {
            "word_embeddings.weight": "word_embedding",
            "position_embeddings.weight": "position_embedding",
            "relative_attention_bias.weight": "position_embedding",
            "attention.attn.q.weight": "query",
            "attention.attn.k.weight": "key",
            "attention.attn.v.weight": "value",
            "attention.attn.o.weight": "attention_out",
            "intermediate.dense.weight": "ffn_in",
            "output.dense.weight": "ffn_out",
            "pooler.dense.weight": "pooler",
        },
    ),
    "gpt2": Family(
        model_types=("gpt2",),
        marks=r"attn\.c_attn\.",
        kinds=HEADS
        | {
            "wte.weight": "word_embedding",
            "wpe.weight": "position_embedding",
            "attn.c_attn.weight": "query_key_value",
            "attn.c_proj.weight": "attention_out",
            "attn.bias": "buffer",  # the causal mask
            "attn.masked_bias": "buffer",
            "crossattention.q_attn.weight": "query",
            "crossattention.c_attn.weight": "query_key_value",
            "crossattention.c_proj.weight": "attention_out",
            "crossattention.bias": "buffer",
            "crossattention.masked_bias": "buffer",
            "mlp.c_fc.weight": "ffn_in",
            "mlp.c_proj.weight": "ffn_out",
        },
        transposed=frozenset(("c_attn.weight", "q_attn.weight", "c_proj.weight", "c_fc.weight")),
    ),
    "vit": Family(
        model_types=("vit", "deit"),
        marks=r"patch_embeddings\.projection\.|patch_embed\.proj\.",
        kinds=HEADS
        | {
            # as transformers stores them
            "cls_token": "other",
            "mask_token": "other",
            "distillation_token": "other",
            "position_embeddings": "position_embedding",
            "patch_embeddings.projection.weight": "patch_embedding",
            "attention.attention.query.weight": "query",
            "attention.attention.key.weight": "key",
            "attention.attention.value.weight": "value",
            "attention.output.dense.weight": "attention_out",
            "intermediate.dense.weight": "ffn_in",
            "output.dense.weight": "ffn_out",
            "pooler.dense.weight": "pooler",
            "cls_classifier.weight": "head",
            "distillation_classifier.weight": "head",
            # as transformers 5 names them in memory
            "attention.q_proj.weight": "query",
            "attention.k_proj.weight": "key",
            "attention.v_proj.weight": "value",
            "attention.o_proj.weight": "attention_out",
            "mlp.fc1.weight": "ffn_in",
            "mlp.fc2.weight": "ffn_out",
            # as timm names them
            "pos_embed": "position_embedding",
            "patch_embed.proj.weight": "patch_embedding",
            "attn.qkv.weight": "query_key_value",
            "attn.proj.weight": "attention_out",
        },
    ),
    "bert": Family(
        model_types=("bert",),
        marks=r"attention\.self\.query\.",
        kinds=BERT,
    ),
    "convolutional": Family(
        model_types=(
            "resnet",
            "regnet",
            "vgg",
            "mobilenet_v1",
            "mobilenet_v2",
            "efficientnet",
            "efficientnet-lite0",
            # of dna_ray.models
            "resnet18",
            "vgg16bn",
            "mobilenetv2",
        ),
        marks=r"(conv\w*|convolution|downsample|features\.\d+(\.\d+)*)\.weight$",
        kinds=HEADS | {"stem.conv.weight": "convolution"},  # also over grey images, where it looks like a depthwise one
    ),
}
_UNKNOWN = Family(model_types=(), marks="", kinds=HEADS)

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks)\.(\d+)\.")


def anatomy_of(
    tensors: Iterable[Found], config: Mapping[str, Any] | None = None, *, ties: Mapping[str, str] | None = None
) -> Anatomy:
    """The anatomy of a state dict, from its names and shapes alone.

    The family comes from `model_type` of the config, else from the names. In a convolutional network every
    convolution and every matrix is a layer of its own, numbered by name with numbers in their numeric order.

    Args:
        ties: Name of a tensor -> the tensor whose storage it shares, which comes first in canonical order.

    Warns:
        UserWarning: Names that neither the family's table nor the common rules know; their kind is `other`.
    """
    found = sorted((name, dtype, tuple(shape)) for name, dtype, shape in tensors)
    family_name = _family(found, config)
    family = FAMILIES.get(family_name, _UNKNOWN)
    kinds = {name: _kind(name, dtype, shape, family) for name, dtype, shape in found}
    unknown = [name for name, kind in kinds.items() if kind is None]
    infos = [
        TensorInfo(
            name=name,
            dtype=dtype,
            shape=shape,
            kind=kinds[name] or "other",
            layer=_layer(name),
            transposed=any(end in family.transposed for end in _ends(name)),
            tied_to=(ties or {}).get(name),
        )
        for name, dtype, shape in found
    ]
    if family_name == "convolutional":
        infos = _number_by_convolution(infos)
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        warnings.warn(
            f"{len(unknown)} of {len(found)} tensors have names that no table of the family {family_name!r} knows, "
            f"and are taken as kind 'other': {', '.join(unknown[:5])}{more}",
            UserWarning,
            stacklevel=2,
        )
    return Anatomy(family_name, tuple(infos))


def _family(found: list[Found], config: Mapping[str, Any] | None) -> str:
    model_type = (config or {}).get("model_type")
    for name, family in FAMILIES.items():
        if model_type in family.model_types:
            return name
    for name, family in FAMILIES.items():
        if any(re.search(family.marks, tensor) for tensor, _, _ in found):
            return name
    # a kernel has at least three axes; a plain stack of linear layers belongs to no family
    return "convolutional" if any(len(shape) == 4 for _, _, shape in found) else "other"


def _kind(name: str, dtype: str, shape: tuple[int, ...], family: Family) -> str | None:
    for end in _ends(name):
        if end in family.kinds:
            return family.kinds[end]
    return _common_kind(name, dtype, shape)


def _common_kind(name: str, dtype: str, shape: tuple[int, ...]) -> str | None:
    """The kind of what looks the same in every family; None if nothing is known about the name."""
    *_, last = name.split(".")
    if last in ("running_mean", "running_var"):
        return "statistic"
    if not DTYPES[dtype].is_floating_point:
        return "buffer"
    # gamma and beta: LayerNorm of checkpoints that were converted from TensorFlow
    if last == "beta" or last.endswith("bias"):
        return "bias"
    if last == "gamma" or (last == "weight" and len(shape) == 1):
        return "norm"
    if last == "weight" and len(shape) in (3, 4, 5):
        # One input channel per group. A first convolution over grey images has the same shape, and counts as one too.
        return "depthwise" if shape[1] == 1 else "convolution"
    return None


def _ends(name: str) -> list[str]:
    """`a.0.b` -> `a.#.b`, `#.b`, `b`."""
    parts = ["#" if part.isdigit() else part for part in name.split(".")]
    return [".".join(parts[start:]) for start in range(len(parts))]


def _layer(name: str) -> int:
    match = _LAYER.search(name)
    return int(match[1]) if match else -1


def _number_by_convolution(infos: list[TensorInfo]) -> list[TensorInfo]:
    """Blocks hold several convolutions of one kind; as layers of their own no two weights share a coordinate."""
    matrices = sorted((info.name for info in infos if info.is_matrix), key=_natural)
    ordinal = {name: number for number, name in enumerate(matrices)}
    return [replace(info, layer=ordinal.get(info.name, -1)) for info in infos]


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
