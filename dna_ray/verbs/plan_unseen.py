"""What `mine --dry-run` says of a network whose values are out of reach: what follows from shapes, and is assumed."""

from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dna_ray.mining import groups, planning
from dna_ray.mining.budget import file_budget
from dna_ray.mining.config import SINE_KINDS, MineConfig
from dna_ray.mining.cost import Cost, cost
from dna_ray.mining.dna import file_size
from dna_ray.mining.holding import holding
from dna_ray.mining.kind import Payload
from dna_ray.mining.plan import SinePlan
from dna_ray.mining.tiles import tiles
from dna_ray.mining.vectors import vectors_size
from dna_ray.networks import Anatomy, Network
from dna_ray.recipe import EvolveRecipe, MineRecipe
from dna_ray.verbs.runs import short_name

GPU_RATE = 2e13  # operations a second of one GPU at the products of sine functions: these three are not measured
MEMORY_RATE = 1e12  # bytes a second of its memory
LINK_RATE = 1e10  # bytes a second between two nodes
RANDOM = "singular values as of random matrices, which sets the dimensions of places"
GPU = (
    f"a GPU does {GPU_RATE / 1e12:g} T operations and moves {MEMORY_RATE / 1e12:g} TB of its memory a second, nodes "
    f"send each other {LINK_RATE / 1e9:g} GB a second; what is sent does not hide behind what is computed; "
    "the download, the start at the singular value decomposition and the rebuild come on top"
)


def shape_for(network: Network, config: MineConfig) -> SinePlan:
    """The plan of a sine kind that fills its budget.

    Raises:
        BudgetError: The budget holds no function.
    """
    header = file_size(network=network, kind=config.kind, payload=Payload({}, {}))
    left = (file_budget(network, config) or network.anatomy.fp32_bytes // 4) - header - vectors_size(network.anatomy)
    if config.coordinates == "index":
        return planning.plan_index(network.anatomy, left, config)
    return planning.plan_learned(network.anatomy, random_spectra(network.anatomy), left, config)


def random_spectra(anatomy: Anatomy) -> list[NDArray[np.float64]]:
    """Singular values of matrices of independent numbers of variance 1, largest first (Marchenko and Pastur 1967)."""
    return [_random_spectrum(*info.matrix_shape) for info in anatomy.matrices]


def _random_spectrum(rows: int, cols: int) -> NDArray[np.float64]:
    low, high, count = abs(sqrt(rows) - sqrt(cols)), sqrt(rows) + sqrt(cols), min(rows, cols)
    value = low + (high - low) * (np.arange(2048) + 0.5) / 2048
    share = np.cumsum(np.sqrt((high**2 - value**2) * (value**2 - low**2)) / value)
    return np.interp((count - 0.5 - np.arange(count)) / count, share / share[-1], value)


def traffic(shape: SinePlan, anatomy: Anatomy, *, workers: int) -> int:
    """Bytes that a worker sends in each step: a ring sums what functions and shared places learn, and these places."""
    if workers < 2:
        return 0
    bands = shape.bands(anatomy)
    shared = 0
    if shape.dims is not None:
        shared = holding(tiles(bands), anatomy, 0, of=workers).cols.shared * shape.place_dim
    numbers = groups.count(bands) * shape.parameters() + 2 * shared
    return round(4 * numbers * 2 * (workers - 1) / workers)


def gpu_seconds(found: Cost, workers: int, sent: int) -> float:
    """Time of training on so many GPUs: products, the optimizer's pass over what is trained, and sums between nodes."""
    team = max(1, workers)
    moved = 60 * (found.places / team + found.functions * found.parameters) / MEMORY_RATE
    return found.training_flops / (GPU_RATE * team) + found.steps * (moved + sent / LINK_RATE)


def cost_unseen(network: Network, recipe: MineRecipe) -> tuple[Cost | None, int | None, tuple[str, ...]]:
    """Cost of training and bytes that a worker sends in a step, where the kind trains; and what is assumed."""
    config, workers = recipe.what.config, recipe.how.workers
    if config.kind not in SINE_KINDS:
        return None, None, ()
    shape = shape_for(network, config)
    assumed = (RANDOM,) if shape.dims is not None else ()
    return (
        cost(shape, network.anatomy, config, workers=workers),
        traffic(shape, network.anatomy, workers=workers),
        assumed,
    )


def folder_unseen(recipe: MineRecipe | EvolveRecipe) -> str:
    """The folder of the run; the end of its name needs the values."""
    if recipe.how.run_dir:
        return recipe.how.run_dir
    return str(Path(recipe.how.home, f"{recipe.verb}-{short_name(recipe.what.network)}-*"))
