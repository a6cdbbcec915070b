"""Coordinates per second of a training step, beside the two loops that one writes without this package.

Every loop trains sine networks of three hidden layers on one matrix:

- `ours`: `mining.fit`, in float32 and in the dtype that it picks itself. One function, 4,096 points a step; or a set of
  32 functions, each on its own rows and 1,024 points of them a step, as small functions are trained when one mines.
- `loader`: a `Dataset` that returns a coordinate and its weight, a `DataLoader` that shuffles and collates them.
- `indexed`: all coordinates computed beforehand, a batch drawn by one indexing operation.

The last two use `nn.Linear`, `torch.sin`, autograd and fused Adam, in float32, and train one function at a time.

    python benchmarks/loader_loops.py
"""

import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from plain_siren import PlainSiren
from timing import arguments, clock_for, interleaved, show
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dna_ray.mining import sines, start
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.fit import fit, prepare
from dna_ray.mining.functions import assemble, precision_for
from dna_ray.mining.plan import SinePlan
from dna_ray.mining.tiles import cut, tiles
from dna_ray.networks import from_state_dict

WIDTHS = (20, 46, 70, 98, 178, 314, 568)  # about 1,000 to 650,000 parameters
MANY = 32  # functions of a set
POINTS = {1: 4096, MANY: 1024}  # of each function in a step
LARGEST_OF_MANY = 98  # units; about 20,000 parameters
SIDE = 1024  # rows and columns of the matrix
OMEGA = 30.0


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    matrix = torch.randn(64, 64) if options.quick else torch.randn(SIDE, SIDE)
    with warnings.catch_warnings(action="ignore"):  # that no family of networks has such a name
        field = read_field(from_state_dict({"weight": matrix}, name="one matrix"))
    rows = []
    for functions, width in _sizes(options.quick):
        widths, points = (width,) * 3, POINTS[functions]
        cases = {
            "ours float32": _ours(field, functions, widths, "float32"),
            "ours": _ours(field, functions, widths, "auto"),
            "loader": _plain(widths, _loaded(matrix, points)),
            "indexed": _plain(widths, _indexed(matrix, points)),
        }
        rounds = 2 if options.quick else options.rounds
        seconds = interleaved(cases, rounds=rounds, clock=clock_for(options.threads))
        rows.append(_row(functions, widths, seconds))
    show("Coordinates per second of training", rows, options.json)


def _sizes(quick: bool) -> list[tuple[int, int]]:
    """Functions and their width."""
    if quick:
        return [(1, 8), (MANY, 8)]
    return [(1, width) for width in WIDTHS] + [(MANY, width) for width in WIDTHS if width <= LARGEST_OF_MANY]


def _row(functions: int, widths: tuple[int, ...], seconds: dict[str, float]) -> dict[str, Any]:
    points = POINTS[functions]
    rates = {name: points * (functions if name.startswith("ours") else 1) / each for name, each in seconds.items()}
    return {
        "functions": functions,
        "parameters of each": sum((n + 1) * m for n, m in pairwise((4, *widths, 1))),
        **{f"{name} /s": rate for name, rate in rates.items()},
        "ours : loader": rates["ours"] / rates["loader"],
        "ours : indexed": rates["ours"] / rates["indexed"],
        "ours float32 : indexed": rates["ours float32"] / rates["indexed"],
    }


def _ours(field: Field, functions: int, widths: tuple[int, ...], dtype: str) -> Callable[[], object]:
    config = MineConfig(
        kind="spectral", coordinates="index", batch_size=POINTS[functions], epochs=1e9, dtype=dtype, omega=OMEGA
    )
    plan = SinePlan(
        kind="spectral",
        partition="one" if functions == 1 else "pieces",
        piece=field.anatomy.weights // functions,
        widths=(widths,),
        omega=OMEGA,
        dims=None,
        bits=0,
    )
    device, found = torch.device("cpu"), start.statistics(field)
    trained = prepare(assemble(plan, field.anatomy, precision_for(dtype, device)))
    schedule = sines.schedule_for(plan, field.anatomy, config)
    shard = cut(field, tiles(plan.bands(field.anatomy)))
    sampler = sines.sampler_for(shard, plan, field.anatomy, found, schedule, device=device)
    steps = fit(trained, sampler, schedule)
    return lambda: next(steps)


def _plain(widths: tuple[int, ...], batches: Iterator[tuple[Tensor, Tensor]]) -> Callable[[], object]:
    network = PlainSiren(4, widths, omega=OMEGA)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)

    def run() -> None:
        coordinates, target = next(batches)
        (network(coordinates) - target).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


class Weights(Dataset[tuple[Tensor, Tensor]]):
    """The coordinate and the value of each weight of one matrix."""

    def __init__(self, matrix: Tensor) -> None:
        self._matrix = matrix

    def __len__(self) -> int:
        return self._matrix.numel()

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rows, cols = self._matrix.shape
        row, col = divmod(index, cols)
        return torch.tensor([(2 * row + 1) / rows - 1, (2 * col + 1) / cols - 1, 0.0, 0.0]), self._matrix[row, col]


def _loaded(matrix: Tensor, points: int) -> Iterator[tuple[Tensor, Tensor]]:
    loader = DataLoader(Weights(matrix), batch_size=points, shuffle=True)
    while True:
        yield from loader


def _indexed(matrix: Tensor, points: int) -> Iterator[tuple[Tensor, Tensor]]:
    row, col = ((2 * torch.arange(n) + 1) / n - 1 for n in matrix.shape)
    grid = torch.cartesian_prod(row, col)
    coordinates, values = torch.cat([grid, torch.zeros_like(grid)], 1), matrix.flatten()
    while True:
        index = torch.randint(len(values), (points,))
        yield coordinates[index], values[index]


if __name__ == "__main__":
    main()
