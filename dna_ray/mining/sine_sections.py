"""The sections of a sine DNA: functions and places as bytes, and back."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.mining import groups
from dna_ray.mining.config import SINE_KINDS
from dna_ray.mining.coordinates import LearnedPlaces, from_levels, to_levels
from dna_ray.mining.field import Field, from_matrix
from dna_ray.mining.functions import Functions, assemble
from dna_ray.mining.groups import Band
from dna_ray.mining.kind import Payload
from dna_ray.mining.packing import pack, packed_size, unpack
from dna_ray.mining.plan import SinePlan, place_numbers
from dna_ray.mining.siren import Precision
from dna_ray.mining.start import Statistics
from dna_ray.mining.vectors import encode_vectors, with_vectors
from dna_ray.networks import Anatomy, TensorInfo
from dna_ray.networks.network import DTYPES

# The last layer of a function, OUTPUTS, is in fp32: its weights drift together, and hundreds of fp16 roundings to the
# same side would move the mean.
FUNCTIONS, OUTPUTS = "sine.functions", "sine.outputs"
PLACES, SCALES, NORMAL = "sine.places", "sine.scales", "sine.normal"
_CHUNK = 1 << 24  # activations of a rebuild in memory at a time
_LARGEST_HALF = float(torch.finfo(torch.float16).max)

Array = NDArray[Any]
State = Mapping[str, Tensor]


def encode(shape: SinePlan, field: Field, found: Statistics, state: State) -> Payload:
    """The sections of trained functions; `state` is the state dict of `Functions`."""
    network = {name: state[name].detach().cpu() for name in sorted(state) if name.startswith("network.")}
    inside = torch.cat([values.flatten() for name, values in network.items() if not _is_output(name)])
    outputs = torch.cat([values.flatten() for name, values in network.items() if _is_output(name)])
    sections: dict[str, Array] = {
        FUNCTIONS: inside.clamp(-_LARGEST_HALF, _LARGEST_HALF).half().numpy(),
        OUTPUTS: outputs.numpy(),
        NORMAL: torch.stack([found.mean, found.deviation]).numpy(),
    }
    if shape.dims is not None:
        levels, scales = _encode_places(shape.dims, shape.bits, field.anatomy, state)
        sections |= {PLACES: pack(levels, shape.bits), SCALES: scales}
    return Payload(shape.to_json(), sections | encode_vectors(field))


def blank(shape: SinePlan, field: Field, found: Statistics) -> Payload:
    """What `encode` makes, as large, with zeros for what training decides."""
    count = groups.count(shape.bands(field.anatomy))
    sections: dict[str, Array] = {
        FUNCTIONS: np.zeros(count * (shape.parameters() - shape.outputs()), "f2"),
        OUTPUTS: np.zeros(count * shape.outputs(), "f4"),
        NORMAL: torch.stack([found.mean, found.deviation]).numpy(),
    }
    if shape.dims is not None:
        numbers = place_numbers([info.matrix_shape for info in field.anatomy.matrices], shape.dims)
        sections[PLACES] = np.zeros(packed_size(numbers, shape.bits), "u1")
        sections[SCALES] = np.zeros(2 * sum(shape.dims), "f2")
    return Payload(shape.to_json(), sections | encode_vectors(field))


def decode(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    """Evaluates the functions at every coordinate, in float32 on the CPU; a matrix in memory at a time."""
    return with_vectors(payload, anatomy, _decode_matrices(payload, anatomy))


def _encode_places(dims: tuple[int, ...], bits: int, anatomy: Anatomy, state: State) -> tuple[Array, Array]:
    """Levels and scales, tensor by tensor: of its rows, then of its columns."""
    levels, scales = [], []
    row = col = 0
    for t, (info, d) in enumerate(zip(anatomy.matrices, dims, strict=True)):
        rows = state["coordinates.rows"][row : row + info.rows, :d]
        cols = state["coordinates.cols"][col : col + info.cols, :d]
        levels += [to_levels(places.detach().cpu(), bits).flatten() for places in (rows, cols)]
        scales += [state[f"coordinates.{side}_scale"][t, :d].cpu() for side in ("row", "col")]
        row, col = row + info.rows, col + info.cols
    return torch.cat(levels).numpy().astype(np.uint16), torch.cat(scales).half().numpy()


def _decode_matrices(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    shape = _plan_of(payload, anatomy)
    functions = assemble(shape, anatomy, Precision())
    _fill_network(functions, payload)
    if isinstance(functions.coordinates, LearnedPlaces):
        _fill_places(functions.coordinates, shape.dims or (), payload, anatomy)
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
        payload.section(FUNCTIONS, "f2", count * (shape.parameters() - shape.outputs()) if fits else None)
        payload.section(OUTPUTS, "f4", count * shape.outputs() if fits else None)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ArtifactError(f"the plan of this sine DNA cannot be read ({error!r})") from error
    if not fits:
        raise ArtifactError("the plan of this sine DNA does not fit its tensors; it was not written by dna_ray")
    return shape


@torch.no_grad()
def _fill_network(functions: Functions, payload: Payload) -> None:
    parameters = dict(sorted(functions.network.named_parameters()))
    outputs = {name: values for name, values in parameters.items() if _is_output(name)}
    inside = {name: values for name, values in parameters.items() if not _is_output(name)}
    for section, dtype, named in ((FUNCTIONS, "f2", inside), (OUTPUTS, "f4", outputs)):
        values = torch.from_numpy(payload.section(section, dtype).astype(np.float32))
        parts = values.split([parameter.numel() for parameter in named.values()])
        for parameter, part in zip(named.values(), parts, strict=True):
            parameter.copy_(part.view_as(parameter))


def _is_output(name: str) -> bool:
    """Whether a parameter belongs to the last layer of a function."""
    return name.endswith(("out_weight", "out_bias"))


@torch.no_grad()
def _fill_places(table: LearnedPlaces, dims: tuple[int, ...], payload: Payload, anatomy: Anatomy) -> None:
    shapes = [info.matrix_shape for info in anatomy.matrices]
    numbers, bits = place_numbers(shapes, dims), table.bits
    packed = payload.section(PLACES, "u1", packed_size(numbers, bits))
    places = from_levels(torch.from_numpy(unpack(packed, bits, numbers).astype(np.float32)), bits)
    scales = torch.from_numpy(payload.section(SCALES, "f2", 2 * sum(dims)).astype(np.float32))
    place = scale = row = col = 0
    for t, ((rows, cols), d) in enumerate(zip(shapes, dims, strict=True)):
        table.rows[row : row + rows, :d] = places[place : place + rows * d].view(rows, d)
        place += rows * d
        table.cols[col : col + cols, :d] = places[place : place + cols * d].view(cols, d)
        place += cols * d
        table.row_scale[t, :d], table.col_scale[t, :d] = scales[scale : scale + 2 * d].view(2, d)
        scale, row, col = scale + 2 * d, row + rows, col + cols


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
    limit = min(torch.finfo(dtype).max, torch.finfo(matrix.dtype).max)
    return from_matrix(matrix.clamp(-limit, limit).to(dtype), info)
