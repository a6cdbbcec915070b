"""Layers and their inputs, as small as a test wants them."""

import torch
from hypothesis import strategies as st
from torch import Tensor

from dna_ray.evolution.sparsity.layers import Layer
from dna_ray.evolution.sparsity.statistics import InputStatistics


def statistics_of(x: Tensor) -> InputStatistics:
    """By their definitions, of (positions, cols)."""
    wide = x.double()
    return InputStatistics(
        mean_abs=wide.abs().mean(0).float(),
        rms=wide.square().mean(0).sqrt().float(),
        largest=wide.abs().amax(0).float(),
        moments=wide.T @ wide / len(x),
        count=len(x),
    )


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@st.composite
def some_layers(draw: st.DrawFn, largest: int = 300) -> tuple[Layer, ...]:
    """One to eight layers of 12 weights at least; kernels and positions among them."""
    found = []
    for place in range(draw(st.integers(1, 8))):
        side = draw(st.sampled_from([0, 0, 1, 3]))
        cols = draw(st.integers(1, largest)) * max(1, side * side)
        found.append(
            Layer(
                name=f"{place}.weight",
                kind="convolution" if side else "ffn_in",
                depth=draw(st.integers(0, 4)) / 4,
                rows=draw(st.integers(12, largest)),
                cols=cols,
                positions=draw(st.sampled_from([1, 1, 4, 49, 1024])),
                kernel=(side, side) if side else (),
            )
        )
    return tuple(found)
