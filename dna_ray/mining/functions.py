"""What is trained: coordinates, and the sine functions over them."""

import torch
from torch import Tensor, nn

from dna_ray.mining import groups, native
from dna_ray.mining.coordinates import IndexCoordinates, LearnedPlaces
from dna_ray.mining.plan import SinePlan
from dna_ray.mining.sine import EAGER, compiled, fast_dtype
from dna_ray.mining.siren import NETWORKS, AdaptiveDNA, HierarchicalDNA, Precision, SirenSet, SpectralDNA
from dna_ray.networks import Anatomy


class Functions(nn.Module):
    """Coordinates and the functions over them: everything that is trained."""

    def __init__(
        self,
        coordinates: IndexCoordinates | LearnedPlaces,
        network: SpectralDNA | HierarchicalDNA | AdaptiveDNA,
        precision: Precision,
    ) -> None:
        super().__init__()
        self.coordinates = coordinates
        self.network = network
        self.precision = precision

    def sets(self) -> list[SirenSet]:
        """The sets of SIRENs of the network: one for each of its bands."""
        return [module for module in self.network.modules() if isinstance(module, SirenSet)]

    def forward(self, tensor: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """Normalised weights of blocks: [g, n], [g, n, r], [g, n, c] -> [g, n, r, c]."""
        rows, cols = self.coordinates(tensor, row, col)
        return self.network(rows, cols, self.precision)


def assemble(shape: SinePlan, anatomy: Anatomy, precision: Precision, *, seed: int = 0) -> Functions:
    """The functions of a plan, as a SIREN starts, with places at zero."""
    count = groups.count(shape.bands(anatomy))
    generator = torch.Generator().manual_seed(seed)
    network = NETWORKS[shape.kind](shape.shapes(count), generator=generator)
    if shape.dims is None:
        return Functions(IndexCoordinates(anatomy), network, precision)
    return Functions(LearnedPlaces(anatomy, dim=shape.place_dim, bits=shape.bits), network, precision)


def precision_for(dtype: str, device: torch.device, *, compile_kernels: bool = False) -> Precision:
    """Precision of the products, by its name in `MineConfig.dtype`, and the fastest kernels for them."""
    chosen = fast_dtype(device) if dtype == "auto" else getattr(torch, dtype)
    made = native.kernels() if device.type == "cpu" else None
    return Precision(chosen, made or (compiled() if compile_kernels else EAGER))
