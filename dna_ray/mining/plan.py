"""The plan of a sine kind: groups, dimensions and widths that fill a byte budget."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from dna_ray.errors import BudgetError
from dna_ray.mining import groups
from dna_ray.mining.config import MineConfig
from dna_ray.mining.siren import BANDS, SirenShape
from dna_ray.mining.tiles import Band
from dna_ray.networks import Anatomy

LARGEST_FUNCTION = 65_000  # parameters
FUNCTION_SHARE = 0.05  # of the file, that the functions over learned places may take
DIMS = (2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96, 112, 127, 160, 192, 224, 254)
INDEX_LAYERS, LEARNED_LAYERS = 3, 1

# Squared error of a Gaussian in the best uniform quantiser of 2**bits levels, over its variance (Max 1960, table II).
QUANTISED = {1: 0.3634, 2: 0.1188, 3: 0.03744, 4: 0.01154, 5: 0.003495, 6: 0.001041, 7: 0.0003035, 8: 0.00008714}


@dataclass(frozen=True, kw_only=True, slots=True)
class SinePlan:
    """Shape of a sine kind of DNA; with the anatomy it says what every byte of the sections means.

    Attributes:
        kind: spectral, hierarchical or adaptive.
        partition: Name in `groups.PARTITIONS`, or `pieces`.
        piece: Weights of a group, where the partition is `pieces`.
        widths: Units of each hidden layer of each band.
        omega: Frequency scale.
        dims: Dimensions of the places of each matrix; None: index coordinates.
        bits: Bits of a learned coordinate.
    """

    kind: str
    partition: str
    piece: int
    widths: tuple[tuple[int, ...], ...]
    omega: float
    dims: tuple[int, ...] | None
    bits: int

    def bands(self, anatomy: Anatomy) -> list[Band]:
        """Which rows of which matrix belong to which group."""
        if self.partition == "pieces":
            return groups.pieces(anatomy, self.piece)
        return groups.PARTITIONS[self.partition](anatomy)

    def shapes(self, count: int) -> list[SirenShape]:
        """Shape of each band of `count` functions."""
        omegas = [self.omega * scale for scale in BANDS[self.kind]]
        if self.dims is None:
            axes = [(3, 1)] * len(omegas)
        else:
            axes = [(dim, dim) for (dim,) in spread(self.place_dim, len(omegas), 1)]
        return [
            SirenShape(groups=count, row_axes=rows, col_axes=cols, widths=widths, omega=omega)
            for (rows, cols), widths, omega in zip(axes, self.widths, omegas, strict=True)
        ]

    @property
    def place_dim(self) -> int:
        """Dimensions of the table of places: at least one for every band."""
        return max(*self.dims, len(self.widths)) if self.dims else 0

    def parameters(self) -> int:
        """Parameters of one function, all bands together."""
        shapes = self.shapes(1)
        slopes = shapes[0].row_axes + shapes[0].col_axes if self.kind == "adaptive" else 0
        return sum(shape.parameters for shape in shapes) + slopes

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "SinePlan":
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError where data is no plan."""
        dims = None if data["dims"] is None else tuple(int(d) for d in data["dims"])
        widths = tuple(tuple(int(w) for w in band) for band in data["widths"])
        return cls(**{**data, "dims": dims, "widths": widths})


