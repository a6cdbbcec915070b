from collections import Counter

import pytest
import torch
from torch import nn

from dna_ray.networks import KINDS, anatomy_of, from_state_dict
from dna_ray.networks.anatomy import FAMILIES

TRANSFORMER_LAYER = {"query": 2, "key": 2, "value": 2, "attention_out": 2, "ffn_in": 2, "ffn_out": 2}

# Number of matrices and embeddings of each kind in the networks of the zoo; each has two layers.
COUNTS = {
    "bert": TRANSFORMER_LAYER | {"word_embedding": 1, "position_embedding": 1, "type_embedding": 1, "pooler": 1},
    "bert-mlm": TRANSFORMER_LAYER | {"word_embedding": 1, "position_embedding": 1, "type_embedding": 1, "head": 2},
    "bert-pretraining": TRANSFORMER_LAYER
    | {"word_embedding": 1, "position_embedding": 1, "type_embedding": 1, "pooler": 1, "head": 3},
    "bert-decoder": {"query": 4, "key": 4, "value": 4, "attention_out": 4, "ffn_in": 2, "ffn_out": 2}
    | {"word_embedding": 1, "position_embedding": 1, "type_embedding": 1, "head": 2},
    "roberta": TRANSFORMER_LAYER | {"word_embedding": 1, "position_embedding": 1, "type_embedding": 1, "pooler": 1},
    "roberta-mlm": TRANSFORMER_LAYER | {"word_embedding": 1, "position_embedding": 1, "type_embedding": 1, "head": 2},
    "roberta-classifier": TRANSFORMER_LAYER
    | {"word_embedding": 1, "position_embedding": 1, "type_embedding": 1, "head": 2},
    "distilbert": TRANSFORMER_LAYER | {"word_embedding": 1, "position_embedding": 1},
    "distilbert-mlm": TRANSFORMER_LAYER | {"word_embedding": 1, "position_embedding": 1, "head": 2},
    "mpnet": TRANSFORMER_LAYER | {"word_embedding": 1, "position_embedding": 2, "pooler": 1},
    "mpnet-mlm": TRANSFORMER_LAYER | {"word_embedding": 1, "position_embedding": 2, "head": 2},
    "electra": TRANSFORMER_LAYER | {"word_embedding": 1, "position_embedding": 1, "type_embedding": 1, "other": 1},
    "electra-mlm": TRANSFORMER_LAYER
    | {"word_embedding": 1, "position_embedding": 1, "type_embedding": 1, "other": 1, "head": 2},
    "electra-pretraining": TRANSFORMER_LAYER
    | {"word_embedding": 1, "position_embedding": 1, "type_embedding": 1, "other": 1, "head": 2},
    "gpt2": {"query_key_value": 2, "attention_out": 2, "ffn_in": 2, "ffn_out": 2}
    | {"word_embedding": 1, "position_embedding": 1},
    "gpt2-lm": {"query_key_value": 2, "attention_out": 2, "ffn_in": 2, "ffn_out": 2}
    | {"word_embedding": 1, "position_embedding": 1, "head": 1},
    "gpt2-cross": {"query_key_value": 4, "query": 2, "attention_out": 4, "ffn_in": 2, "ffn_out": 2}
    | {"word_embedding": 1, "position_embedding": 1},
    "vit": TRANSFORMER_LAYER | {"patch_embedding": 1, "position_embedding": 1, "pooler": 1, "other": 1},
    "vit-classifier": TRANSFORMER_LAYER | {"patch_embedding": 1, "position_embedding": 1, "head": 1, "other": 1},
    "resnet": {"convolution": 8, "head": 1},
    "mobilenet": {"convolution": 14, "depthwise": 13, "head": 1},
}
SMALL_KINDS = {"norm", "bias", "statistic", "buffer"}


def test_every_tensor_of_every_family_has_its_kind(zoo_name, zoo, describe, family_of):
    module = zoo(zoo_name)
    anatomy = from_state_dict(module.state_dict(), name=zoo_name, config=describe(module)).anatomy
    assert anatomy.family == family_of[zoo_name]
    assert Counter(info.kind for info in anatomy if info.kind not in SMALL_KINDS) == COUNTS[zoo_name]
    assert all(info.kind in SMALL_KINDS for info in anatomy if len(info.shape) < 2)


def test_family_is_told_from_the_names_alone(zoo_name, zoo, family_of):
    anatomy = from_state_dict(zoo(zoo_name).state_dict(), name=zoo_name).anatomy
    # without a prefix or head of its own, a RoBERTa or ELECTRA has the names of a BERT, kind for kind
    bare = {"roberta": "bert"}
    assert anatomy.family == bare.get(zoo_name, family_of[zoo_name])
    assert Counter(info.kind for info in anatomy if info.kind not in SMALL_KINDS) == COUNTS[zoo_name]


def test_saved_names_have_the_kinds_of_the_names_in_memory(zoo_name, zoo, tmp_path):
    from dna_ray.networks import load

    zoo(zoo_name).save_pretrained(tmp_path)
    anatomy = load(tmp_path).anatomy
    left_out = COUNTS[zoo_name].get("head", 0) - sum(info.kind == "head" for info in anatomy)
    assert left_out in (0, 1)  # a decoder that is tied to the embedding is not stored
    rest = Counter(info.kind for info in anatomy if info.kind not in {*SMALL_KINDS, "head"})
    assert rest == {kind: count for kind, count in COUNTS[zoo_name].items() if kind != "head"}


def test_every_family_of_the_table_is_in_the_zoo(family_of):
    assert set(FAMILIES) == set(family_of.values())
    assert {kind for family in FAMILIES.values() for kind in family.kinds.values()} <= set(KINDS)


