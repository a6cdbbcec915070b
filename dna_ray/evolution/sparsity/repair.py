"""What may be mended in a sparse network without training: the same for every method that it is compared with."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dna_ray.evolution.sparsity.statistics import InputStatistics

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def scaled(sparse: Tensor, dense: Tensor, statistics: InputStatistics) -> Tensor:
    """`sparse` with each output scaled so that E (w x - s w^ x)^2 is least: s = w C w^ / w^ C w^.

    Exact where the statistics are; those of grouped convolutions are means over the groups.

    Args:
        sparse: (rows, cols).
        dense: (rows, cols).
    """
    moved = sparse.double() @ statistics.moments
    energy = (moved * sparse).sum(1)
    scale = torch.where(energy > 0, (moved * dense).sum(1) / energy, 1.0)
    return (sparse * scale.unsqueeze(1)).to(sparse.dtype)


def has_running_statistics(model: nn.Module) -> bool:
    """Whether there is something to recalibrate. If there is, it is: stale statistics hide what a method is worth."""
    return bool(_running(model))


@contextmanager
def recalibrated(model: nn.Module, run: Callable[[], object]) -> Iterator[None]:
    """Within, running statistics of batch norms are those of what `run` sends through `model`; after, as before.

    Batches count alike, whatever their size. A model without batch norms stays as it is.
    """
    norms = _running(model)
    held = [(norm, {name: getattr(norm, name) for name in _BUFFERS}, norm.momentum) for norm in norms]
    try:
        if norms:
            _estimate(norms, run)
        yield
    finally:
        for norm, buffers, momentum in held:
            norm.momentum = momentum
            norm.eval()
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)


def _running(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _NORMS) and module.running_mean is not None]


def _estimate(norms: Sequence[nn.modules.batchnorm._BatchNorm], run: Callable[[], object]) -> None:
    for norm in norms:
        for name in _BUFFERS:
            setattr(norm, name, getattr(norm, name).clone())  # the memory of the others is not written to
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
        norm.train()
    run()
    for norm in norms:
        norm.eval()
