"""Measures rebuilt weights against the field that they came from, one tensor at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.mining import reference
from dna_ray.mining.fidelity import Fidelity, pooled
from dna_ray.mining.field import Field, as_matrix
from dna_ray.mining.measures import Histogram, Measures, TensorMeasure, VectorMeasure
from dna_ray.mining.reference import References, Spectrum
from dna_ray.networks import Anatomy, TensorInfo

BINS = 512
REACH = 4.0  # a histogram spans -REACH to REACH standard deviations
CHUNK = 1 << 20  # weights that are held in float64 at a time

Rebuilt = Callable[[str], Tensor] | Iterable[tuple[str, Tensor]]


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at a tensor and its rebuilt self gave; the reference needs all of them first."""

    info: TensorInfo
    achieved: Fidelity
    spread: float
    separable: Spectrum
    uniform: Spectrum


def measure(field: Field, rebuilt: Rebuilt, *, file_bytes: int, sections: Mapping[str, int]) -> Measures:
    """Measures every tensor that is not tied to another. All sums are in float64.

    Args:
        rebuilt: Reads a rebuilt tensor by name, or yields name and tensor in any order, tied ones or not.
        file_bytes: Size of the DNA file, as `stat` says.
        sections: Bytes of each of its sections; what remains of the file is its header.

    Raises:
        ArtifactError: A rebuilt tensor is missing, foreign, of another shape, or not finite.
    """
    looks: dict[str, _Look] = {}
    errors, values = _Counter(), _Counter()
    missing = {info.name for info in field.anatomy if info.tied_to is None}
    exact = True
    for info, tensor in _pairs(field.anatomy, rebuilt):
        original = field.read(info.name)
        _check(info, tensor)
        missing.discard(info.name)
        exact = exact and _same_bits(original, tensor)
        if info.floating:
            looks[info.name] = _look(info, as_matrix(original, info), as_matrix(tensor, info), errors, values)
    if missing:
        raise ArtifactError(f"{min(missing)}: not among the rebuilt tensors ({len(missing)} missing); mine again")
    ordered = [looks[info.name] for info in field.anatomy if info.name in looks]
    matrices = [look for look in ordered if look.info.is_matrix]
    return Measures(
        file_bytes=file_bytes,
        fp32_bytes=field.anatomy.fp32_bytes,
        fp16_bytes=_fp16_bytes(field.anatomy),
        sections={**sections, "header": file_bytes - sum(sections.values())},
        exact=exact,
        tensors=_beside_references(matrices, file_bytes * 8),
        vectors=_vectors([look for look in ordered if not look.info.is_matrix]),
        iid_bits=_iid_bits(matrices),
        errors=errors.histogram(),
        values=values.histogram(),
    )


def references(field: Field) -> References:
    """Both Gaussian references of the matrices of `field`, at any rate. One matrix is in memory at a time."""
    spectra = []
    for info in field.anatomy.matrices:
        _, _, rows, cols = _moments(field.matrix(info.name))
        spectra.append(_spectra(rows, cols))
    return References(
        separable=reference.pool(separable for separable, _ in spectra),
        iid=reference.pool(iid for _, iid in spectra),
        weights=field.anatomy.weights,
    )


def _pairs(anatomy: Anatomy, rebuilt: Rebuilt) -> Iterator[tuple[TensorInfo, Tensor]]:
    """Each tensor that is not tied, with its rebuilt self."""
    if callable(rebuilt):
        yield from ((info, rebuilt(info.name)) for info in anatomy if info.tied_to is None)
        return
    for name, tensor in rebuilt:
        if name not in anatomy.by_name:
            raise ArtifactError(f"{name}: rebuilt, but not a tensor of the network; this DNA is of another network")
        if anatomy.by_name[name].tied_to is None:
            yield anatomy.by_name[name], tensor


def _check(info: TensorInfo, tensor: Tensor) -> None:
    if tuple(tensor.shape) != info.shape:
        raise ArtifactError(f"{info.name}: rebuilt as {tuple(tensor.shape)}, the network has {info.shape}; mine again")
    bad = int((~torch.isfinite(tensor)).sum()) if info.floating else 0
    if bad:
        raise ArtifactError(
            f"{info.name}: {bad} rebuilt values are not finite; mine again (sine kinds: with a lower --lr)"
        )


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(
        one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8)
    )


