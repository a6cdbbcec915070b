"""What is trained: coordinates, and the sine functions over them."""

import torch
from torch import Tensor, nn

from dna_ray.mining import groups, native
from dna_ray.mining.coordinates import IndexCoordinates, LearnedPlaces
from dna_ray.mining.holding import Holding, Part
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

    def parts(self) -> dict[str, Part]:
        """The parameters of which a worker of a team holds a part only, by name."""
        if isinstance(self.coordinates, IndexCoordinates):
            return {}
        return {"coordinates.rows": self.coordinates.held.rows, "coordinates.cols": self.coordinates.held.cols}

    def gradients(self) -> tuple[list[Tensor], list[Tensor]]:
        """Those that are summed over a team, then those of places that no other worker holds."""
        parts, summed, own = self.parts(), [], []
        for name, parameter in self.named_parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            shared = parts[name].shared if name in parts else len(parameter)
            summed.append(parameter.grad[:shared])
            own.append(parameter.grad[shared:])
        return [gradient for gradient in summed if len(gradient)], [gradient for gradient in own if len(gradient)]

    def shared_places(self) -> list[Tensor]:
        """The places that every worker holds."""
        parts = self.parts()
        shared = [p.detach()[: parts[name].shared] for name, p in self.named_parameters() if name in parts]
        return [places for places in shared if len(places)]

    def forward(self, tensor: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """Normalised weights of blocks: [g, n], [g, n, r], [g, n, c] -> [g, n, r, c]."""
        rows, cols = self.coordinates(tensor, row, col)
        return self.network(rows, cols, self.precision)


def assemble(
    shape: SinePlan, anatomy: Anatomy, precision: Precision, *, seed: int = 0, held: Holding | None = None
) -> Functions:
    """The functions of a plan, as a SIREN starts, with places at zero: those that are `held`, or all."""
    count = groups.count(shape.bands(anatomy))
    generator = torch.Generator().manual_seed(seed)
    network = NETWORKS[shape.kind](shape.shapes(count), generator=generator)
    if shape.dims is None:
        return Functions(IndexCoordinates(anatomy), network, precision)
    return Functions(LearnedPlaces(anatomy, dim=shape.place_dim, bits=shape.bits, held=held), network, precision)


def precision_for(dtype: str, device: torch.device, *, compile_kernels: bool = False) -> Precision:
    """Precision of the products, by its name in `MineConfig.dtype`, and the fastest kernels for them."""
    chosen = fast_dtype(device) if dtype == "auto" else getattr(torch, dtype)
    made = native.kernels() if device.type == "cpu" else None
    return Precision(chosen, made or (compiled() if compile_kernels else EAGER))
