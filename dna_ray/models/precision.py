"""In what precision products are computed. Imports no torch by itself: the command line shows the choices from here."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PRECISIONS = ("float32", "bfloat16")


def in_precision(precision: str, device: "torch.device | str") -> AbstractContextManager[Any]:
    """Within, products of matrices are computed so."""
    import torch

    if precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=getattr(torch, precision))
