"""How long a sparse network takes, measured: zeros are rarely speed, and where they are not, that is said."""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dna_ray.evolution.sparsity.layers import modules_of
from dna_ray.evolution.sparsity.pruner import Pruned
from dna_ray.evolution.subject.subject import Subject

_FASTER = 1.05  # a gain below this may be noise


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of one pass over the same examples, medians.

    Attributes:
        dense: With dense products of the same weights, zeros and all.
        sparse: With compressed rows (CSR) in the linear layers; None where there is none that can be.
        layers: How many these are.
        examples: That go through together.
    """

    dense: float
    sparse: float | None
    layers: int
    examples: int

    @property
    def speed_up(self) -> float:
        """dense / sparse; 1 where nothing can be sparse."""
        return self.dense / self.sparse if self.sparse else 1.0

    def __str__(self) -> str:
        if self.sparse is None:
            return "no speed-up on this device: no layer with a sparse kernel"
        times = f"{1e3 * self.sparse:.3g} ms sparse, {1e3 * self.dense:.3g} ms dense"
        return (
            f"{self.speed_up:.2f}x ({times})" if self.speed_up >= _FASTER else f"no speed-up on this device ({times})"
        )


def latency(subject: Subject, pruned: Pruned, *, examples: int = 8, rounds: int = 7) -> Latency:
    """Times the pruned network on calibration data, dense and sparse in turn.

    Only linear layers have sparse kernels here. With basis `svd` none has: what is sparse are two products instead of
    one.
    """
    which = torch.arange(min(examples, len(subject.calibration)))
    with subject.replaced(pruned.matrices):
        modules = modules_of(subject.model, pruned.matrices)
        linear = {name: module for name, module in modules.items() if type(module) is nn.Linear and not pruned.turned}
        kernels = {name: _compressed(pruned.matrices[name].to(module.weight.device)) for name, module in linear.items()}

        @torch.inference_mode()
        def run() -> None:
            subject.reader.forward(subject.model, subject.calibration, which)

        def run_sparse() -> None:
            with _sparse_products(linear, kernels):
                run()

        dense, sparse = _in_turn(run, run_sparse, rounds)
    return Latency(dense, sparse if linear else None, len(linear), len(which))


def _compressed(matrix: Tensor) -> Tensor:
    with warnings.catch_warnings(action="ignore"):  # that CSR is in beta
        return matrix.contiguous().to_sparse_csr()


@contextmanager
def _sparse_products(modules: Mapping[str, nn.Module], kernels: Mapping[str, Tensor]) -> Iterator[None]:
    for name, module in modules.items():
        assert isinstance(module, nn.Linear)
        module.__dict__["forward"] = _product(kernels[name], module.bias)  # comes before that of its class
    try:
        yield
    finally:
        for module in modules.values():
            del module.__dict__["forward"]


def _product(kernel: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        product = (kernel @ x.reshape(-1, x.shape[-1]).T).T
        return (product if bias is None else product + bias).reshape(*x.shape[:-1], -1)

    return forward


def _in_turn(one: Callable[[], None], other: Callable[[], None], rounds: int) -> tuple[float, float]:
    one()
    other()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, taken in zip((one, other), seconds, strict=True):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])
