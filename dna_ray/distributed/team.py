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
        """All reductions are under way at once; each leaves the same bits on every worker."""
        if self.size > 1:
            for work in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
                work.wait()

    def agree(self, number: int) -> int:
        value = torch.tensor([number], device=self._device)
        if self.size > 1:
            dist.all_reduce(value, op=dist.ReduceOp.MIN)
        return int(value.item())
