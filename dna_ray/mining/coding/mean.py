"""The mean of a matrix: sine functions of its indices, taken away before it is coded, where that saves bits.

A mean is X_r K X_c'. Along an axis on which the matrix is smooth, X holds curves: SIRENs of the index, trained on that
matrix. Along the other axis X is the identity, so K holds a number for each of its indices. All are in fp16.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dna_ray.errors import ArtifactError
from dna_ray.mining.coding.curves import CurvesShape, curves, product
from dna_ray.mining.coding.passes import Read
from dna_ray.mining.kind import Payload
from dna_ray.networks import TensorInfo

MEANS = "coded.means"
EXPONENTS = range(-160, 100)  # of a core: the largest mean that can be is a float32
MOST_INNER, MOST_OUTER = 256, 64  # units of curves
_HEADER = 256  # bytes of the header that name a mean and the section, about
_CHUNK = 1 << 21  # entries of a mean in float64 at a time
_NAMED = {"matrix", "exponent", "saves"}

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MeanShape:
    """Shape of the mean of one matrix.

    Attributes:
        matrix: Its place among the matrices.
        rows: Curves along the rows; None: a number for each row.
        cols: The same along the columns.
        size: (rows, cols) of the matrix.
    """

    matrix: int
    rows: CurvesShape | None
    cols: CurvesShape | None
    size: tuple[int, int]

    @property
    def core(self) -> tuple[int, int]:
        """(rows, cols) of the core."""
        return self.rows.outer if self.rows else self.size[0], self.cols.outer if self.cols else self.size[1]

    @property
    def numbers(self) -> tuple[int, int, int]:
        """How many numbers the curves of rows, those of columns, and the core are."""
        height, width = self.core
        return self.rows.parameters if self.rows else 0, self.cols.parameters if self.cols else 0, height * width

    @property
    def is_smaller(self) -> bool:
        """Whether neither its numbers nor its curves are more than the entries of its matrix."""
        rows, cols = self.size
        fits = (self.rows is None or self.rows.outer <= cols) and (self.cols is None or self.cols.outer <= rows)
        return fits and sum(self.numbers) <= rows * cols


@dataclass(frozen=True, slots=True, eq=False)
class Mean:
    """The mean of one matrix.

    Attributes:
        numbers: Of its curves along rows, along columns, and of its core, in fp16.
        exponent: The core is to be multiplied by 2 to this power.
        saves: Bytes, about, that it saves net of its own; what was expected when it was made, for people to read.
    """

    shape: MeanShape
    numbers: NDArray[np.float16]
    exponent: int
    saves: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes in the file, with its part of the header."""
        return self.numbers.nbytes + _HEADER

    def values(self) -> Matrix:
        """The mean at every index: the same bits wherever it is computed on one platform."""
        of_rows, of_cols, core = np.split(self.numbers, np.cumsum(self.shape.numbers)[:-1])
        (rows, cols), axes = self.shape.size, (self.shape.rows, self.shape.cols)
        left = right = core.astype(np.float64).reshape(self.shape.core) * 2.0**self.exponent
        if axes[1]:
            along = curves(of_cols, axes[1], cols).T
            right = product(right, along) if axes[0] else along
        if axes[0]:
            left = curves(of_rows, axes[0], rows)
        found, height = np.empty((rows, cols), np.float32), max(1, _CHUNK // cols)
        for first in range(0, rows, height):
            found[first : first + height] = product(left[first : first + height], right)
        return found

    def to_json(self) -> dict[str, Any]:
        shape = {
            name: [axis.inner, axis.outer]
            for name, axis in (("rows", self.shape.rows), ("cols", self.shape.cols))
            if axis
        }
        return {"matrix": self.shape.matrix, **shape, "exponent": self.exponent, "saves": self.saves}


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """The means of a network, and what the test for smoothness found.

    Attributes:
        kept: Means that pay, in the order of the matrices.
        smooth: Places of all matrices that are smooth.
    """

    kept: tuple[Mean, ...] = ()
    smooth: tuple[int, ...] = ()

    @property
    def nbytes(self) -> int:
        return sum(mean.nbytes for mean in self.kept)

    def of(self, matrix: int) -> Matrix | None:
        """The mean of one matrix, computed now; None where it has none."""
        return next((mean.values() for mean in self.kept if mean.shape.matrix == matrix), None)

    def residual(self, read: Read, matrices: Sequence[TensorInfo]) -> Read:
        """`read`, less the means."""
        if not self.kept:
            return read
        held = {matrices[mean.shape.matrix].name: cache(mean.values) for mean in self.kept}
        return lambda name: read(name) - held[name]() if name in held else read(name)

    def sections(self) -> dict[str, NDArray[Any]]:
        return {MEANS: np.concatenate([mean.numbers for mean in self.kept])} if self.kept else {}

    def params(self) -> dict[str, Any]:
        return {"smooth": list(self.smooth)} | ({"means": [mean.to_json() for mean in self.kept]} if self.kept else {})

    def describe(self, matrices: Sequence[TensorInfo]) -> str:
        """One line that says what was found."""
        if not self.smooth:
            return "no tensor is smooth: nothing trained"
        saves = {mean.shape.matrix: mean.saves for mean in self.kept}
        found = [
            f"{matrices[i].name} (mean kept, saves {saves[i] / 1000:.1f} kB)"
            if i in saves
            else f"{matrices[i].name} (a mean would not pay)"
            for i in self.smooth
        ]
        return f"smooth: {', '.join(found)}"


def read_means(payload: Payload, matrices: Sequence[TensorInfo]) -> Means:
    """The inverse of `Means.sections` and `Means.params`.

    Raises:
        ArtifactError: Sections and header do not fit the matrices.
    """
    named = payload.params.get("means", [])
    if type(named) is not list or len(named) > len(matrices):
        raise _foreign("the header's means are no list of them")
    shapes = [_read_shape(each, matrices) for each in named]
    places = [shape.matrix for shape in shapes]
    if places != sorted(set(places)):
        raise _foreign("the header names the mean of a matrix twice, or out of order")
    numbers = payload.section(MEANS, "f2", sum(sum(shape.numbers) for shape in shapes))
    if not np.isfinite(numbers).all():
        raise _foreign(f"section {MEANS!r} holds values that are not finite")
    parts = np.split(numbers, np.cumsum([sum(shape.numbers) for shape in shapes])[:-1]) if shapes else []
    kept = [
        Mean(shape, part, each["exponent"], each["saves"])
        for shape, part, each in zip(shapes, parts, named, strict=True)
    ]
    smooth = payload.params.get("smooth", places)
    if type(smooth) is not list or not all(type(i) is int and 0 <= i < len(matrices) for i in smooth):
        raise _foreign("the header names a smooth matrix that there is not")
    return Means(tuple(kept), tuple(smooth))


def _read_shape(named: Any, matrices: Sequence[TensorInfo]) -> MeanShape:
    if type(named) is not dict or not _NAMED <= set(named) <= _NAMED | {"rows", "cols"}:
        raise _foreign("the header does not say what a mean is")
    matrix, exponent = named["matrix"], named["exponent"]
    if not (type(matrix) is int and 0 <= matrix < len(matrices)):
        raise _foreign("the header names a mean of no matrix")
    if not (type(exponent) is int and exponent in EXPONENTS and type(named["saves"]) is int):
        raise _foreign("the header names a mean of an impossible size")
    rows, cols = (_read_axis(named.get(axis)) for axis in ("rows", "cols"))
    shape = MeanShape(matrix, rows, cols, matrices[matrix].matrix_shape)
    if not (rows or cols) or not shape.is_smaller:
        raise _foreign("a mean is larger than its matrix")
    return shape


def _read_axis(named: Any) -> CurvesShape | None:
    if named is None:
        return None
    if not (type(named) is list and len(named) == 2 and all(type(units) is int for units in named)):
        raise _foreign("the header does not say how many units the curves of a mean have")
    if not (0 < named[0] <= MOST_INNER and 0 < named[1] <= MOST_OUTER):
        raise _foreign("the header names curves with an impossible number of units")
    return CurvesShape(*named)


def _foreign(what: str) -> ArtifactError:
    return ArtifactError(f"{what}; this DNA was not written by dna_ray")
