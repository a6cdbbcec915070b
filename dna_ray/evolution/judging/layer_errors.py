"""The error of each layer of an agent: as its moments say, exactly, and as the calibration split measures it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dna_ray.evolution.judging.bounds import Bound, Estimate, Promise, estimated_error, expected_error
from dna_ray.evolution.sparsity.layers import modules_of, write_matrix
from dna_ray.evolution.sparsity.pruner import Pruned
from dna_ray.evolution.subject.subject import Subject


@dataclass(frozen=True, slots=True)
class LayerErrors:
    """What an agent's weights cost, layer by layer, on the inputs that the dense network gives them.

    Attributes:
        errors: Name of a layer's weight -> E ||(W - W^) x||^2: computed from moments, beside measured.
        energies: Name -> E ||W x||^2.
        network: How far the output moves as a share of its length: an estimate.
    """

    errors: Mapping[str, Bound]
    energies: Mapping[str, float]
    network: Estimate

    @property
    def worst(self) -> str:
        """The layer that loses the largest share of its output."""
        return max(self.errors, key=self.share)

    def share(self, name: str) -> float:
        """Of the mean square of a layer's output."""
        return self.errors[name].bound / self.energies[name] if self.energies[name] else 0.0


def bounds_of(subject: Subject, pruned: Pruned) -> LayerErrors:
    """Computes what the moments say, and measures it in one pass over the calibration split, in float64.

    Of grouped convolutions the moments are means over groups, so that there the two need not be equal.
    """
    differences = {name: subject.matrices[name].double() - sparse for name, sparse in pruned.matrices.items()}
    measured = _measured(subject, differences)
    errors, energies = {}, {}
    for name, sparse in pruned.matrices.items():
        statistics, dense = subject.statistics[name], subject.matrices[name]
        promise = Promise.EQUAL if statistics.groups == 1 else Promise.FORMULA
        errors[name] = Bound(expected_error(dense, sparse, statistics), measured[name], promise)
        energies[name] = expected_error(dense, torch.zeros_like(dense), statistics)
    estimate = estimated_error([each.bound for each in errors.values()], list(energies.values()))
    return LayerErrors(errors, energies, estimate)


@torch.inference_mode()
def _measured(subject: Subject, differences: Mapping[str, Tensor]) -> dict[str, float]:
    """Name -> mean of ||(W - W^) x||^2 over the positions that statistics are of."""
    modules = modules_of(subject.model, differences)
    sums = {name: [0.0, 0] for name in differences}
    counted: list[Tensor | None] = [None]

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        def hear(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            with _weighing(module, differences[name]):
                moved = module.forward(inputs[0].double())
            squares = (
                moved.square().sum(1 if moved.ndim == 4 and isinstance(module, nn.Conv2d) else -1).reshape(-1).cpu()
            )
            if counted[0] is not None and counted[0].numel() == len(squares):
                squares = squares[counted[0].reshape(-1)]
            sums[name][0] += float(squares.sum())
            sums[name][1] += len(squares)

        return hear

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        examples = subject.calibration
        for which in examples.chunks(torch.arange(len(examples)), subject.settings.task.batch_size):
            counted[0] = subject.reader.mask(examples, which)
            subject.reader.forward(subject.model, examples, which)
    finally:
        for handle in handles:
            handle.remove()
    return {name: total / max(1, positions) for name, (total, positions) in sums.items()}


@contextmanager
def _weighing(module: nn.Module, matrix: Tensor) -> Iterator[None]:
    """Within, the layer multiplies by `matrix`, in float64 and without its bias."""
    parameters = [each for each in (module.weight, module.bias) if isinstance(each, Tensor)]
    held = [each.data for each in parameters]
    try:
        for each in parameters:
            each.data = torch.zeros_like(each.data, dtype=torch.float64)
        write_matrix(module, matrix)
        yield
    finally:
        for each, data in zip(parameters, held, strict=True):
            each.data = data
