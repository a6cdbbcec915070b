import pytest
import torch
import transformers as hf
from small_networks import network_of
from torch import nn

from dna_ray.errors import InputError, NetworkError
from dna_ray.evolution.sparsity.layers import layers_of, matrix_of, modules_of, write_matrix
from dna_ray.models.architecture import Architecture
from dna_ray.models.architectures import make
from dna_ray.networks import from_state_dict

TEXT = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16,
        "vocab_size": 30, "max_position_embeddings": 12}  # fmt: skip


def _bert() -> hf.BertModel:
    return hf.BertModel(hf.BertConfig(**TEXT))


def test_an_encoder_is_its_linear_layers_without_tables_norms_and_pooler():
    layers = layers_of(from_state_dict(_bert().state_dict(), name="bert"))
    assert len(layers) == 3 * 6
    assert {layer.kind for layer in layers} == {"query", "key", "value", "attention_out", "ffn_in", "ffn_out"}
    assert {layer.depth for layer in layers} == {0.0, 0.5, 1.0}
    inner = next(layer for layer in layers if layer.name == "encoder.layer.2.intermediate.dense.weight")
    assert (inner.rows, inner.cols, inner.weights, inner.depth, inner.positions) == (16, 8, 128, 1.0, 1)


def test_a_convolution_is_its_outputs_by_the_inputs_of_one_output_without_the_classifier():
    model = nn.ModuleDict(
        {"conv1": nn.Conv2d(3, 4, 3), "conv2": nn.Conv2d(4, 4, 3, groups=4), "conv10": nn.Conv2d(4, 6, 1),
         "mask": nn.Conv2d(6, 1, 3), "fc": nn.Linear(6, 5)}
    )  # fmt: skip
    network = from_state_dict(model.state_dict(), name="small")
    found = {layer.name: layer for layer in layers_of(network, positions={"conv1.weight": 900})}
    assert {name: (layer.rows, layer.cols, layer.kernel) for name, layer in found.items()} == {
        "conv1.weight": (4, 27, (3, 3)),
        "conv10.weight": (6, 4, (1, 1)),
        "conv2.weight": (4, 9, (3, 3)),
    }
    assert [found[f"conv{n}.weight"].depth for n in (1, 2, 10)] == [0.0, 0.5, 1.0]
    assert [found[f"conv{n}.weight"].positions for n in (1, 2, 10)] == [900, 1, 1]
    assert found["conv2.weight"].kind == "depthwise"


@pytest.mark.parametrize("channels", [1, 3])
def test_the_convolution_that_reads_the_image_stays_dense(channels: int):
    architecture = Architecture(name="mobilenetv2", width=0.1, channels=channels)
    module = make(architecture)
    network = from_state_dict(module.state_dict(), name="small", config=architecture.to_config())
    left = {name for name, each in module.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)}
    assert left - {layer.name.removesuffix(".weight") for layer in layers_of(network)} == {"stem.conv", "classifier"}


def test_layers_without_index_are_as_deep_as_their_names_are_far():
    weights = {f"{place}.weight": torch.randn(4, 4) for place in (0, 2, 10)}
    assert [(layer.name, layer.depth) for layer in layers_of(network_of(weights))] == [
        ("0.weight", 0.0),
        ("10.weight", 1.0),
        ("2.weight", 0.5),
    ]


def test_a_tied_matrix_is_one_layer():
    weight = torch.randn(4, 4)
    network = network_of({"a.weight": weight, "b.weight": weight}, tied={"b.weight": "a.weight"})
    assert [layer.name for layer in layers_of(network)] == ["a.weight"]


@pytest.mark.parametrize(
    ("kinds", "exclude", "said"),
    [({"0.weight": "head"}, (), "small: no linear layer .* left to become sparse; "),
     ({}, ("0.*",), r"small: .* sparse when 0\.\* stay dense; .* exclude less")],
)  # fmt: skip
def test_a_network_whose_layers_are_all_excluded_is_refused_in_one_line(kinds: dict, exclude: tuple, said: str):
    with pytest.raises(NetworkError, match=said) as error:
        layers_of(network_of({"0.weight": torch.randn(4, 4)}, kinds=kinds), exclude=exclude)
    assert "\n" not in str(error.value)


def test_modules_are_found_by_the_names_of_the_file_whatever_prefix_a_class_adds():
    model = hf.BertForMaskedLM(hf.BertConfig(**TEXT))
    names = [layer.name for layer in layers_of(from_state_dict(_bert().state_dict(), name="bert"))]
    found = modules_of(model, names)
    assert list(found) == names
    assert found["encoder.layer.1.output.dense.weight"] is model.bert.encoder.layer[1].output.dense


def test_a_module_of_another_part_is_not_taken_for_one_of_the_same_last_name():
    model = nn.ModuleDict({"branch": nn.ModuleDict({"conv": nn.Linear(3, 2)}), "conv": nn.Linear(3, 2)})
    assert modules_of(model, ["conv.weight"])["conv.weight"] is model["conv"]


def test_a_missing_module_is_named():
    with pytest.raises(NetworkError, match=r"Linear holds no .* named 'b.weight' \(1 of 2 are missing\)"):
        modules_of(nn.Sequential(nn.Linear(2, 2))[0], ["weight", "b.weight"])


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(5, 4),
        hf.pytorch_utils.Conv1D(4, 5),
        nn.Conv2d(5, 4, (2, 3)),
        nn.Conv2d(6, 4, 3, groups=2).to(memory_format=torch.channels_last),
        nn.Linear(5, 4).half(),
    ],
)
def test_a_matrix_written_is_the_matrix_read_and_leaves_the_old_memory_alone(module: nn.Module):
    before, memory = matrix_of(module).clone(), module.weight.data
    write_matrix(module, before * 2)
    assert torch.equal(matrix_of(module), before * 2)
    assert module.weight.stride() == memory.stride()
    module.weight.data = memory
    assert torch.equal(matrix_of(module), before)


def test_a_matrix_is_outputs_by_inputs_also_where_it_is_stored_the_other_way():
    module = hf.pytorch_utils.Conv1D(4, 5)
    x = torch.randn(3, 5)
    assert torch.allclose(x @ matrix_of(module).T + module.bias, module(x))


def test_a_matrix_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"\(4, 5\) cannot replace .* \(5, 4\)"):
        write_matrix(nn.Linear(4, 5), torch.zeros(4, 5))
