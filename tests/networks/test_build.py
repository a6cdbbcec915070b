import pytest
import torch

from dna_ray.errors import NetworkError
from dna_ray.networks import build, from_state_dict, load, tokenizer


def described(module, describe, **changes):
    return from_state_dict(module.state_dict(), name="tiny", config=describe(module) | changes)


def test_every_family_is_built_with_its_weights(zoo_name, zoo, describe, capfd):
    module = zoo(zoo_name)
    built = build(described(module, describe))
    assert type(built) is type(module)
    assert not built.training
    expected = module.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in built.state_dict().items())
    assert capfd.readouterr() == ("", "")  # no bars, no tables


def test_what_is_built_shares_no_memory_with_the_network(zoo, describe):
    network = described(zoo("bert"), describe)
    with torch.no_grad():
        for parameter in build(network).parameters():
            parameter.zero_()
    assert network.read("encoder.layer.0.attention.self.query.weight").abs().sum() > 0


def test_names_of_older_versions_are_understood(zoo, tmp_path):
    module = zoo("vit-classifier")
    module.save_pretrained(tmp_path)  # stores the names of transformers 4
    network = load(tmp_path)
    assert {info.name for info in network.anatomy} != set(module.state_dict())
    built = build(network).state_dict()
    assert all(torch.equal(tensor, built[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_precision_is_kept(zoo, describe, dtype):
    built = build(described(zoo("bert").to(dtype), describe))
    assert {parameter.dtype for parameter in built.parameters()} == {dtype}


def test_an_encoder_stored_without_its_head_is_built_as_encoder(zoo, describe):
    built = build(described(zoo("mpnet"), describe, architectures=["MPNetForMaskedLM"]))
    assert type(built).__name__ == "MPNetModel"


def test_an_encoder_stored_without_its_pooler_is_built_without(zoo, describe):
    module = zoo("bert")
    weights = {name: tensor for name, tensor in module.state_dict().items() if "pooler" not in name}
    assert build(from_state_dict(weights, name="tiny", config=describe(module))).pooler is None


def test_the_base_class_serves_where_no_class_is_named(zoo, describe):
    assert type(build(described(zoo("gpt2"), describe, architectures=None))).__name__ == "GPT2Model"


def test_weights_the_class_has_no_place_for_are_left_out(zoo, describe):
    built = build(described(zoo("bert-pretraining"), describe, architectures=["BertForMaskedLM"]))
    assert type(built).__name__ == "BertForMaskedLM"


def test_a_missing_weight_is_named(zoo, describe):
    module = zoo("bert")
    weights = dict(module.state_dict())
    del weights["encoder.layer.1.output.dense.weight"]
    network = from_state_dict(weights, name="tiny", config=describe(module))
    with pytest.raises(NetworkError, match=r"lacks 1 weights of BertModel \(first 'encoder\.layer\.1\.output"):
        build(network)


def test_a_weight_of_another_shape_is_named(zoo, describe):
    network = described(zoo("bert"), describe, vocab_size=31)
    with pytest.raises(
        NetworkError, match=r"word_embeddings\.weight' of tiny is \(30, 8\), by its config.json \(31, 8\)"
    ):
        build(network)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "comes without config.json"),
        ({}, "no class for model_type None"),
        ({"model_type": "of-tomorrow"}, "no class for model_type 'of-tomorrow'"),
        ({"model_type": "bert", "hidden_size": "wide"}, "is not valid"),
        ({"model_type": "bert", "hidden_size": 7}, "is not valid"),
    ],
)
def test_without_a_class_it_says_that_function_is_not_measured(config, message, zoo):
    network = from_state_dict(zoo("bert").state_dict(), name="tiny", config=config)
    with pytest.raises(NetworkError, match=f"function: not measured, because .*{message}") as caught:
        build(network)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("architecture", ["os", "pipeline", "NoSuchModel", 3])
def test_only_models_of_transformers_are_built(architecture, zoo, describe):
    network = described(zoo("bert"), describe, architectures=[architecture])
    assert type(build(network)).__name__ == "BertModel"


def test_a_network_without_tokenizer_says_so(zoo, describe):
    with pytest.raises(NetworkError, match="comes without a tokenizer"):
        tokenizer(described(zoo("bert"), describe))
