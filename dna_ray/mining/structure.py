"""Structure found: the bits that each part of a coded DNA saves against independent, identical Gaussians.

Every matrix is described by models that know more and more of it, each at the squared error that it is rebuilt with:

    i.i.d.       Gaussians of one variance, that of the matrix about its mean: the rate-distortion function of one
    + mean       the same of what is left by a mean of sine functions, where there is one, and the bytes of that
    + scales     Gaussians of row x column variances, reverse water-filled, and the bytes of the scales
    + transform  the same after the transform of columns, and the bytes of its basis
    the file     what streams and tables take

What a part saves is what its model takes less than the one before, so all parts together save what the file takes less
than the first. The last of them is `coder`: trellis, tables and range coder beside the model that they work on. It is
below zero by the space-filling loss of the quantiser and the bytes of the tables, and gains where entries of one scale
are not Gaussian. In a calibrated file it is called `coder, gains`, since it also pays for errors that weigh more than
others, and for the gains that say so, while the models count all errors alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dna_ray.errors import ArtifactError
from dna_ray.mining import reference
from dna_ray.mining.charges import Bits, charges
from dna_ray.mining.coding.blocks import blocks
from dna_ray.mining.coding.mean import read_means
from dna_ray.mining.coding.passes import Read, values_of
from dna_ray.mining.coding.side import Side, read_side
from dna_ray.mining.field import Field
from dna_ray.mining.kind import Payload
from dna_ray.mining.measures import TensorMeasure
from dna_ray.networks import TensorInfo

CALIBRATED = "coder, gains"  # what the last part is called where errors were weighed
Energy = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """What the parts of a file save on some matrices, in bits.

    Attributes:
        kind: Kind of tensor; "all" for all of them.
        iid: That i.i.d. Gaussians take, for each matrix at its own error.
        file: That the file takes: streams, and the matrices' share of scales, bases and tables. Not header and vectors.
        parts: Name -> bits saved, net of what the part itself takes; they add up to `iid` - `file`.
    """

    kind: str
    tensors: int
    weights: int
    iid: float
    file: float
    parts: Mapping[str, float]

    @property
    def net(self) -> float:
        """Bits saved by all parts together."""
        return self.iid - self.file

    @property
    def per_weight(self) -> dict[str, float]:
        """The bits of `iid`, of each part, of `file` and of `net`, for one weight."""
        figures = {"iid": self.iid, **self.parts, "file": self.file, "net": self.net}
        return {name: bits / self.weights for name, bits in figures.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """What was found in the matrices of a network.

    Attributes:
        kinds: By kind of tensor, most weights first.
        exact: Matrices that are left out: rebuilt without an error, for which Gaussians take infinitely many bits.
    """

    kinds: tuple[Saved, ...]
    exact: int = 0

    @property
    def total(self) -> Saved:
        """All kinds together."""
        return Saved(
            kind="all",
            tensors=sum(kind.tensors for kind in self.kinds),
            weights=sum(kind.weights for kind in self.kinds),
            iid=sum(kind.iid for kind in self.kinds),
            file=sum(kind.file for kind in self.kinds),
            parts={part: sum(kind.parts[part] for kind in self.kinds) for part in self.parts},
        )

    @property
    def rows(self) -> tuple[Saved, ...]:
        """All kinds, and their total."""
        return *self.kinds, self.total

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that the file has, in the order in which they are applied."""
        return tuple(self.kinds[0].parts)

    def to_json(self) -> dict[str, Any]:
        """JSON values; `per_weight` repeats what follows from the rest, for readers of the file."""
        return {"per_weight": {each.kind: each.per_weight for each in self.rows}, **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Structure":
        """The inverse of `to_json`.

        Raises:
            ArtifactError: A part is missing or of another form.
        """
        try:
            return cls(kinds=tuple(Saved(**kind) for kind in value["kinds"]), exact=int(value["exact"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"structure: damaged or of another version ({error!r}); mine again") from error


def find_structure(field: Field, payload: Payload, tensors: Sequence[TensorMeasure]) -> Structure | None:
    """What the parts of a coded DNA save on `field`, by kind of tensor; a block of rows is in memory at a time.

    Args:
        payload: Of the kind `coded`; one that `coded.decode` takes.
        tensors: The matrices of `field` as measured: their errors and variances.

    Returns:
        None where no matrix has an error.
    """
    matrices = field.anatomy.matrices
    measured = {tensor.name: tensor for tensor in tensors}
    errors = np.array([measured[info.name].sse for info in matrices])
    if not errors.any():
        return None
    side, means = read_side(payload, matrices), read_means(payload, matrices)
    read = means.residual(lambda name: field.matrix(name).to(torch.float32).nan_to_num().numpy(), matrices)
    as_turned = replace(side, gains=())
    plain = _energies(read, matrices, replace(as_turned, turned=(-1,) * len(matrices), bases=()))
    iid = np.array([_gaussian_bits(measured[info.name].sst, info.size, measured[info.name].sse) for info in matrices])
    left = iid.copy()
    for i in (mean.shape.matrix for mean in means.kept):
        left[i] = _gaussian_bits(float(plain[i][0].sum()), matrices[i].size, errors[i])
    scaled, turned = (
        np.array([_separable_bits(*energy, error) for energy, error in zip(energies, errors, strict=True)])
        for energies in (plain, _energies(read, matrices, as_turned))
    )
    taken = charges(payload, side, means, matrices)
    parts = {"mean": iid - left - taken.means} if means.kept else {}
    parts |= {
        "scales": left - scaled - taken.scales,
        "transform": scaled - turned - taken.bases,
        CALIBRATED if side.gains else "coder": turned - taken.coder,
    }
    return _by_kind(matrices, errors > 0, iid, taken.all, parts)


def _gaussian_bits(power: float, size: int, error: float) -> float:
    """The rate-distortion function of one Gaussian, for `size` weights whose squares add up to `power`."""
    if power <= 0 or error <= 0:
        return 0.0
    return reference.bits_needed(reference.uniform(power / size, size), error / power)


def _separable_bits(rows: Energy, cols: Energy, error: float) -> float:
    """The same of Gaussians of row x column variances about zero, from the sums of squares of rows and of columns."""
    power = float(rows.sum())
    if power <= 0 or error <= 0:
        return 0.0
    return reference.bits_needed(reference.separable(rows / len(cols), cols / len(rows)), error / power)


def _energies(read: Read, matrices: Sequence[TensorInfo], side: Side) -> list[tuple[Energy, Energy]]:
    """Sums of squares of the rows and of the columns of every matrix, as `side` has it coded."""
    rotations = side.rotations(matrices)
    found = [(np.zeros(info.matrix_shape[0]), np.zeros(info.matrix_shape[1])) for info in matrices]
    for block in blocks(matrices):
        squares = np.square(values_of(block, read, matrices, side, rotations), dtype=np.float64)
        first = 0
        for part in block.parts:
            here = squares[first : first + part.last - part.first]
            rows, cols = found[part.matrix]
            rows[part.first : part.last] = here.sum(1)
            cols += here.sum(0)
            first += len(here)
    return found


def _by_kind(
    matrices: Sequence[TensorInfo], counted: NDArray[np.bool_], iid: Bits, file: Bits, parts: Mapping[str, Bits]
) -> Structure:
    kinds = []
    for kind in dict.fromkeys(info.kind for info, has in zip(matrices, counted, strict=True) if has):
        here = counted & np.array([info.kind == kind for info in matrices])
        kinds.append(
            Saved(
                kind=kind,
                tensors=int(here.sum()),
                weights=sum(info.size for info, has in zip(matrices, here, strict=True) if has),
                iid=float(iid[here].sum()),
                file=float(file[here].sum()),
                parts={name: float(bits[here].sum()) for name, bits in parts.items()},
            )
        )
    exact = sum(1 for info, has in zip(matrices, counted, strict=True) if info.size and not has)
    return Structure(kinds=tuple(sorted(kinds, key=lambda kind: -kind.weights)), exact=exact)
