"""The kind that keeps the bytes as they are: it shows that the way through field, file and rebuild is exact."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from dna_ray.errors import BudgetError
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field, from_matrix
from dna_ray.mining.kind import Kind, Payload
from dna_ray.mining.vectors import tensor_bytes, tensor_from_bytes
from dna_ray.networks import Anatomy, TensorInfo

_SECTION = "verbatim"


def fit(field: Field, budget: int | None, config: MineConfig) -> Payload:
    """The bytes of every untied tensor in canonical order; matrices in the order of their rows.

    Raises:
        BudgetError: They are more than `budget`.
    """
    size = sum(info.nbytes for info in _stored(field.anatomy))
    if budget is not None and size > budget:
        raise BudgetError(
            f"verbatim takes {size:,} bytes, the budget is {budget:,}; choose another kind", smallest=size
        )
    section = np.empty(size, np.uint8)
    at = 0
    for info in _stored(field.anatomy):
        tensor = field.matrix(info.name) if info.is_matrix else field.read(info.name)
        section[at : at + info.nbytes] = tensor_bytes(tensor)
        at += info.nbytes
    return Payload({}, {_SECTION: section} if size else {})


def decode(payload: Payload, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    """The inverse of `fit`, bit by bit."""
    section = payload.section(_SECTION, "u1", sum(info.nbytes for info in _stored(anatomy)))
    at = 0
    for info in _stored(anatomy):
        tensor = tensor_from_bytes(section[at : at + info.nbytes], info)
        yield info.name, from_matrix(tensor.reshape(info.matrix_shape), info) if info.is_matrix else tensor
        at += info.nbytes


def _stored(anatomy: Anatomy) -> Iterator[TensorInfo]:
    return (info for info in anatomy if info.tied_to is None)


KIND = Kind(fit, decode)
