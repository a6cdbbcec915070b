"""Coded DNA: weights at the rate-distortion function, by transform, scale field, trellis and range coder.

A matrix is W = Y V', where V is an orthogonal transform of its columns (or none) and Y has a scale for each row and
each column. Where it is known how much errors matter, Y is scaled by gains, so that all errors count the same. Y is
quantised by a trellis, at one step for the whole network: at one slope, which is reverse water-filling. The indices are
coded with a table for each class of scale / step. All that a decoder needs to tell one symbol from another is made of
integers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import BudgetError
from dna_ray.mining.coding.analysis import (
    feedback_from,
    first_step,
    steps,
    untransformed,
    with_transforms,
    without_transforms,
)
from dna_ray.mining.coding.decoder import STREAMS, decode_matrices
from dna_ray.mining.coding.encoder import Encoder, Feedback
from dna_ray.mining.coding.mean import Means, read_means
from dna_ray.mining.coding.mean_training import fit_means
from dna_ray.mining.coding.passes import Here, Read, Runner
from dna_ray.mining.coding.rate import Found
from dna_ray.mining.coding.side import Side, read_side
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field
from dna_ray.mining.kind import Kind, Payload
from dna_ray.mining.vectors import encode_vectors, with_vectors
from dna_ray.networks import Anatomy, TensorInfo
from dna_ray.tasks.sensitivity import Sensitivity

Sections = dict[str, NDArray[Any]]
_SPARE = 0.0003  # of the room: what the estimate of a stream's length does not see
_WASTE = 0.004  # of the room: a result nearer to it is kept
_TRIES = 4
_PLAIN_BITS = 1.5  # a weight, where no budget is given
_LARGEST = 1e38  # weight, of a float64
_FURTHEST = 16.0  # that a step moves when weights have moved a little
_ERROR_A_STEP = 0.25  # squared steps a weight, roughly


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """All of a payload but streams and codebook."""

    side: Side
    means: Means
    vectors: Sections

    def sections(self) -> Sections:
        return self.vectors | self.side.sections() | self.means.sections()

    @property
    def nbytes(self) -> int:
        return _nbytes(self.sections())


def fit(
    field: Field,
    budget: int | None,
    config: MineConfig,
    runner: Runner | None = None,
    known: Mapping[str, Sensitivity] | None = None,
) -> Payload:
    """The smallest error within `budget`; None: the fewest bytes that reach `config.r2`.

    Args:
        runner: Where blocks are worked on; None: here. The bytes do not depend on it.
        known: By the name of a matrix, how much its errors matter; None: all errors count the same (data-free).

    Raises:
        BudgetError: Scales and vectors alone take more.
    """
    matrices, runner, known = field.anatomy.matrices, runner or Here(), known or {}
    vectors = encode_vectors(field)
    if not matrices:
        return Payload({"step": 1.0, "states": config.effort, "turned": [], "words": []}, vectors)
    read = partial(_read, field)
    plain = untransformed(read, matrices, known)
    scope = steps(plain)

    def encoder_from(start: float) -> tuple[Encoder, Frame]:
        side = with_transforms(read, matrices, plain, known, start)
        means, side = fit_means(read, matrices, without_transforms(plain), side, start, seed=config.seed)
        left = means.residual(read, matrices)
        feedback = feedback_from(matrices, side, known)
        encoder = Encoder(left, matrices, side, feedback, config.effort, scope, start, runner)
        return encoder, Frame(side, means, vectors)

    if budget is None and config.target_r2 is not None:
        error = (1 - config.target_r2) * _spread(read, matrices)
        start = min(max((error / field.anatomy.weights / _ERROR_A_STEP) ** 0.5, scope[0]), scope[1])
        encoder, frame = encoder_from(start)
        found = encoder.within_error(error)
        return _payload(found, encoder.streams(found), frame, config)
    room = field.anatomy.weights * _PLAIN_BITS / 8 if budget is None else budget - _nbytes(vectors)
    encoder, frame = encoder_from(first_step(plain, 8 * max(room, 1)))
    payload = _fitted(encoder, frame, room + _nbytes(vectors), config)
    if budget is None or payload.nbytes <= budget:
        return payload
    smallest = _smallest(read, matrices, vectors, config)
    if smallest.nbytes <= budget:
        return smallest
    raise BudgetError(
        f"coded takes at least {smallest.nbytes:,} bytes here, the budget is {budget:,}; raise it",
        smallest=smallest.nbytes,
    )


def refit(
    field: Field, budget: int, config: MineConfig, like: Payload, feedback: Feedback, runner: Runner | None = None
) -> Payload:
    """`fit` of weights that have moved a little: transforms, gains and scales are those of `like`, the step is near.

    Args:
        feedback: What the rows of the matrix at a place are fed by.

    Raises:
        BudgetError: They cannot be coded like that in so many bytes.
    """
    matrices = field.anatomy.matrices
    frame = Frame(read_side(like, matrices), read_means(like, matrices), encode_vectors(field))
    step, left = float(like.params["step"]), frame.means.residual(partial(_read, field), matrices)
    scope = step / _FURTHEST, step * _FURTHEST
    encoder = Encoder(left, matrices, frame.side, feedback, config.effort, scope, step, runner or Here())
    payload = _fitted(encoder, frame, budget, config)
    if payload.nbytes > budget:
        raise BudgetError(f"coded takes {payload.nbytes:,} bytes here, the budget is {budget:,}; raise it")
    return payload


def _read(field: Field, name: str) -> NDArray[np.float32]:
    matrix = field.matrix(name)
    if matrix.dtype is torch.float64:
        matrix = matrix.clamp(-_LARGEST, _LARGEST)
    return matrix.to(torch.float32).numpy()


def _spread(read: Read, matrices: Sequence[TensorInfo]) -> float:
    """Sum of squares of all weights about the means of their matrices."""
    found = 0.0
    for info in matrices:
        matrix = read(info.name)
        found += float(np.var(matrix, dtype=np.float64)) * matrix.size
    return found


def _smallest(read: Read, matrices: Sequence[TensorInfo], vectors: Sections, config: MineConfig) -> Payload:
    """Every weight zero, no gain and no transform: the same whatever the budget."""
    plain = untransformed(read, matrices, {})
    side, coarsest = without_transforms(plain), steps(plain)[1]
    encoder = Encoder(read, matrices, side, lambda _: None, config.effort, (coarsest, coarsest), coarsest, Here())
    return _fitted(encoder, Frame(side, Means(), vectors), 1, config)


def _fitted(encoder: Encoder, frame: Frame, budget: float, config: MineConfig) -> Payload:
    """The payload that fills the budget; the estimate of a stream's length is mended if need be."""
    room = max(1, budget - frame.nbytes)  # of streams and codebook
    allowed = room * (1 - _SPARE)
    tries: list[tuple[float, Found, list[NDArray[np.uint32]]]] = []
    for _ in range(_TRIES):
        found = encoder.within_bytes(allowed)
        streams = encoder.streams(found)
        taken = found.learned.nbytes + sum(words.nbytes for words in streams)
        tries.append((taken if taken <= room else -taken, found, streams))  # the most that fits, or else the least
        if found.step in encoder.scope or room * (1 - _WASTE) <= taken <= room:
            break
        allowed *= room * (1 - _SPARE) / taken
    _, found, streams = max(tries, key=lambda tried: tried[0])
    return _payload(found, streams, frame, config)


def _payload(found: Found, streams: list[NDArray[np.uint32]], frame: Frame, config: MineConfig) -> Payload:
    params = {
        "step": found.step,
        "states": config.effort,
        "turned": list(frame.side.turned),
        "words": [len(words) for words in streams],
        **frame.means.params(),
    }
    sections = frame.sections() | found.learned.sections() | {STREAMS: np.concatenate(streams)}
    return Payload(params, {name: section for name, section in sections.items() if section.size})


def _nbytes(sections: Sections) -> int:
    return sum(section.nbytes for section in sections.values())


def decode(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    """Matrices from their streams, in float32, and the vectors; a block in memory at a time."""
    return with_vectors(payload, anatomy, decode_matrices(payload, anatomy))


KIND = Kind(fit, decode)
