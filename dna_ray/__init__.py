"""Mines the weights of trained networks into compact functions of coordinates, on Ray, with their lineage in MLflow."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dna_ray.verbs.load import load

__version__ = "0.1.0"

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`load` comes when it is asked for: `import dna_ray` imports no torch."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dna_ray.verbs.load import load

    return load
