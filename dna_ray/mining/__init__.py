"""Weights -> DNA -> weights: pure functions and frozen values, without Ray and without MLflow.

`KINDS` comes when it is asked for: the command line reads `mining.config` and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dna_ray.mining.kinds import KINDS
    from dna_ray.mining.measure import measure

_LATER = {"KINDS": "kinds", "measure": "measure"}

__all__ = ["KINDS", "measure"]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
