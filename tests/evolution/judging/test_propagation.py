from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_layers import normal
from torch import nn

from dna_ray.errors import InputError, NetworkError
from dna_ray.evolution.judging.propagation import lipschitz_bound, network_bound, sample_bounds
from dna_ray.evolution.sparsity.application import apply
from dna_ray.evolution.sparsity.layers import matrix_of
from dna_ray.evolution.sparsity.masks import rank

SEEDS = st.integers(0, 10**6)


def _initialised(model: nn.Sequential, seed: int) -> nn.Sequential:
    for place, tensor in enumerate(model.state_dict().values()):
        if tensor.is_floating_point():
            tensor.copy_(normal(*tensor.shape, seed=seed + place) * 0.7)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.abs_().add_(0.1)
    return model.eval()


def _pruned(model: nn.Sequential, keep: float) -> nn.Sequential:
    sparse = deepcopy(model)
    matrices = {
        f"{place}.weight": matrix_of(module)
        for place, module in sparse.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    apply(sparse, {name: rank(each.abs()).mask(int(keep * each.numel())) for name, each in matrices.items()})
    return sparse


@settings(max_examples=60)
@given(st.lists(st.integers(1, 20), min_size=2, max_size=6), st.floats(0, 1), SEEDS)
def test_no_network_of_relus_errs_by_more_than_its_bound(widths: list[int], keep: float, seed: int):
    layers = [layer for n, m in zip(widths, widths[1:], strict=False) for layer in (nn.Linear(n, m), nn.ReLU())]
    dense = _initialised(nn.Sequential(*layers[:-1]), seed)
    found, measured = sample_bounds(dense, _pruned(dense, keep), normal(20, widths[0], seed=seed))
    assert (measured <= found * (1 + 1e-9) + 1e-12).all()


def _convolutional(stride: int, groups: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU6()),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(4, 8, (3, 2), stride=stride, groups=groups, dilation=dilation, padding=2, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2, stride=1),
        nn.AdaptiveAvgPool2d((2, 3)),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(48, 5),
    )


@settings(max_examples=40)
@given(st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(1, 2), st.floats(0, 1), SEEDS)
def test_nor_does_a_convolutional_one(stride: int, groups: int, dilation: int, keep: float, seed: int):
    dense = _initialised(_convolutional(stride, groups, dilation), seed)
    found, measured = sample_bounds(dense, _pruned(dense, keep), normal(4, 2, 9, 11, seed=seed))
    assert (measured <= found * (1 + 1e-9) + 1e-12).all()


LINEAR = {
    "linear": (nn.Linear(12, 7), (12,)),
    "convolution": (nn.Conv2d(2, 3, 3, padding=1), (2, 6, 7)),
    "strided": (nn.Conv2d(2, 3, 3, stride=2), (2, 6, 7)),
    "dilated": (nn.Conv2d(2, 4, 3, dilation=2, stride=2, groups=2), (2, 9, 9)),
    "batch norm": (nn.BatchNorm2d(2).eval(), (2, 3, 3)),
    "mean": (nn.AvgPool2d(3, stride=1, divisor_override=2), (2, 6, 7)),
    "mean at edges": (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (2, 6, 7)),
    "mean of all": (nn.AdaptiveAvgPool2d(1), (2, 6, 7)),
    "copies": (nn.AdaptiveAvgPool2d((7, 7)), (2, 1, 1)),
}
LOOSE = ("mean of all", "mean at edges")  # how large the image is, and how much of it an edge, a layer does not tell


@pytest.mark.parametrize("kind", LINEAR)
def test_a_linear_map_is_no_longer_than_its_constant(kind: str):
    module, shape = LINEAR[kind]
    module = deepcopy(module).double().eval()
    size = torch.Size(shape).numel()
    jacobian = torch.autograd.functional.jacobian(
        lambda x: module(x.view(1, *shape)).flatten(), torch.zeros(size, dtype=torch.float64)
    )
    exact = float(torch.linalg.matrix_norm(jacobian, 2))
    assert exact <= lipschitz_bound(module)
    assert lipschitz_bound(module) <= 3.1 * exact or kind in LOOSE


def test_a_network_bound_is_a_mean_and_that_of_no_change_is_zero():
    dense = _initialised(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), 0)
    found = network_bound(dense, _pruned(dense, 0.5), normal(20, 6))
    assert found.holds
    assert found.ratio > 1
    assert network_bound(dense, deepcopy(dense), normal(20, 6)).bound == 0


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.MultiheadAttention(4, 2), "MultiheadAttention has no Lipschitz constant .* only an estimate"),
        (nn.BatchNorm2d(4), "BatchNorm2d is in training mode"),
        (nn.BatchNorm2d(4, track_running_stats=False).eval(), "without running statistics"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect").eval(), "'reflect', which repeats pixels"),
        (nn.AdaptiveAvgPool2d((None, 2)).eval(), "no fixed output size"),
    ],
)
def test_where_nothing_is_guaranteed_no_bound_is_given(layer: nn.Module, said: str):
    with pytest.raises(NetworkError, match=f"^no bound: .*{said}"):
        lipschitz_bound(layer if "training" in said else layer.eval())


def test_networks_that_cannot_be_compared_are_refused():
    dense = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval()
    with pytest.raises(NetworkError, match="not made of the layers"):
        network_bound(dense, dense[:1], normal(2, 4))
    with pytest.raises(InputError, match="hold no sample"):
        network_bound(dense, dense, normal(0, 4))
