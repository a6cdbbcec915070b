"""Which plan fills a byte budget: groups, dimensions and widths of a sine kind."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dna_ray.errors import BudgetError
from dna_ray.mining import groups
from dna_ray.mining.config import MineConfig
from dna_ray.mining.coordinates import DISTORTION
from dna_ray.mining.plan import SinePlan, place_bytes, spread
from dna_ray.mining.siren import BANDS
from dna_ray.networks import Anatomy

LARGEST_FUNCTION = 65_000  # parameters
FUNCTION_SHARE = 0.05  # of the file, that the functions over learned places may take
FULL = 0.995  # share of the budget at which no better partition is looked for
INDEX_LAYERS, LEARNED_LAYERS = 3, 1

# Dimensions that are tried. At 126 one function of one layer reaches `LARGEST_FUNCTION`, at 216 three bands do.
DIMS = (2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96, 112, 126, 160, 192, 216)

Spectra = Sequence[NDArray[np.float64]]
Shapes = Sequence[tuple[int, int]]


def plan_index(anatomy: Anatomy, budget: int, config: MineConfig) -> SinePlan:
    """Fills `budget` (bytes for functions and normalisation) with functions over (row, col, layer, kind).

    Raises:
        BudgetError: Even the narrowest functions are too large.
    """
    left = budget - 8 * len(anatomy.matrices)
    found = []
    for partition, piece in _index_partitions(anatomy, left, config):
        found.append(_widest(anatomy, left, config, partition, piece))
        if FULL * left <= found[-1][0] <= left:
            return found[-1][1]
    fitting = [(size, plan) for size, plan in found if size <= left]
    if not fitting:
        need = budget - left + min(size for size, _ in found)
        raise BudgetError(
            f"kind {config.kind}: needs {need} bytes for its functions, {max(budget, 0)} are left", smallest=need
        )
    return max(fitting, key=lambda pair: pair[0])[1]


def plan_learned(anatomy: Anatomy, spectra: Spectra, budget: int, config: MineConfig) -> SinePlan:
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
    plans = list(_learned_plans(anatomy, shapes, spectra, left, config))
    if not plans:
        raise BudgetError(
            f"kind {config.kind}: {max(budget, 0)} bytes hold no place of even one dimension",
            smallest=_smallest_learned(shapes, config),
        )
    # A function may be too large only where there is no other: it was asked for.
    plans = [plan for plan in plans if plan.parameters() <= LARGEST_FUNCTION] or plans[:1]
    energies = [np.square(spectrum) for spectrum in spectra]
    return min(plans, key=lambda plan: _expected_error(energies, plan.dims or (), plan.bits))


def _index_partitions(anatomy: Anatomy, left: int, config: MineConfig) -> list[tuple[str, int]]:
    """Names and sizes of the groups to try: pieces of about the median matrix, or less where functions get too large.

    Other sizes follow, nearest first: they make other numbers of groups, of which some fill the budget better.
    """
    if config.groups == "one":
        return [("one", 0)]
    sizes = sorted(info.size for info in anatomy.matrices)
    largest = LARGEST_FUNCTION * 2 * anatomy.weights // max(left, 1)
    natural = min(sizes[len(sizes) // 2], largest)
    tried = [round(natural * 1.02**step) for _, step in sorted((abs(step), step) for step in range(-30, 31))]
    return [("pieces", max(1, min(size, largest))) for size in tried]


def _widest(anatomy: Anatomy, left: int, config: MineConfig, partition: str, piece: int) -> tuple[int, SinePlan]:
    """The widest functions that fit, or else the narrowest that there are, and the bytes of all of them."""
    smallest = len(BANDS[config.kind]) * (config.num_layers or INDEX_LAYERS) * (config.hidden_dim or 1)
    count = groups.count(_index(config, partition, piece, smallest).bands(anatomy))

    def size(units: int) -> int:
        return count * _index(config, partition, piece, units).function_bytes()

    def fits(units: int) -> bool:
        small = partition == "one" or _index(config, partition, piece, units).parameters() <= LARGEST_FUNCTION
        return small and size(units) <= left

    units = smallest if config.hidden_dim else _largest(fits, smallest)
    return size(units), _index(config, partition, piece, units)


def _index(config: MineConfig, partition: str, piece: int, units: int) -> SinePlan:
    """The plan with `units` hidden units in all layers of all bands."""
    widths = spread(units, len(BANDS[config.kind]), config.num_layers or INDEX_LAYERS)
    return SinePlan(
        kind=config.kind, partition=partition, piece=piece, widths=widths, omega=config.omega, dims=None, bits=0
    )


def _learned_plans(
    anatomy: Anatomy, shapes: Shapes, spectra: Spectra, left: int, config: MineConfig
) -> Iterator[SinePlan]:
    """Every plan to choose from: the dimensions and bits that are tried, filled as far as `left` bytes go."""
    for dim in [config.place_dim] if config.place_dim else DIMS:
        partition, count = _finest(anatomy, left, dim, config)
        for bits in [config.place_bits] if config.place_bits else DISTORTION:
            dims: tuple[int, ...] = (dim,)
            for _ in range(2):  # fewer dimensions than expected make smaller functions, and room for more
                functions = count * _learned(config, partition, dims, bits).function_bytes()
                dims = _waterfill(shapes, spectra, left - functions, max(dims), bits)
                if not dims:
                    break
            else:
                yield _learned(config, partition, dims, bits)


def _finest(anatomy: Anatomy, left: int, dim: int, config: MineConfig) -> tuple[str, int]:
    """Name and groups of the finest partition whose functions take at most their share of the file, or else of one."""
    size = _learned(config, "one", (dim,), 8).function_bytes()
    for name in [] if config.groups == "one" else groups.PARTITIONS:
        count = groups.count(groups.PARTITIONS[name](anatomy))
        if count * size <= FUNCTION_SHARE * left:
            return name, count
    return "one", 1


def _smallest_learned(shapes: Shapes, config: MineConfig) -> int:
    """Bytes of one function, and one dimension for the cheapest matrix."""
    dim, bits = config.place_dim or DIMS[0], config.place_bits or min(DISTORTION)
    plan = _learned(config, "one", (dim,), bits)
    return 8 * len(shapes) + plan.function_bytes() + min(place_bytes([shape], [1], bits) for shape in shapes) + 1


def _learned(config: MineConfig, partition: str, dims: tuple[int, ...], bits: int) -> SinePlan:
    """The plan with places of these dimensions; those of only some tensors will do for its functions."""
    layers, bands = config.num_layers or LEARNED_LAYERS, len(BANDS[config.kind])
    if config.hidden_dim:
        widths = spread(config.hidden_dim * bands * layers, bands, layers)
    else:
        # Two sines make one product of a row's and a column's coordinate: see `start`.
        widths = tuple((2 * width,) * layers for (width,) in spread(max(*dims, bands), bands, 1))
    return SinePlan(
        kind=config.kind, partition=partition, piece=0, widths=widths, omega=config.omega, dims=dims, bits=bits
    )


def _waterfill(shapes: Shapes, spectra: Spectra, budget: int, dim: int, bits: int) -> tuple[int, ...]:
    """Dimensions of each tensor, at most `dim`: those whose energy a byte is largest, as many as `budget` holds.

    Nothing where it holds none; but matrices that are all constant need none.
    """
    price = np.array([(rows + cols) * bits / 8 + 4 for rows, cols in shapes])
    owner = np.repeat(np.arange(len(shapes)), [len(spectrum[:dim]) for spectrum in spectra])
    worth = np.concatenate([np.square(spectrum[:dim]) for spectrum in spectra]) / price[owner]
    order = owner[np.argsort(-worth, kind="stable")][: np.count_nonzero(worth)]
    dims, left = np.zeros(len(shapes), np.int64), budget - 1.0  # one byte for the last, which may not be whole
    while (order := order[price[order] <= left]).size:
        bought = order[: np.searchsorted(np.cumsum(price[order]), left, side="right")]
        dims += np.bincount(bought, minlength=len(shapes))
        left -= price[bought].sum()
        order = order[len(bought) :]
    return tuple(dims.tolist()) if dims.any() or (not worth.any() and left >= 0) else ()


def _expected_error(energies: Spectra, dims: Sequence[int], bits: int) -> float:
    """Squared error of what is left out, and of rounding the places of rows and of columns."""
    kept = sum(float(energy[:d].sum()) for energy, d in zip(energies, dims, strict=True))
    return sum(float(energy.sum()) for energy in energies) - kept + 2 * DISTORTION[bits] * kept


def _largest(fits: Callable[[int], bool], smallest: int) -> int:
    """The largest number that fits, or `smallest` where that does not."""
    high = smallest
    while fits(high):
        high *= 2
    return max(smallest, bisect_left(range(high + 1), True, lo=smallest, key=lambda number: not fits(number)) - 1)
