"""The contract of a kind of DNA: how a field becomes sections of bytes within a budget, and back."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field
from dna_ray.networks import Anatomy


@dataclass(frozen=True, slots=True)
class Payload:
    """What a kind of DNA has to say of a network: parameters for the header, and sections of bytes.

    Attributes:
        params: JSON values that `decode` needs; they go into the header.
        sections: Name -> one array of a numpy dtype each; their bytes go into the file.
    """

    params: Mapping[str, Any]
    sections: Mapping[str, NDArray[Any]]

    @property
    def nbytes(self) -> int:
        """Bytes of all sections."""
        return sum(section.nbytes for section in self.sections.values())

    def section(self, name: str, dtype: str, count: int | None = None) -> NDArray[Any]:
        """One section, flat; a section of `count` 0 may be left out of the file.

        Args:
            dtype: Its numpy name, such as `u1` or `f2`.
            count: Values that it must hold; None: any number.

        Raises:
            ArtifactError: It is missing, or of another dtype or length.
        """
        if name not in self.sections and not count:
            return np.empty(0, dtype)
        if name not in self.sections:
            raise ArtifactError(f"section {name!r} is missing; this DNA was not written by dna_ray")
        values = self.sections[name].reshape(-1)
        if values.dtype != np.dtype(dtype) or (count is not None and values.size != count):
            expected = dtype if count is None else f"{count} x {dtype}"
            raise ArtifactError(
                f"section {name!r}: expected {expected}, found {values.size} x {values.dtype}; "
                "this DNA was not written by dna_ray"
            )
        return values


Fit = Callable[[Field, int | None, MineConfig], Payload]
Decode = Callable[[Payload, Anatomy], Iterator[tuple[str, Tensor]]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of DNA.

    Attributes:
        fit: (field, budget in bytes for the sections of the payload or None, config) -> payload. Raises `BudgetError`
            with the smallest possible size where the budget is too small.
        decode: (payload, anatomy) -> (name, tensor) of every untied tensor, in canonical order, each in its stored
            shape and dtype, one in memory at a time. Deterministic.
        draft: Like `fit`, and as large, but without the work: its params and the sizes of its sections are those of
            `fit` with the same arguments, their values mean nothing. None where `fit` itself is cheap.
    """

    fit: Fit
    decode: Decode
    draft: Fit | None = None
