from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import transformers as hf
from small_layers import normal, statistics_of
from torch import Tensor, nn

from dna_ray.errors import NetworkError, TaskError
from dna_ray.evolution.sparsity import statistics
from dna_ray.evolution.sparsity.layers import Layer, matrix_of
from dna_ray.evolution.sparsity.statistics import InputStatistics, calibrated, gather


def _near(one: InputStatistics, other: InputStatistics) -> bool:
    return one.count == other.count and all(
        torch.allclose(getattr(one, name), getattr(other, name), rtol=1e-6, atol=1e-7)
        for name in ("mean_abs", "rms", "largest", "moments")
    )


def test_streamed_sums_are_those_of_all_inputs_at_once():
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))
    x = normal(5000, 6) * 3 + 1
    found = gather(model, ["0.weight", "2.weight"], x.split(700), model).statistics
    assert _near(found["0.weight"], statistics_of(x))
    assert _near(found["2.weight"], statistics_of(model[:2](x).detach()))
    assert found["0.weight"].moments.dtype == torch.float64


def test_padding_is_left_out_and_texts_as_a_whole_are_not():
    model = nn.Linear(4, 4)
    x, mask = normal(8, 5, 4), normal(8, 5, seed=1) > 0
    by_token = gather(model, ["weight"], [(x, mask)], lambda batch: model(batch[0]), mask=lambda batch: batch[1])
    assert _near(by_token.statistics["weight"], statistics_of(x[mask]))
    by_text = gather(model, ["weight"], [(x, mask)], lambda batch: model(batch[0][:, 0]), mask=lambda batch: batch[1])
    assert _near(by_text.statistics["weight"], statistics_of(x[:, 0]))


def test_a_linear_layer_of_gpt2_is_heard_too():
    model = nn.ModuleDict({"fc": hf.pytorch_utils.Conv1D(7, 4)})
    x = normal(20, 3, 4)
    found = gather(model, ["fc.weight"], [x], model["fc"]).statistics["fc.weight"]
    assert _near(found, statistics_of(x.flatten(0, 1)))


class _PadsLikeTensorflow(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(x, (0, 1, 0, 1)))


CONVOLUTIONS: dict[str, Callable[[], nn.Conv2d]] = {
    "plain": lambda: nn.Conv2d(4, 6, 3),
    "strided": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1),
    "pointwise": lambda: nn.Conv2d(4, 6, 1),
    "wide": lambda: nn.Conv2d(4, 6, (3, 5), dilation=(1, 2), padding="same"),
    "circular": lambda: nn.Conv2d(4, 6, 3, padding=2, padding_mode="circular"),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2, padding=1),
    "depthwise": lambda: nn.Conv2d(4, 8, 3, groups=4),
    "tensorflow": lambda: _PadsLikeTensorflow(4, 6, 3, stride=2),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_inputs_of_a_convolution_are_what_its_matrix_multiplies(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(statistics, "_ENTRIES", 10_000)  # so that samples come in several chunks
    module = CONVOLUTIONS[kind]()
    x = normal(5, 4, 12, 14)
    output = module(x)
    columns = torch.cat(list(statistics._unfolded(module, x, output))).unflatten(0, (-1, module.groups))
    rows = matrix_of(module).unflatten(0, (module.groups, -1))  # [G, outputs of a group, cols]
    answer = torch.einsum("pgc,goc->pgo", columns, rows).flatten(1) + module.bias
    assert torch.allclose(answer, output.permute(0, 2, 3, 1).flatten(0, 2), atol=1e-5)

    found = gather(module, ["weight"], x.split(2), module)
    assert _near(found.statistics["weight"], statistics_of(columns.flatten(0, 1)))
    assert found.statistics["weight"].groups == module.groups
    assert found.positions == {"weight": output.shape[2] * output.shape[3]}


def test_depth_is_the_order_in_which_data_reach_layers_and_blocks_keep_theirs():
    model = nn.ModuleDict({"blocks": nn.Conv2d(4, 4, 1), "conv_stem": nn.Conv2d(3, 4, 3), "tail": nn.Conv2d(4, 6, 1)})
    layers = tuple(Layer(f"{name}.weight", "convolution", n / 2, 4, 27) for n, name in enumerate(model))
    found = gather(
        model,
        [layer.name for layer in layers],
        [normal(2, 3, 5, 5)],
        lambda x: model["tail"](model["blocks"](model["conv_stem"](x))),
    )
    assert found.order == ("conv_stem.weight", "blocks.weight", "tail.weight")
    assert [(layer.depth, layer.positions) for layer in calibrated(layers, found)] == [(0.5, 9), (0.0, 9), (1.0, 9)]
    blocks = tuple(replace(layer, depth=0.25) for layer in layers)
    assert {layer.depth for layer in calibrated(blocks, found)} == {0.25}


def test_a_linear_layer_serves_a_token_or_every_pixel():
    model = nn.Linear(4, 4)
    for x, positions in ((normal(2, 4), 1), (normal(2, 7, 4), 1), (normal(2, 5, 6, 4), 30)):
        assert gather(model, ["weight"], [x], model).positions == {"weight": positions}


def test_the_model_is_left_as_it_was_also_after_an_exception():
    model = nn.Linear(4, 4)

    def fails(_: Tensor) -> None:
        raise RuntimeError("in the forward pass")

    with pytest.raises(RuntimeError, match="in the forward pass"):
        gather(model, ["weight"], [normal(2, 4)], fails)
    assert not model._forward_hooks


def test_a_layer_that_no_data_reach_is_named():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    with pytest.raises(TaskError, match=r"no data reached '1\.weight'; .* exclude it"):
        gather(model, ["0.weight", "1.weight"], [normal(2, 4)], model[0])
    with pytest.raises(TaskError, match="no data reached"):
        gather(model, ["0.weight"], [], model)


def test_inputs_that_are_not_finite_are_named():
    model = nn.Linear(4, 4)
    with pytest.raises(TaskError, match="inputs of 'weight' are not finite"):
        gather(model, ["weight"], [torch.full((2, 4), torch.nan)], model)


def test_a_name_of_no_layer_is_refused():
    with pytest.raises(NetworkError, match=r"no .* named 'other\.weight'"):
        gather(nn.Sequential(nn.Linear(4, 4)), ["other.weight"], [], print)
