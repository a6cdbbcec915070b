"""SIREN training as a share of what the processor multiplies: the rate of the same products alone.

A step is forward, backward and Adam. Its products are x W', g W and g' x of every hidden layer; they are timed alone,
with their results' memory laid out beforehand, in turn with the steps. Beside it: `nn.Linear` and `torch.sin` with
autograd and Adam, in bfloat16 under autocast; it evaluates the first layer at every point. `native` are the kernels
that training uses where there is a C++ compiler, `eager` those that it uses elsewhere.

    python benchmarks/siren_gemm.py
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from plain_siren import PlainSiren
from timing import arguments, clock_for, interleaved, show
from torch import Tensor

from dna_ray.mining import native
from dna_ray.mining.sine import EAGER
from dna_ray.mining.siren import Precision, SirenShape, SpectralDNA

OMEGA = 30.0


@dataclass(frozen=True, slots=True)
class Case:
    """`groups` functions of these widths, and the points of each: `blocks` squares of `side`."""

    groups: int
    widths: tuple[int, ...]
    blocks: int
    side: int

    @property
    def points(self) -> int:
        return self.blocks * self.side**2


CASES = (
    Case(1, (256,) * 3, 1, 64),
    Case(1, (256,) * 4, 4, 64),
    Case(1, (464,) * 4, 1, 64),
    Case(1, (512,) * 3, 2, 64),
    Case(32, (64,) * 3, 4, 16),
    Case(32, (96,) * 3, 4, 16),
)
TOY = (Case(1, (32,) * 3, 1, 16), Case(3, (16,) * 3, 2, 8))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for case in TOY if options.quick else CASES:
        for dtype in (torch.float32, torch.bfloat16):
            cases = {"gemm": _products(case, dtype), "eager": _ours(case, Precision(dtype, EAGER))}
            if case.groups == 1:
                cases["plain"] = _plain(case, dtype)
            if kernels := native.kernels():
                cases["native"] = _ours(case, Precision(dtype, kernels))
            rounds = 2 if options.quick else options.rounds
            seconds = interleaved(cases, rounds=rounds, clock=clock_for(options.threads))
            rows.append(_row(case, dtype, seconds))
    show("SIREN training: share of the GEMM rate", rows, options.json)


def _row(case: Case, dtype: torch.dtype, seconds: dict[str, float]) -> dict[str, Any]:
    flops = 3 * sum(2 * n * m for n, m in pairwise(case.widths)) * case.groups * case.points
    share = {name: seconds["gemm"] / seconds[name] if name in seconds else "" for name in ("eager", "native", "plain")}
    best = min(seconds[name] for name in ("eager", "native") if name in seconds)
    return {
        "functions": case.groups,
        "widths": "-".join(map(str, case.widths)),
        "points": case.points,
        "dtype": str(dtype).removeprefix("torch."),
        "GEMM GFLOP/s": flops / seconds["gemm"] / 1e9,
        **share,
        "coordinates/s": case.groups * case.points / best,
    }


def _products(case: Case, dtype: torch.dtype) -> Callable[[], None]:
    layers = []
    for n, m in pairwise(case.widths):
        x, g, w = (torch.randn(case.groups, *shape).to(dtype) for shape in ((case.points, n), (case.points, m), (m, n)))
        operands = [(x, w.transpose(1, 2)), (g, w), (g.transpose(1, 2), x)]
        layers += [(a, b, torch.bmm(a, b)) for a, b in operands]

    def run() -> None:
        for a, b, out in layers:
            torch.bmm(a, b, out=out)

    return run


def _ours(case: Case, precision: Precision) -> Callable[[], None]:
    shape = SirenShape(groups=case.groups, row_axes=3, col_axes=1, widths=case.widths, omega=OMEGA)
    network = SpectralDNA([shape], generator=torch.Generator().manual_seed(0))
    rows, cols = (torch.rand(case.groups, case.blocks, case.side, axes) * 2 - 1 for axes in (3, 1))
    target = torch.randn(case.groups, case.blocks, case.side, case.side)
    return _step(network, lambda: network(rows, cols, precision), target)


def _plain(case: Case, dtype: torch.dtype) -> Callable[[], None]:
    network = PlainSiren(4, case.widths, omega=OMEGA)
    coordinates, target = torch.rand(case.points, 4) * 2 - 1, torch.randn(case.points)

    def forward() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            return network(coordinates).float()

    return _step(network, forward, target)


def _step(network: torch.nn.Module, forward: Callable[[], Tensor], target: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)

    def run() -> None:
        (forward() - target).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


if __name__ == "__main__":
    main()
