import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_fixture import gaussian, layer_of, layers, programs
from torch import Tensor, nn

from dna_ray.evolution.metric.evaluate import evaluate
from dna_ray.evolution.metric.founders import FOUNDERS
from dna_ray.evolution.metric.probes import Probe
from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.metric.source import from_python
from dna_ray.evolution.metric.symbols import BOUND, LEAVES, OPERATIONS, TINY

W, X = gaussian().weight, gaussian().statistics
A = W.abs()
FORMULAS = {
    "magnitude": A,
    "wina": A * X.mean_abs,
    "wanda": A * X.rms,
    "ria": (A / A.sum(1, keepdim=True) + A / A.sum(0)) * X.rms.sqrt(),
}
LEAF_FORMULAS = {
    "W": W,
    "absW": A,
    "X1": X.mean_abs,
    "X2": X.rms,
    "Xmax": X.largest,
    "row_l1": torch.stack([row.abs().sum() for row in W])[:, None],
    "row_l2": torch.stack([row.norm() for row in W])[:, None],
    "col_l1": torch.stack([col.abs().sum() for col in W.T]),
    "col_l2": torch.stack([col.norm() for col in W.T]),
    "depth": torch.tensor(0.25),
    "fan_in": torch.tensor(5.0),
}
OPERATION_FORMULAS = {
    "abs": lambda x: x.abs(),
    "sqr": lambda x: x**2,
    "sqrt": lambda x: x.abs() ** 0.5,
    "log1p": lambda x: x.sign() * torch.log(1 + x.abs()),
    "neg": lambda x: -x,
    "inv_safe": lambda x: 1 / x,
    "rank": lambda x: torch.tensor([[float((x < entry).sum()) / x.numel() for entry in row] for row in x]),
    "minmax": lambda x: (x - x.min()) / (x.max() - x.min()),
    "zscore": lambda x: (x - x.mean()) / x.std(correction=0),
    "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div_safe": lambda x, y: x / y,
    "max": lambda x, y: torch.where(x > y, x, y),
    "min": lambda x, y: torch.where(x < y, x, y),
}


def at(text: str, probe: Probe) -> Tensor:
    return probe.importance(from_python(text))


def close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected.expand(found.shape), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FOUNDERS)
def test_a_founder_is_its_formula(name: str):
    assert close(gaussian().importance(FOUNDERS[name]), FORMULAS[name])


@pytest.mark.parametrize("symbol", LEAVES)
def test_a_leaf_is_what_it_stands_for(symbol: str):
    assert close(gaussian().importance(Program(symbol)), LEAF_FORMULAS[symbol])


@pytest.mark.parametrize("symbol", OPERATIONS)
def test_an_operation_is_its_formula(symbol: str):
    arguments = ("W", "X1")[: OPERATIONS[symbol].arity]
    expected = OPERATION_FORMULAS[symbol](*(LEAF_FORMULAS[leaf] for leaf in arguments))
    assert close(at(f"{symbol}({', '.join(arguments)})", gaussian()), expected)


@pytest.mark.parametrize("symbol", ["rank", "minmax", "zscore"])
@pytest.mark.parametrize("inside", ["X1", "row_l1", "depth"])
def test_what_looks_at_the_whole_matrix_sees_the_same_before_and_after_broadcasting(symbol: str, inside: str):
    spread = LEAF_FORMULAS[inside].expand(W.shape)
    expected = torch.zeros_like(spread) if inside == "depth" else OPERATION_FORMULAS[symbol](spread)
    assert close(at(f"{symbol}({inside})", gaussian()), expected)


@given(programs(), layers())
@settings(max_examples=120, deadline=None)
def test_importances_are_finite_whatever_the_weights_and_inputs(program: Program, probe: Probe):
    importance = probe.importance(program)
    assert importance.shape == probe.weight.shape
    assert importance.dtype == torch.float32
    assert importance.abs().max() <= BOUND  # false for NaN


@given(programs(), layers())
@settings(max_examples=50, deadline=None)
def test_importances_are_new_memory_and_the_layer_stays_as_it_is(program: Program, probe: Probe):
    weight, inputs = probe.weight.clone(), probe.statistics.mean_abs.clone()
    probe.importance(program).fill_(7)
    assert torch.equal(probe.weight.view(torch.int32), weight.view(torch.int32))
    assert torch.equal(probe.statistics.mean_abs.view(torch.int32), inputs.view(torch.int32))


@given(programs(), layers(st.floats(-10, 10, width=32)))
@settings(max_examples=50, deadline=None)
def test_importances_do_not_depend_on_how_the_matrix_lies_in_memory(program: Program, probe: Probe):
    turned = Probe(probe.weight.T.contiguous().T, probe.statistics, probe.layer)
    found = turned.importance(program)
    assert found.is_contiguous()
    assert torch.allclose(found, probe.importance(program), rtol=1e-4, atol=1e-4)


def test_what_is_not_a_number_counts_as_nothing_and_what_is_infinite_as_the_bound():
    probe = layer_of(torch.tensor([[float("nan"), float("inf")], [-float("inf"), 3e38]]))
    assert at("W", probe).tolist() == torch.tensor([[0.0, BOUND], [-BOUND, BOUND]]).tolist()


def test_division_is_safe_and_takes_zero_as_positive():
    probe = layer_of(torch.tensor([[0.0, -0.0, 2.0, -1e-20]]))
    largest = float(torch.tensor(1 / TINY))
    assert at("inv_safe(W)", probe).tolist() == [[largest, largest, 0.5, -largest]]
    assert at("div_safe(0, W)", probe).abs().tolist() == [[0.0, 0.0, 0.0, 0.0]]


def test_products_stop_at_the_bound():
    probe = layer_of(torch.tensor([[1e29, -1e29]]))
    bound = float(torch.tensor(BOUND))
    assert at("W * absW", probe).tolist() == [[bound, -bound]]
    assert at("sqr(W) + sqr(W)", probe).tolist() == [[bound, bound]]


def test_equal_values_have_equal_ranks():
    probe = layer_of(torch.tensor([[2.0, 1.0, 2.0], [3.0, -0.0, 0.0]]))
    assert torch.allclose(at("rank(W)", probe), torch.tensor([[3.0, 2.0, 3.0], [5.0, 0.0, 0.0]]) / 6)


@pytest.mark.parametrize("symbol", ["rank", "minmax", "zscore"])
def test_a_constant_matrix_has_no_order(symbol: str):
    assert not at(f"{symbol}(W)", layer_of(torch.full((7, 3), 0.1))).any()


def test_a_parameter_may_be_given_as_it_is():
    probe = gaussian()
    importance = evaluate(FOUNDERS["wina"], nn.Parameter(probe.weight), probe.statistics, probe.layer)
    assert not importance.requires_grad


def test_a_layer_without_weights_has_no_importances():
    probe = gaussian()
    assert evaluate(from_python("zscore(W)"), torch.zeros(0, 5), probe.statistics, probe.layer).shape == (0, 5)
