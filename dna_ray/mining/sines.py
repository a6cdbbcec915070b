"""The sine kinds of DNA: a plan, a start, training, sections of bytes, and back."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dna_ray.errors import ArtifactError, BudgetError
from dna_ray.mining import groups, plan, start
from dna_ray.mining.blocks import BlockSampler
from dna_ray.mining.config import SINE_KINDS, MineConfig
from dna_ray.mining.coordinates import IndexCoordinates, LearnedPlaces, from_levels, to_levels
from dna_ray.mining.field import Field, from_matrix
from dna_ray.mining.fit import Functions, Schedule, blocks_and_side, fit, prepare
from dna_ray.mining.kind import Kind, Payload
from dna_ray.mining.packing import pack, packed_size, unpack
from dna_ray.mining.plan import SinePlan
from dna_ray.mining.sine import EAGER, compiled, fast_dtype
from dna_ray.mining.siren import NETWORKS, Precision
from dna_ray.mining.start import Statistics
from dna_ray.mining.tiles import Band, Shard, cut, tiles
from dna_ray.mining.vectors import decode_vectors, encode_vectors, vectors_size
from dna_ray.networks import Anatomy, TensorInfo
from dna_ray.networks.network import DTYPES

FUNCTIONS, PLACES, SCALES, NORMAL = "sine.functions", "sine.places", "sine.scales", "sine.normal"
POINTS_A_STEP = 1 << 20  # of all functions, where they are small
POINTS_OF_DEEP = 1 << 10  # of each function, where every point passes through hidden layers
_CHUNK = 1 << 24  # activations of a rebuild in memory at a time

State = Mapping[str, Tensor]


def plan_for(field: Field, found: Statistics, budget: int, config: MineConfig) -> SinePlan:
    """The plan that fills `budget` bytes of sections.

    Raises:
        BudgetError: The budget holds no function; says in `smallest` what would do.
    """
    vectors = vectors_size(field.anatomy)
    try:
        if config.coordinates == "index":
            return plan.plan_index(field.anatomy, budget - vectors, config)
        return plan.plan_learned(field.anatomy, _spectra(field), budget - vectors, config)
    except BudgetError as error:
        raise BudgetError(f"{error}; raise the budget, or use kind svd", smallest=error.smallest + vectors) from error


@lru_cache(maxsize=1)
def _spectra(field: Field) -> tuple[np.ndarray[Any, Any], ...]:
    """A budget is met in a few drafts of one field: its matrices are decomposed once."""
    return tuple(start.spectra(field, start.statistics(field)))


def assemble(shape: SinePlan, anatomy: Anatomy, precision: Precision, *, seed: int = 0) -> Functions:
    """The functions of a plan, as a SIREN starts, with places at zero."""
    count = groups.count(shape.bands(anatomy))
    generator = torch.Generator().manual_seed(seed)
    network = NETWORKS[shape.kind](shape.shapes(count), generator=generator)
    if shape.dims is None:
        return Functions(IndexCoordinates(anatomy), network, precision)
    return Functions(LearnedPlaces(anatomy, dim=shape.place_dim, bits=shape.bits), network, precision)


def start_functions(functions: Functions, shape: SinePlan, field: Field, found: Statistics) -> None:
    """Sets learned places, and functions of one layer, to the singular value decomposition (see `start`)."""
    if shape.dims is None or not isinstance(functions.coordinates, LearnedPlaces):
        return
    gain = start.start_places(functions.coordinates, field, found, shape.dims)
    if all(len(widths) == 1 for widths in shape.widths):
        start.start_functions(list(functions.network.bands), gain)  # type: ignore[arg-type]


def schedule_for(shape: SinePlan, anatomy: Anatomy, config: MineConfig) -> Schedule:
    """Steps and blocks for `config.epochs` passes over the weights."""
    count = groups.count(shape.bands(anatomy))
    deep = any(len(widths) > 1 for widths in shape.widths)
    size = config.batch_size or (POINTS_OF_DEEP if deep and count > 1 else max(POINTS_OF_DEEP, POINTS_A_STEP // count))
    number, side = blocks_and_side(size)
    per_step = count * number * side**2
    patience = ceil(config.patience * anatomy.weights / per_step)
    return Schedule(
        steps=max(1, ceil(config.epochs * anatomy.weights / per_step)),
        side=side,
        blocks=number,
        lr=config.lr,
        clip_norm=config.clip_norm,
        patience=patience,
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


def precision_for(dtype: str, device: torch.device, *, compile_kernels: bool = False) -> Precision:
    """Precision of the products, by its name in `MineConfig.dtype`."""
    chosen = fast_dtype(device) if dtype == "auto" else getattr(torch, dtype)
    return Precision(chosen, compiled() if compile_kernels else EAGER)


def encode(shape: SinePlan, field: Field, found: Statistics, state: State) -> Payload:
    """The sections of trained functions; `state` is the state dict of `Functions`."""
    network = [state[name].detach().cpu() for name in sorted(state) if name.startswith("network.")]
    functions = torch.cat([values.flatten() for values in network]).clamp(-65504, 65504)
    sections: dict[str, np.ndarray[Any, Any]] = {
        FUNCTIONS: functions.half().numpy(),
        NORMAL: torch.stack([found.mean, found.deviation]).numpy(),
    }
    if shape.dims is not None:
        levels, scales = _encode_places(shape, field.anatomy, state)
        sections |= {PLACES: pack(levels, shape.bits), SCALES: scales}
    return Payload(shape.to_json(), sections | encode_vectors(field))


def decode(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    """Evaluates the functions at every coordinate, in float32 on the CPU; a matrix in memory at a time."""
    vectors = decode_vectors(payload, anatomy)
    matrices = _decode_matrices(payload, anatomy)
    for info in anatomy:
        if info.tied_to is None:
            yield next(matrices if info.is_matrix else vectors)


def draft(field: Field, budget: int | None, config: MineConfig) -> Payload:
    """What `fit_here` makes of the same arguments, with zeros for values.

    Raises:
        BudgetError: The budget holds no function.
    """
    found = start.statistics(field)
    shape = plan_for(field, found, _default(budget, field.anatomy), config)
    count = groups.count(shape.bands(field.anatomy))
    sections: dict[str, np.ndarray[Any, Any]] = {
        FUNCTIONS: np.zeros(count * shape.parameters(), "f2"),
        NORMAL: torch.stack([found.mean, found.deviation]).numpy(),
    }
    if shape.dims is not None:
        shapes = [info.matrix_shape for info in field.anatomy.matrices]
        numbers = sum((rows + cols) * d for (rows, cols), d in zip(shapes, shape.dims, strict=True))
        sections |= {
            PLACES: np.zeros(packed_size(numbers, shape.bits), "u1"),
            SCALES: np.zeros(2 * sum(shape.dims), "f2"),
        }
    return Payload(shape.to_json(), sections | encode_vectors(field))


def fit_here(field: Field, budget: int | None, config: MineConfig) -> Payload:
    """Plans, trains and encodes in this process, on the CPU.

    Raises:
        BudgetError: The budget holds no function.
    """
    device = torch.device("cpu")
    found = start.statistics(field)
    shape = plan_for(field, found, _default(budget, field.anatomy), config)
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
    return anatomy.fp32_bytes // 4 if budget is None else budget


def _encode_places(
    shape: SinePlan, anatomy: Anatomy, state: State
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    assert shape.dims is not None
    levels, scales = [], []
    start_row = start_col = 0
    for t, (info, d) in enumerate(zip(anatomy.matrices, shape.dims, strict=True)):
        rows = state["coordinates.rows"][start_row : start_row + info.rows, :d]
        cols = state["coordinates.cols"][start_col : start_col + info.cols, :d]
        levels += [to_levels(part.detach().cpu(), shape.bits).flatten() for part in (rows, cols)]
        scales += [state[f"coordinates.{side}_scale"][t, :d].cpu() for side in ("row", "col")]
        start_row, start_col = start_row + info.rows, start_col + info.cols
    return torch.cat(levels).numpy().astype(np.uint16), torch.cat(scales).half().numpy()


def _decode_matrices(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    shape = _plan_of(payload, anatomy)
    functions = assemble(shape, anatomy, Precision())
    _fill_network(functions, payload)
    if shape.dims is not None:
        _fill_places(functions, shape, payload, anatomy)
    normal = payload.section(NORMAL, "f4", 2 * len(anatomy.matrices)).reshape(2, -1)
    bands: dict[str, list[Band]] = {}
    for band in shape.bands(anatomy):
        bands.setdefault(band.tensor, []).append(band)
    width = max(max(widths) for widths in shape.widths)
    for t, info in enumerate(anatomy.matrices):
        height = max(1, _CHUNK // (info.cols * width))
        matrix = torch.cat([_evaluate(functions, t, band, height) for band in bands[info.name]])
        yield info.name, _as_stored(matrix * float(normal[1, t]) + float(normal[0, t]), info)


def _plan_of(payload: Payload, anatomy: Anatomy) -> SinePlan:
    try:
        shape = SinePlan.from_json(dict(payload.params))
        fits = shape.kind in SINE_KINDS and (shape.dims is None or len(shape.dims) == len(anatomy.matrices))
        # The sections must be as large as the plan says before anything of its size is made.
        count = groups.count(shape.bands(anatomy)) if fits else 0
        payload.section(FUNCTIONS, "f2", count * shape.parameters() if fits else None)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ArtifactError(f"the plan of this sine DNA cannot be read ({error!r})") from error
    if not fits:
        raise ArtifactError("the plan of this sine DNA does not fit its tensors; it was not written by dna_ray")
    return shape


def _fill_network(functions: Functions, payload: Payload) -> None:
    parameters = dict(sorted(functions.network.named_parameters()))
    values = torch.from_numpy(payload.section(FUNCTIONS, "f2").astype(np.float32))
    parts = values.split([parameter.numel() for parameter in parameters.values()])
    with torch.no_grad():
        for parameter, part in zip(parameters.values(), parts, strict=True):
            parameter.copy_(part.view_as(parameter))


def _fill_places(functions: Functions, shape: SinePlan, payload: Payload, anatomy: Anatomy) -> None:
    assert shape.dims is not None
    table = functions.coordinates
    assert isinstance(table, LearnedPlaces)
    shapes = [info.matrix_shape for info in anatomy.matrices]
    numbers = sum((rows + cols) * d for (rows, cols), d in zip(shapes, shape.dims, strict=True))
    packed = payload.section(PLACES, "u1", packed_size(numbers, shape.bits))
    places = from_levels(torch.from_numpy(unpack(packed, shape.bits, numbers).astype(np.float32)), shape.bits)
    scales = torch.from_numpy(payload.section(SCALES, "f2", 2 * sum(shape.dims)).astype(np.float32))
    place = scale = start_row = start_col = 0
    with torch.no_grad():
        for t, ((rows, cols), d) in enumerate(zip(shapes, shape.dims, strict=True)):
            table.rows[start_row : start_row + rows, :d] = places[place : place + rows * d].view(rows, d)
            place += rows * d
            table.cols[start_col : start_col + cols, :d] = places[place : place + cols * d].view(cols, d)
            place += cols * d
            table.row_scale[t, :d], table.col_scale[t, :d] = scales[scale : scale + 2 * d].view(2, d)
            scale, start_row, start_col = scale + 2 * d, start_row + rows, start_col + cols


@torch.no_grad()
def _evaluate(functions: Functions, tensor: int, band: Band, height: int) -> Tensor:
    """Normalised weights of a band, from its group's function alone, `height` rows at a time."""
    network = functions.network
    own = {name: values[band.group : band.group + 1] for name, values in network.named_parameters()}
    which, col = torch.tensor([[tensor]]), torch.arange(band.cols).view(1, 1, -1)
    pieces = []
    for first in range(band.row, band.row + band.rows, height):
        row = torch.arange(first, min(first + height, band.row + band.rows)).view(1, 1, -1)
        rows, cols = functions.coordinates(which, row, col)
        value = torch.func.functional_call(network, own, (rows, cols, functions.precision))
        pieces.append(value.view(row.shape[2], band.cols))
    return torch.cat(pieces)


def _as_stored(matrix: Tensor, info: TensorInfo) -> Tensor:
    dtype = DTYPES[info.dtype]
    limit = torch.finfo(dtype).max
    return from_matrix(matrix.clamp(-limit, limit).to(dtype), info)