def place_bytes(shapes: Sequence[tuple[int, int]], dims: Sequence[int], bits: int) -> int:
    """Bytes of the learned places of matrices of these shapes, with their scales."""
    numbers = sum((rows + cols) * d for (rows, cols), d in zip(shapes, dims, strict=True))
    return -(-numbers * bits // 8) + 2 * 2 * sum(dims)


def plan_index(anatomy: Anatomy, budget: int, config: MineConfig) -> SinePlan:
    """Fills `budget` (bytes for functions and normalisation) with functions over (row, col, layer, kind).

    Raises:
        BudgetError: Even the narrowest functions are too large.
    """
    layers, bands = config.num_layers or INDEX_LAYERS, len(BANDS[config.kind])
    left = budget - 8 * len(anatomy.matrices)
    best: tuple[int, SinePlan] | None = None
    smallest_need = None
    for partition, piece in _index_partitions(anatomy, left, config):
        plan = partial(_index, config, partition, piece)
        count = groups.count(plan(((9,) * layers,) * bands).bands(anatomy))

        def used(units: int, plan: Any = plan, count: int = count) -> int:
            return 2 * count * plan(spread(units, bands, layers)).parameters()

        smallest = bands * layers * (config.hidden_dim or 1)
        units = smallest if config.hidden_dim else _largest(lambda units, used=used: used(units) <= left, smallest)
        smallest_need = min(smallest_need or used(smallest), used(smallest))
        if used(smallest) <= left and (best is None or used(units) > best[0]):
            best = used(units), plan(spread(units, bands, layers))
    if best is None:
        need = 8 * len(anatomy.matrices) + (smallest_need or 0)
        raise BudgetError(
            f"kind {config.kind}: needs {need} bytes for its functions, {max(budget, 0)} are left", smallest=need
        )
    return best[1]


def plan_learned(
    anatomy: Anatomy, spectra: Sequence[np.ndarray[Any, np.dtype[np.float64]]], budget: int, config: MineConfig
) -> SinePlan:
    """Fills `budget` (bytes for functions, places and normalisation) with functions over learned places.

    A tensor gets dimensions as reverse water-filling gives them: a dimension is worth the energy of its singular value,
    and costs a number for every row and column. The partition is the finest whose functions take at most
    `FUNCTION_SHARE` of the budget; the largest number of dimensions is the one with the smallest expected error.

    Args:
        spectra: Singular values of each centred matrix, largest first.

    Raises:
        BudgetError: Not even one dimension fits.
    """
    shapes = [info.matrix_shape for info in anatomy.matrices]
    left = budget - 8 * len(shapes)
    best: tuple[float, SinePlan] | None = None
    for dim in [config.place_dim] if config.place_dim else DIMS:
        count, partition = _finest(anatomy, left, dim, config)
        for bits in [config.place_bits] if config.place_bits else QUANTISED:
            plan = _filled(shapes, spectra, left, _learned(config, partition, (dim,), bits), count, config)
            if plan is None or plan.dims is None or (best and plan.parameters() > LARGEST_FUNCTION):
                continue
            error = _expected_error(spectra, plan.dims, bits)
            if best is None or error < best[0]:
                best = error, plan
    if best is None:
        raise BudgetError(
            f"kind {config.kind}: {max(budget, 0)} bytes hold no place of even one dimension",
            smallest=_smallest_learned(shapes, config),
        )
    return best[1]


def spread(units: int, bands: int, layers: int) -> tuple[tuple[int, ...], ...]:
    """Splits `units` over layers and bands: widths differ by at most one, so that a budget is met closely."""
    low, extra = divmod(units, bands * layers)
    flat = [low + (i < extra) for i in range(bands * layers)]
    return tuple(tuple(flat[band * layers : (band + 1) * layers]) for band in range(bands))


def _index_partitions(anatomy: Anatomy, left: int, config: MineConfig) -> list[tuple[str, int]]:
    """Names and sizes of the groups to try: pieces about as large as the median matrix, or larger functions would be."""
    if config.groups == "one":
        return [("one", 0)]
    sizes = sorted(info.size for info in anatomy.matrices)
    limit = LARGEST_FUNCTION * 2 * anatomy.weights // max(left, 1)
    natural = min(sizes[len(sizes) // 2], limit)
    return [("pieces", max(1, round(natural * (1 + step / 50)))) for step in range(-5, 1)]


def _index(config: MineConfig, partition: str, piece: int, widths: tuple[tuple[int, ...], ...]) -> SinePlan:
    return SinePlan(
        kind=config.kind, partition=partition, piece=piece, widths=widths, omega=config.omega, dims=None, bits=0
    )


def _finest(anatomy: Anatomy, left: int, dim: int, config: MineConfig) -> tuple[int, str]:
    """Number of groups and name of the finest partition whose functions take at most their share of the file."""
    names = ["one"] if config.groups == "one" else list(groups.PARTITIONS)
    for name in names:
        plan = _learned(config, name, (dim,), 8)
        count = groups.count(plan.bands(anatomy))
        if 2 * count * plan.parameters() <= FUNCTION_SHARE * left:
            return count, name
    return count, name


def _smallest_learned(shapes: Sequence[tuple[int, int]], config: MineConfig) -> int:
    """Bytes of one function, and one dimension for the cheapest matrix."""
    dim, bits = config.place_dim or DIMS[0], config.place_bits or min(QUANTISED)
    plan = _learned(config, "one", (dim,), bits)
    return 8 * len(shapes) + 2 * plan.parameters() + min(place_bytes([shape], [1], bits) for shape in shapes) + 1


def _filled(
    shapes: Sequence[tuple[int, int]], spectra: Sequence[Any], left: int, plan: SinePlan, count: int, config: MineConfig
) -> SinePlan | None:
    """`plan` with the dimensions of each tensor that fill `left` bytes; None where there is no room for any."""
    for _ in range(2):  # fewer dimensions than expected make smaller functions, and room
        assert plan.dims is not None
        functions = 2 * count * plan.parameters()
        dims = _waterfill(shapes, spectra, left - functions, max(plan.dims), plan.bits)
        if dims is None:
            return None
        plan = _learned(config, plan.partition, dims, plan.bits)
    return plan


def _learned(config: MineConfig, partition: str, dims: tuple[int, ...], bits: int) -> SinePlan:
    layers, bands = config.num_layers or LEARNED_LAYERS, len(BANDS[config.kind])
    if config.hidden_dim:
        widths = spread(config.hidden_dim * bands * layers, bands, layers)
    else:
        # Two sines make one product of a row's and a column's coordinate: see `start`.
        widths = tuple((2 * width,) * layers for (width,) in spread(max(*dims, bands), bands, 1))
    return SinePlan(
        kind=config.kind, partition=partition, piece=0, widths=widths, omega=config.omega, dims=dims, bits=bits
    )


def _waterfill(
    shapes: Sequence[tuple[int, int]], spectra: Sequence[Any], budget: int, dim: int, bits: int
) -> tuple[int, ...] | None:
    """Dimensions of each tensor, at most `dim`: those whose energy a byte is largest, as many as `budget` holds."""
    price = [(rows + cols) * bits / 8 + 4 for rows, cols in shapes]
    worth = [np.square(spectrum[:dim]) / cost for spectrum, cost in zip(spectra, price, strict=True)]
    order = sorted(((-value, t) for t, values in enumerate(worth) for value in values if value > 0))
    dims = [0] * len(shapes)
    spent = 1.0
    for _, t in order:
        if spent + price[t] <= budget:
            spent += price[t]
            dims[t] += 1
    return tuple(dims) if any(dims) and place_bytes(shapes, dims, bits) <= budget else None


def _expected_error(spectra: Sequence[Any], dims: Sequence[int], bits: int) -> float:
    energies = [np.square(spectrum) for spectrum in spectra]
    lost = sum(float(e[d:].sum()) for e, d in zip(energies, dims, strict=True))
    rounded = sum(float(e[:d].sum()) for e, d in zip(energies, dims, strict=True))
    return lost + 2 * QUANTISED[bits] * rounded


def _largest(fits: Any, smallest: int) -> int:
    """The largest number of units that fits, or `smallest` - 1."""
    high = smallest
    while fits(high):
        high *= 2
    return bisect_left(range(high + 1), True, lo=smallest, key=lambda units: not fits(units)) - 1