def test_layers_are_numbered(zoo, describe):
    for name in ("bert-mlm", "distilbert", "gpt2-lm", "vit"):
        module = zoo(name)
        anatomy = from_state_dict(module.state_dict(), name=name, config=describe(module)).anatomy
        assert anatomy.layers == 2
        assert {info.layer for info in anatomy if info.kind == "ffn_in"} == {0, 1}
        assert {info.layer for info in anatomy if info.kind in ("word_embedding", "head", "pooler")} == {-1}


def test_convolutions_are_layers_of_their_own_in_numeric_order(zoo, describe):
    module = zoo("mobilenet")
    anatomy = from_state_dict(module.state_dict(), name="mobilenet", config=describe(module)).anatomy
    layers = [info.layer for info in anatomy.matrices]
    assert sorted(layers) == list(range(28))
    by_name = anatomy.by_name
    second, tenth = (by_name[f"mobilenet_v1.layer.{n}.convolution.weight"].layer for n in (2, 10))
    assert second < tenth


def test_gpt2_matrices_are_transposed_and_its_embeddings_are_not(zoo):
    anatomy = from_state_dict(zoo("gpt2-lm").state_dict(), name="gpt2").anatomy
    ffn_in = anatomy.by_name["transformer.h.0.mlp.c_fc.weight"]
    assert (ffn_in.shape, ffn_in.matrix_shape) == ((8, 32), (32, 8))
    assert anatomy.by_name["lm_head.weight"].matrix_shape == (30, 8)


def test_old_gpt2_masks_are_buffers():
    mask = torch.ones(1, 1, 12, 12)
    anatomy = from_state_dict({"h.0.attn.bias": mask, "h.0.attn.c_attn.weight": torch.ones(8, 24)}, name="gpt2").anatomy
    assert anatomy.by_name["h.0.attn.bias"].kind == "buffer"
    assert [info.name for info in anatomy.matrices] == ["h.0.attn.c_attn.weight"]


def test_kernel_is_out_by_in_kh_kw(zoo):
    anatomy = from_state_dict(zoo("resnet").state_dict(), name="resnet").anatomy
    stem = anatomy.by_name["resnet.embedder.embedder.convolution.weight"]
    assert (stem.kind, stem.matrix_shape) == ("convolution", (8, 3 * 7 * 7))


def test_patch_embedding_and_positions_of_vit_are_matrices(zoo):
    by_name = from_state_dict(zoo("vit").state_dict(), name="vit").anatomy.by_name
    assert by_name["embeddings.patch_embeddings.projection.weight"].matrix_shape == (8, 3 * 4 * 4)
    assert by_name["embeddings.position_embeddings"].matrix_shape == (5, 8)
    assert not by_name["embeddings.cls_token"].is_matrix


def test_torchvision_and_timm_names_are_known():
    convolutional = {
        "conv1.weight": (8, 3, 7, 7),
        "bn1.weight": (8,),
        "layer1.0.conv1.weight": (8, 8, 3, 3),
        "layer1.0.downsample.0.weight": (8, 8, 1, 1),
        "features.10.conv.1.0.weight": (8, 1, 3, 3),
        "classifier.6.weight": (10, 8),
        "fc.weight": (10, 8),
    }
    kinds = {i.name: i.kind for i in anatomy_of((name, "F32", shape) for name, shape in convolutional.items())}
    assert kinds["features.10.conv.1.0.weight"] == "depthwise"
    assert Counter(kinds.values()) == {"convolution": 3, "depthwise": 1, "norm": 1, "head": 2}
    vit = {"patch_embed.proj.weight": (8, 3, 4, 4), "pos_embed": (1, 5, 8), "blocks.1.attn.qkv.weight": (24, 8)}
    anatomy = anatomy_of((name, "F32", shape) for name, shape in vit.items())
    assert {i.kind for i in anatomy} == {"patch_embedding", "position_embedding", "query_key_value"}
    assert anatomy.by_name["blocks.1.attn.qkv.weight"].layer == 1


def test_legacy_layer_norm_names_are_known():
    names = ("embeddings.LayerNorm.gamma", "embeddings.LayerNorm.beta")
    assert [i.kind for i in anatomy_of((name, "F32", (8,)) for name in names)] == ["bias", "norm"]


def test_unknown_names_are_other_with_one_warning_that_lists_them():
    weights = {f"strange.{n}.thing": torch.ones(4, 4) for n in range(7)} | {"strange.bias": torch.ones(4)}
    with pytest.warns(UserWarning, match=r"7 of 8 tensors .*strange\.0\.thing, .* and 2 more") as caught:
        anatomy = from_state_dict(weights, name="strange").anatomy
    assert len(caught) == 1
    assert anatomy.family == "other"
    assert Counter(info.kind for info in anatomy) == {"other": 7, "bias": 1}


def test_unknown_model_type_falls_back_to_the_names(zoo):
    anatomy = from_state_dict(zoo("bert").state_dict(), name="x", config={"model_type": "of-tomorrow"}).anatomy
    assert anatomy.family == "bert"


def test_ties_are_named_by_the_first_in_canonical_order(zoo):
    anatomy = from_state_dict(zoo("bert-mlm").state_dict(), name="bert").anatomy
    ties = {info.name: info.tied_to for info in anatomy if info.tied_to}
    assert ties == {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    anatomy = from_state_dict(zoo("gpt2-lm").state_dict(), name="gpt2").anatomy
    assert anatomy.by_name["transformer.wte.weight"].tied_to == "lm_head.weight"


def test_a_linear_layer_that_equals_another_is_not_tied():
    layer = nn.Linear(3, 3)
    weights = {"score.weight": layer.weight, "fc.weight": layer.weight.detach().clone()}
    assert all(info.tied_to is None for info in from_state_dict(weights, name="twins").anatomy)
