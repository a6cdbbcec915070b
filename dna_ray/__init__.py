"""Mines the weights of trained networks into compact functions of coordinates, on Ray, with their lineage in MLflow."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dna_ray.evolution.evolve import evolve
    from dna_ray.evolution.search.machine import DarwinGodelMachine
    from dna_ray.evolution.sparsity.wina import compute_wina_mask
    from dna_ray.verbs.load import load

__version__ = "0.1.0"

__all__ = ["DarwinGodelMachine", "compute_wina_mask", "evolve", "load"]

_HOMES = {
    "DarwinGodelMachine": "dna_ray.evolution.search.machine",
    "compute_wina_mask": "dna_ray.evolution.sparsity.wina",
    "evolve": "dna_ray.evolution.evolve",
    "load": "dna_ray.verbs.load",
}


def __getattr__(name: str) -> Any:
    """They come when they are asked for: `import dna_ray` imports no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