def _fp16_bytes(anatomy: Anatomy) -> int:
    return sum(info.size * 2 if info.floating else info.nbytes for info in anatomy if info.tied_to is None)


def _look(info: TensorInfo, original: Tensor, rebuilt: Tensor, errors: "_Counter", values: "_Counter") -> _Look:
    if not info.size:
        return _Look(info, Fidelity(0, 0.0, 0.0), 0.0, reference.pool([]), reference.pool([]))
    sse = sum(float((after - before).square().sum()) for before, after in _chunks(original, rebuilt))
    mean, spread, rows, cols = _moments(original)
    achieved = Fidelity(info.size, sse, float(rows.sum()))
    if info.is_matrix and achieved.sst > 0:
        for before, after in _chunks(original, rebuilt):
            errors.add((after - before) / achieved.sigma)
            values.add((before - mean) / achieved.sigma)
    return _Look(info, achieved, spread, *_spectra(rows, cols))


def _spectra(rows: NDArray[np.float64], cols: NDArray[np.float64]) -> tuple[Spectrum, Spectrum]:
    """Of row x column variances, and of one variance, from the sums of squares of rows and of columns."""
    size = len(rows) * len(cols)
    separable = reference.separable(rows / len(cols), cols / len(rows))
    return separable, reference.uniform(float(rows.sum()) / size, size)


def _moments(matrix: Tensor) -> tuple[float, float, NDArray[np.float64], NDArray[np.float64]]:
    """Mean, range, and the sums of squares about the mean of each row and of each column."""
    mean = sum(float(chunk.sum()) for chunk, _ in _chunks(matrix, matrix)) / matrix.numel()
    spread = float(matrix.max().double() - matrix.min().double())
    return mean, spread, *_squares(matrix, mean if spread > 0 else float(matrix.reshape(-1)[0]))


def _chunks(original: Tensor, rebuilt: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of both, in float64."""
    rows = max(1, CHUNK // max(1, original.shape[1]))
    for before, after in zip(original.split(rows), rebuilt.split(rows), strict=True):
        yield before.double(), after.double()


def _squares(matrix: Tensor, mean: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of squares about `mean`: of each row, of each column. A constant matrix has exact zeros."""
    rows: list[NDArray[np.float64]] = []
    cols = np.zeros(matrix.shape[1])
    for chunk, _ in _chunks(matrix, matrix):
        squares = (chunk - mean).square()
        rows.append(squares.sum(1).numpy())
        cols += squares.sum(0).numpy()
    return np.concatenate(rows), cols


def _beside_references(looks: list[_Look], bits: int) -> tuple[TensorMeasure, ...]:
    """Every matrix with its error under both references, each at the one water level that spends `bits` on them all."""
    level = reference.water_level(reference.pool(look.separable for look in looks), bits)
    iid_level = reference.water_level(reference.pool(look.uniform for look in looks), bits)
    return tuple(
        TensorMeasure(
            name=look.info.name,
            kind=look.info.kind,
            layer=look.info.layer,
            rows=look.info.rows,
            cols=look.info.cols,
            sse=look.achieved.sse,
            sst=look.achieved.sst,
            spread=look.spread,
            reference_sse=look.achieved.sst * reference.noise(look.separable, level),
            iid_sse=look.achieved.sst * reference.noise(look.uniform, iid_level),
        )
        for look in looks
    )


def _iid_bits(looks: list[_Look]) -> float | None:
    noise = pooled(look.achieved for look in looks).noise
    return reference.bits_needed(reference.pool(look.uniform for look in looks), noise) if noise > 0 else None


def _vectors(looks: list[_Look]) -> tuple[VectorMeasure, ...]:
    kinds = dict.fromkeys(look.info.kind for look in looks)
    groups = {kind: [look for look in looks if look.info.kind == kind] for kind in kinds}
    return tuple(
        VectorMeasure(kind, len(group), pooled(look.achieved for look in group)) for kind, group in groups.items()
    )


class _Counter:
    """Adds up a histogram, chunk by chunk."""

    def __init__(self) -> None:
        self._counts = torch.zeros(BINS, dtype=torch.float64)
        self._beyond = 0

    def add(self, values: Tensor) -> None:
        counts = torch.histc(values, BINS, -REACH, REACH)
        self._counts += counts
        self._beyond += values.numel() - int(counts.sum())

    def histogram(self) -> Histogram:
        return Histogram(tuple(int(count) for count in self._counts.tolist()), self._beyond)
