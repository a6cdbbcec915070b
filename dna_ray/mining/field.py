"""The weight-coordinate field: a network's raw weights with their anatomy, and the exact way back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dna_ray.errors import FieldError
from dna_ray.networks import Anatomy, Network, TensorInfo


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Field:
    """A network's weights as matrices over (row, col), one tensor in memory at a time.

    A field equals only itself: what it reads cannot be compared without reading it.

    Attributes:
        anatomy: Name, kind, layer and shape of every tensor, in canonical order.
        read: Returns one raw tensor by name; nothing is normalised here.
        fingerprint: Of the network that it was read from.
    """

    anatomy: Anatomy
    read: Callable[[str], Tensor]
    fingerprint: str

    def matrix(self, name: str) -> Tensor:
        """The tensor as its (rows, cols) matrix, in its own dtype."""
        return as_matrix(self.read(name), self.anatomy.by_name[name])


def read_field(network: Network) -> Field:
    """Reads `network` as a field. Every tensor is looked at once, one at a time.

    Raises:
        FieldError: A floating-point tensor holds NaN or infinity, or there is no floating-point tensor at all.
    """
    anatomy = network.anatomy
    if not anatomy.tensors:
        raise FieldError(f"{network.name}: the state dict is empty; give a network with weights")
    if not any(tensor.floating and tensor.size for tensor in anatomy):
        raise FieldError(f"{network.name}: holds no floating-point tensor; there is nothing to mine")
    for info in anatomy:
        if info.floating and info.tied_to is None:
            _check_finite(network.name, info.name, network.read(info.name))
    return Field(anatomy, network.read, network.fingerprint)


def write_weights(field: Field) -> Iterator[tuple[str, Tensor]]:
    """The inverse of `read_field`: every tensor by name, exactly as it was, by way of its matrix."""
    for info in field.anatomy:
        if info.is_matrix:
            yield info.name, from_matrix(field.matrix(info.name), info)
        else:
            yield info.name, field.read(info.name)


def as_matrix(tensor: Tensor, info: TensorInfo) -> Tensor:
    """A tensor as stored -> its (rows, cols) matrix."""
    if info.transposed and tensor.ndim == 2:
        return tensor.T
    return tensor.reshape(info.matrix_shape)


def from_matrix(matrix: Tensor, info: TensorInfo) -> Tensor:
    """The inverse of `as_matrix`."""
    if info.transposed and len(info.shape) == 2:
        return matrix.T.contiguous()
    return matrix.reshape(info.shape)


def _check_finite(network: str, name: str, tensor: Tensor) -> None:
    bad = tensor.numel() - int(torch.isfinite(tensor).sum())
    if bad:
        first = (~torch.isfinite(tensor.flatten())).nonzero()[0].item()
        raise FieldError(
            f"{network}: tensor {name!r} holds {bad} values that are not finite (first at flat index {first}); "
            "repair or retrain the network before mining it"
        )
