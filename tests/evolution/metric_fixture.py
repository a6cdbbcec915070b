"""What the tests of the metric language share: programs and layers to draw, and texts that are no metric."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from hypothesis import strategies as st
from torch import Tensor

from dna_ray.evolution.metric.probes import Probe
from dna_ray.evolution.metric.program import MOST_DEPTH, MOST_NODES, Program, constant
from dna_ray.evolution.metric.symbols import LEAVES, OPERATIONS
from dna_ray.evolution.sparsity.layers import Layer
from dna_ray.evolution.sparsity.statistics import InputStatistics

ANY_FLOAT = st.floats(width=32)


@st.composite
def programs(draw: st.DrawFn, depth: int = MOST_DEPTH, nodes: int = MOST_NODES) -> Program:
    arity = draw(st.integers(0, 0 if depth == 1 else min(2, nodes - 1)))
    if arity == 0:
        number = st.floats(allow_nan=False).map(constant)
        return draw(st.sampled_from([Program(leaf) for leaf in LEAVES]) | number)
    symbol = draw(st.sampled_from([name for name, operation in OPERATIONS.items() if operation.arity == arity]))
    left = draw(programs(depth - 1, nodes - arity))
    if arity == 1:
        return Program(symbol, (left,))
    return Program(symbol, (left, draw(programs(depth - 1, nodes - 1 - left.nodes))))


@st.composite
def layers(draw: st.DrawFn, floats: st.SearchStrategy[float] = ANY_FLOAT) -> Probe:
    rows, cols = draw(st.integers(1, 4)), draw(st.integers(1, 4))

    def vector(size: int) -> Tensor:
        return torch.tensor(draw(st.lists(floats, min_size=size, max_size=size)))

    statistics = InputStatistics(*(vector(cols).abs() for _ in range(3)), torch.eye(cols), 1)
    depth = draw(st.floats(0, 1))
    return Probe(vector(rows * cols).reshape(rows, cols), statistics, Layer("l", "query", depth, rows, cols, 1))


def layer_of(weight: Tensor, *, depth: float = 0.25, seed: int = 0) -> Probe:
    rows, cols = weight.shape
    inputs = torch.randn(50, cols, generator=torch.Generator().manual_seed(seed)) ** 3
    statistics = InputStatistics(
        inputs.abs().mean(0), inputs.square().mean(0).sqrt(), inputs.abs().amax(0), inputs.T @ inputs / 50, 50
    )
    return Probe(weight, statistics, Layer("l", "query", depth, rows, cols, 1))


def gaussian(rows: int = 7, cols: int = 5, *, seed: int = 1) -> Probe:
    return layer_of(torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed)))


def escapes() -> Iterator[str]:
    """Texts that try to be more than the language."""
    for line in (Path(__file__).parent / "metric" / "escapes.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            read = json.loads(line)
            yield read if isinstance(read, str) else "".join(part * times for part, times in read)
