"""The workers of a Ray Train run as a team that adds up gradients."""

import torch
import torch.distributed as dist
from torch import Tensor


class TorchTeam:
    """A team over `torch.distributed`: gloo on CPUs, NCCL on GPUs."""

    def __init__(self, device: torch.device) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self._device = device

    def add(self, tensors: list[Tensor]) -> None:
        """One reduction for each dtype, as each costs a fixed time; they leave the same bits on every worker."""
        if self.size == 1:
            return
        alike = [[tensor for tensor in tensors if tensor.dtype == dtype] for dtype in {t.dtype: None for t in tensors}]
        joined = [own[0] if len(own) == 1 else torch.cat([tensor.flatten() for tensor in own]) for own in alike]
        for work in [dist.all_reduce(flat, async_op=True) for flat in joined]:
            work.wait()
        for own, flat in zip(alike, joined, strict=True):
            if len(own) > 1:
                for tensor, part in zip(own, flat.split([tensor.numel() for tensor in own]), strict=True):
                    tensor.copy_(part.view_as(tensor))

    def agree(self, number: int) -> int:
        value = torch.tensor([number], device=self._device)
        if self.size > 1:
            dist.all_reduce(value, op=dist.ReduceOp.MIN)
        return int(value.item())
