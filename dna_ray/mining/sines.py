"""The sine kinds of DNA: a plan, a start, training, sections of bytes, and back."""

from math import ceil

import torch

from dna_ray.errors import BudgetError, FieldError
from dna_ray.mining import groups, planning, start
from dna_ray.mining.blocks import BlockSampler
from dna_ray.mining.config import SINE_KINDS, MineConfig
from dna_ray.mining.coordinates import LearnedPlaces
from dna_ray.mining.field import Field
from dna_ray.mining.fit import Schedule, blocks_and_side, fit, prepare
from dna_ray.mining.functions import Functions, assemble, precision_for
from dna_ray.mining.kind import Kind, Payload
from dna_ray.mining.plan import SinePlan
from dna_ray.mining.sine_sections import blank, decode, encode
from dna_ray.mining.start import Statistics
from dna_ray.mining.tiles import Shard, cut, tiles
from dna_ray.mining.vectors import vectors_size
from dna_ray.networks import Anatomy

__all__ = [
    "KINDS",
    "decode",
    "draft",
    "encode",
    "fit_here",
    "plan_for",
    "sampler_for",
    "schedule_for",
    "start_functions",
]

POINTS_A_STEP = 1 << 20  # of all functions of one layer over learned places, where a point costs little
DEEP_POINTS_A_STEP = 1 << 15  # of all other functions, which keep every unit of every point
FEWEST_POINTS = 1 << 10  # of each function
STEPS_AN_EPOCH = 16  # at least, so that small networks are trained too
SVD_LR, LR = 5e-4, 1e-2  # peak learning rates: from a singular value decomposition on, and from a SIREN's start


def plan_for(field: Field, budget: int, config: MineConfig) -> SinePlan:
    """The plan that fills `budget` bytes of sections.

    Raises:
        BudgetError: The budget holds no function; says in `smallest` what would do.
        FieldError: There is no matrix at all.
    """
    if not field.anatomy.matrices:
        raise FieldError("no tensor is a matrix, so there is nothing for functions to describe; use kind svd")
    vectors = vectors_size(field.anatomy)
    try:
        if config.coordinates == "index":
            return planning.plan_index(field.anatomy, budget - vectors, config)
        return planning.plan_learned(field.anatomy, start.spectra(field), budget - vectors, config)
    except BudgetError as error:
        raise BudgetError(f"{error}; raise the budget, or use kind svd", smallest=error.smallest + vectors) from error


def start_functions(functions: Functions, shape: SinePlan, field: Field, found: Statistics) -> None:
    """Sets learned places, and functions of one layer, to the singular value decomposition (see `start`)."""
    if shape.dims is None or not isinstance(functions.coordinates, LearnedPlaces):
        return
    gain = start.start_places(functions.coordinates, field, found, shape.dims)
    if shape.from_svd:
        start.set_products(functions.sets(), gain)


def schedule_for(shape: SinePlan, anatomy: Anatomy, config: MineConfig) -> Schedule:
    """Steps and blocks for `config.epochs` passes over the weights."""
    count = groups.count(shape.bands(anatomy))
    most = POINTS_A_STEP if shape.from_svd else DEEP_POINTS_A_STEP
    most = min(most, anatomy.weights // STEPS_AN_EPOCH) // count
    number, side = blocks_and_side(config.batch_size or max(FEWEST_POINTS, most))
    epoch = anatomy.weights / (count * number * side**2)  # in steps
    return Schedule(
        steps=max(1, ceil(config.epochs * epoch)),
        side=side,
        blocks=number,
        lr=config.lr or (SVD_LR if shape.from_svd else LR),
        clip_norm=config.clip_norm,
        patience=ceil(config.patience * epoch),
        seed=config.seed,
    )


def sampler_for(
    shard: Shard,
    shape: SinePlan,
    anatomy: Anatomy,
    found: Statistics,
    schedule: Schedule,
    *,
    device: torch.device,
    workers: int = 1,
) -> BlockSampler:
    """Draws one worker's part of every step's blocks."""
    return BlockSampler(
        shard,
        tensors=[info.name for info in anatomy.matrices],
        mean=found.mean,
        deviation=found.deviation,
        sizes=[info.size for info in anatomy.matrices],
        groups=groups.count(shape.bands(anatomy)),
        side=schedule.side,
        blocks=max(1, round(schedule.blocks / workers)),
        device=device,
    )


def draft(field: Field, budget: int | None, config: MineConfig) -> Payload:
    """What `fit_here` makes of the same arguments, with zeros for values.

    Raises:
        BudgetError: The budget holds no function.
    """
    found = start.statistics(field)
    shape = plan_for(field, _default(budget, field.anatomy), config)
    return blank(shape, field, found)


def fit_here(field: Field, budget: int | None, config: MineConfig) -> Payload:
    """Plans, trains and encodes in this process, on the CPU.

    Raises:
        BudgetError: The budget holds no function.
    """
    device = torch.device("cpu")
    found = start.statistics(field)
    shape = plan_for(field, _default(budget, field.anatomy), config)
    functions = assemble(shape, field.anatomy, precision_for(config.dtype, device), seed=config.seed)
    start_functions(functions, shape, field, found)
    schedule = schedule_for(shape, field.anatomy, config)
    shard = cut(field, tiles(shape.bands(field.anatomy)))
    sampler = sampler_for(shard, shape, field.anatomy, found, schedule, device=device)
    for _ in fit(prepare(functions), sampler, schedule):
        pass
    return encode(shape, field, found, functions.state_dict())


KINDS = {name: Kind(fit_here, decode, draft) for name in SINE_KINDS}


def _default(budget: int | None, anatomy: Anatomy) -> int:
    """Where nothing is asked for: a quarter of the weights, or what a few small functions take."""
    return max(anatomy.fp32_bytes // 4, 1 << 16) if budget is None else budget
