"""The three sine networks: sets of SIRENs, one a group of tensors, evaluated together.

A SIREN [1] maps a coordinate to a weight through layers `sin(omega * (W x + b))`. Here a coordinate is a pair (row
place, column place), and points come in blocks: every row of a block with every column of it. So the first layer is
computed for rows and for columns, and only then for points (see `sine`).

[1] Sitzmann, Martel, Bergman, Lindell, Wetzstein. Implicit neural representations with periodic activation functions.
    NeurIPS 2020. Section 3.2 gives the initialisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dna_ray.mining.sine import EAGER, Kernels, bilinear_sine
from dna_ray.mining.sine_stack import Arithmetic, Memory, sine_stack, stored


@dataclass(frozen=True, kw_only=True, slots=True)
class SirenShape:
    """Shape of a set of SIRENs.

    Attributes:
        groups: Number of functions.
        row_axes: Coordinates of a row.
        col_axes: Coordinates of a column.
        widths: Units of each hidden layer, first to last.
        omega: Frequency scale of the sines, in radians per unit of pre-activation. [1] uses 30.
    """

    groups: int
    row_axes: int
    col_axes: int
    widths: tuple[int, ...]
    omega: float

    @property
    def parameters(self) -> int:
        """Parameters of one function."""
        inputs = [self.row_axes + self.col_axes, *self.widths]
        return sum((n + 1) * m for n, m in zip(inputs, [*self.widths, 1], strict=True))


@dataclass(frozen=True, slots=True)
class Precision:
    """How products are computed: their dtype, and the pointwise kernels."""

    dtype: torch.dtype = torch.float32
    kernels: Kernels = EAGER


class SirenSet(nn.Module):
    """`groups` SIRENs of one shape, as batched products. Their results are sums over the last layer's sines.

    What is inside a sine is stored in fp16; the last layer, whose large terms nearly cancel, in fp32.
    """

    def __init__(self, shape: SirenShape, *, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        g, h = shape.groups, shape.widths[0]
        axes = shape.row_axes + shape.col_axes
        bounds = [1 / axes] + [sqrt(6 / width) / shape.omega for width in shape.widths]
        self.row_weight = _uniform((g, h, shape.row_axes), bounds[0], generator)
        self.col_weight = _uniform((g, h, shape.col_axes), bounds[0], generator)
        self.bias = _uniform((g, h), bounds[0], generator)
        pairs = list(zip(shape.widths, shape.widths[1:], bounds[1:], strict=False))
        self.hidden_weight = nn.ParameterList([_uniform((g, m, n), b, generator) for n, m, b in pairs])
        self.hidden_bias = nn.ParameterList([_uniform((g, m), b, generator) for _, m, b in pairs])
        self.out_weight = _uniform((g, shape.widths[-1]), bounds[-1], generator)
        self.out_bias = nn.Parameter(torch.zeros(g))
        self._memory = Memory()

    def forward(
        self, rows: Float[Tensor, "g n r a"], cols: Float[Tensor, "g n c b"], precision: Precision
    ) -> Float[Tensor, "g n r c"]:
        g, n, r, _ = rows.shape
        c = cols.shape[2]
        row_angle = self._angle(rows, self.row_weight, self.bias)
        col_angle = self._angle(cols, self.col_weight, None)
        if not self.hidden_weight:
            weight = self.out_weight.repeat_interleave(n, 0)
            value = bilinear_sine(row_angle.flatten(0, 1), col_angle.flatten(0, 1), weight).view(g, n, r, c)
        else:
            how = Arithmetic(
                self.shape.omega, precision.dtype, precision.kernels, self._memory, keep=torch.is_grad_enabled()
            )
            value = sine_stack(
                row_angle, col_angle, list(self.hidden_weight), list(self.hidden_bias), self.out_weight, how
            )
        return value + self.out_bias.view(g, 1, 1, 1)

    def inside(self) -> list[nn.Parameter]:
        """The parameters inside the sines, which omega multiplies."""
        return [self.row_weight, self.col_weight, self.bias, *self.hidden_weight, *self.hidden_bias]

    def _angle(self, places: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """omega (W x + b) of every row or column: [g, n, k, a] -> [g, n, k, h], in full precision."""
        g, n, k, _ = places.shape
        scaled = (self.shape.omega * as_stored(weight)).transpose(1, 2)
        flat = places.reshape(g, n * k, -1)
        if bias is None:
            angle = flat @ scaled
        else:
            angle = torch.baddbmm(self.shape.omega * as_stored(bias).unsqueeze(1), flat, scaled)
        return angle.view(g, n, k, -1)


def as_stored(parameter: Tensor) -> Tensor:
    """Rounded to fp16 as in the file, the gradient passed on as it is: training sees what the file will hold."""
    result: Tensor = _Stored.apply(parameter)
    return result


class _Stored(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parameter: Tensor) -> Tensor:
        return stored(parameter)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Tensor:
        return grads[0]


class SpectralDNA(nn.Module):
    """One SIREN a group."""

    def __init__(self, shapes: Sequence[SirenShape], *, generator: torch.Generator) -> None:
        super().__init__()
        (shape,) = shapes
        self.bands = nn.ModuleList([SirenSet(shape, generator=generator)])

    def forward(self, rows: Tensor, cols: Tensor, precision: Precision) -> Tensor:
        return self.bands[0](rows, cols, precision)


class HierarchicalDNA(nn.Module):
    """Three SIRENs a group, low, mid and high omega, whose results add up, coarse to fine.

    Over learned places each reads dimensions of its own: the leading ones, which hold the coarse structure, go to the
    low band. So three bands cost a third of one that reads everything.
    """

    def __init__(self, shapes: Sequence[SirenShape], *, generator: torch.Generator) -> None:
        super().__init__()
        low, mid, high = (SirenSet(shape, generator=generator) for shape in shapes)
        self.bands = nn.ModuleList([low, mid, high])
        self._row_axes = [shape.row_axes for shape in shapes]
        self._col_axes = [shape.col_axes for shape in shapes]

    def forward(self, rows: Tensor, cols: Tensor, precision: Precision) -> Tensor:
        low, mid, high = (
            band(own_rows, own_cols, precision)
            for band, own_rows, own_cols in zip(
                self.bands, _own(rows, self._row_axes), _own(cols, self._col_axes), strict=True
            )
        )
        return low + mid + high


class AdaptiveDNA(nn.Module):
    """One SIREN a group whose frequency is a learned function of the place.

    The angle that a row adds is `omega * (f(row) W row + b)` with `f(row) = exp(a . row)`, and likewise for columns;
    f starts at 1, where it is a plain SIREN. The factors of row and column stay apart, so blocks stay cheap.
    """

    def __init__(self, shapes: Sequence[SirenShape], *, generator: torch.Generator) -> None:
        super().__init__()
        (shape,) = shapes
        self.bands = nn.ModuleList([SirenSet(shape, generator=generator)])
        self.row_frequency = nn.Parameter(torch.zeros(shape.groups, shape.row_axes))
        self.col_frequency = nn.Parameter(torch.zeros(shape.groups, shape.col_axes))

    def forward(self, rows: Tensor, cols: Tensor, precision: Precision) -> Tensor:
        return self.bands[0](
            rows * _frequency(rows, self.row_frequency), cols * _frequency(cols, self.col_frequency), precision
        )


NETWORKS: dict[str, type[SpectralDNA] | type[HierarchicalDNA] | type[AdaptiveDNA]] = {
    "spectral": SpectralDNA,
    "hierarchical": HierarchicalDNA,
    "adaptive": AdaptiveDNA,
}

# omega of each band, relative to the one that was asked for
BANDS: dict[str, tuple[float, ...]] = {"spectral": (1.0,), "hierarchical": (0.1, 0.3, 1.0), "adaptive": (1.0,)}


def _own(places: Tensor, axes: Sequence[int]) -> Sequence[Tensor]:
    """The dimensions that each band reads: its own part of them, or every one of them where all bands read all."""
    return places.split(axes, -1) if places.shape[-1] == sum(axes) else [places] * len(axes)


def _frequency(places: Float[Tensor, "g n k a"], slope: Float[Tensor, "g a"]) -> Float[Tensor, "g n k 1"]:
    """Local frequency, between 1/e and e, so that a step of training cannot run away with it."""
    return torch.exp(torch.tanh(torch.einsum("gnka,ga->gnk", places, as_stored(slope)))).unsqueeze(-1)


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))
