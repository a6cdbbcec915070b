"""How many products a network computes for one sample."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


@torch.inference_mode()
def multiply_adds(model: nn.Module, run: Callable[[], object]) -> int:
    """Of all convolutions and linear layers, for one sample: weights x output positions. Norms and sums do not count.

    Args:
        run: Sends at least one sample through `model`.
    """
    found: dict[nn.Module, int] = {}

    def hear(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, Tensor)
        places = output.shape[2:] if isinstance(module, nn.Conv2d) else output.shape[1:-1]
        found[module] = weight.numel() * places.numel()

    modules = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    handles = [module.register_forward_hook(hear) for module in modules]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return sum(found.values())
