"""The plan of a sine kind: its shape, from which the size of every section follows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dna_ray.mining import groups
from dna_ray.mining.coordinates import IndexCoordinates
from dna_ray.mining.groups import Band
from dna_ray.mining.packing import packed_size
from dna_ray.mining.siren import BANDS, SirenShape
from dna_ray.networks import Anatomy


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
        """Shape of each band of `count` functions. Bands share index coordinates, and split learned places."""
        omegas = [self.omega * scale for scale in BANDS[self.kind]]
        if self.dims is None:
            axes = [(IndexCoordinates.row_axes, IndexCoordinates.col_axes)] * len(omegas)
        else:
            axes = [(dim, dim) for (dim,) in spread(self.place_dim, len(omegas), 1)]
        return [
            SirenShape(groups=count, row_axes=rows, col_axes=cols, widths=widths, omega=omega)
            for (rows, cols), widths, omega in zip(axes, self.widths, omegas, strict=True)
        ]

    @property
    def place_dim(self) -> int:
        """Dimensions of the table of places, at least one for every band; 0 over index coordinates."""
        return max(*self.dims, len(self.widths)) if self.dims else 0

    @property
    def from_svd(self) -> bool:
        """Whether it can start from a singular value decomposition: one layer over learned places."""
        return self.dims is not None and all(len(widths) == 1 for widths in self.widths)

    def parameters(self) -> int:
        """Parameters of one function, all bands together."""
        shapes = self.shapes(1)
        slopes = shapes[0].row_axes + shapes[0].col_axes if self.kind == "adaptive" else 0
        return sum(shape.parameters for shape in shapes) + slopes

    def outputs(self) -> int:
        """Parameters of one function's last layers, which are stored in fp32; all others are in fp16."""
        return sum(widths[-1] + 1 for widths in self.widths)

    def function_bytes(self) -> int:
        """Bytes of one function in the file."""
        return 2 * self.parameters() + 2 * self.outputs()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "SinePlan":
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError where data is no plan."""
        dims = None if data["dims"] is None else tuple(int(d) for d in data["dims"])
        widths = tuple(tuple(int(w) for w in band) for band in data["widths"])
        return cls(**{**data, "dims": dims, "widths": widths})


def place_numbers(shapes: Sequence[tuple[int, int]], dims: Sequence[int]) -> int:
    """How many numbers say where the rows and columns of matrices of these shapes are."""
    return sum((rows + cols) * d for (rows, cols), d in zip(shapes, dims, strict=True))


def place_bytes(shapes: Sequence[tuple[int, int]], dims: Sequence[int], bits: int) -> int:
    """Bytes of the learned places of matrices of these shapes, with their scales."""
    return packed_size(place_numbers(shapes, dims), bits) + 2 * 2 * sum(dims)


def spread(units: int, bands: int, layers: int) -> tuple[tuple[int, ...], ...]:
    """Splits `units` over layers and bands: widths differ by at most one, so that a budget is met closely."""
    low, extra = divmod(units, bands * layers)
    flat = [low + (i < extra) for i in range(bands * layers)]
    return tuple(tuple(flat[band * layers : (band + 1) * layers]) for band in range(bands))
