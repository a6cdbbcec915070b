"""What is known of a rebuilt network's weights and of the file that they came from, as values that go to JSON and back.

Only matrices are pooled, so a LayerNorm cannot flatter them. PSNR grows with a single outlier; it is always shown
beside range/sigma.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import inf, isfinite
from statistics import median
from typing import Any

from dna_ray.errors import ArtifactError
from dna_ray.mining.fidelity import Fidelity, decibel, gap_db, pooled


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorMeasure:
    """One matrix.

    Attributes:
        kind: Kind of tensor, one of `networks.KINDS`.
        layer: Index of its layer; -1 outside the layers.
        spread: Largest weight - smallest weight.
        reference_sse: Error of the Gaussian reference with row x column variances, for a file of the same bytes.
        iid_sse: The same with one variance for the whole tensor.
    """

    name: str
    kind: str
    layer: int
    rows: int
    cols: int
    sse: float
    sst: float
    spread: float
    reference_sse: float
    iid_sse: float

    @property
    def achieved(self) -> Fidelity:
        return Fidelity(self.rows * self.cols, self.sse, self.sst)

    @property
    def reference(self) -> Fidelity:
        return Fidelity(self.rows * self.cols, self.reference_sse, self.sst)

    @property
    def iid(self) -> Fidelity:
        return Fidelity(self.rows * self.cols, self.iid_sse, self.sst)

    @property
    def range_sigma(self) -> float:
        """Range in standard deviations; 0 for a constant tensor. 20 log10 of it is what PSNR adds to SNR."""
        return self.spread / self.achieved.sigma if self.sst > 0 else 0.0

    @property
    def psnr_db(self) -> float:
        """20 log10(range) - 10 log10(MSE); infinite where the tensor is exact."""
        return 2 * decibel(self.spread) - decibel(self.achieved.mse) if self.sse > 0 else inf


@dataclass(frozen=True, slots=True)
class KindMeasure:
    """All matrices of one kind, with what the Gaussian reference gives them at the shared water level."""

    kind: str
    tensors: int
    achieved: Fidelity
    reference: Fidelity


@dataclass(frozen=True, slots=True)
class VectorMeasure:
    """All floating-point tensors of one kind that are not matrices: LayerNorms, biases, statistics."""

    kind: str
    tensors: int
    achieved: Fidelity


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts over [-4, 4] standard deviations of the tensor, in bins of equal width.

    Attributes:
        counts: Of each bin, from the left.
        beyond: Values outside.
    """

    counts: tuple[int, ...]
    beyond: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """What is known of a rebuilt network's weights and of the file that they came from.

    Attributes:
        file_bytes: Size of the DNA file.
        fp32_bytes: Size of the network's tensors, floating-point ones as fp32.
        fp16_bytes: The same as fp16.
        sections: Bytes of each section of the file, and of its `header`; they add up to `file_bytes`.
        exact: Every tensor is rebuilt bit by bit, integers and buffers included.
        tensors: The matrices, in canonical order.
        vectors: Kinds of the other floating-point tensors.
        iid_bits: Bits for which independent Gaussians of one variance a tensor reach the achieved R2; None if exact.
        errors: Histogram of rebuilt - original, over all matrices that are not constant.
        values: Histogram of original - mean, over the same.
    """

    file_bytes: int
    fp32_bytes: int
    fp16_bytes: int
    sections: Mapping[str, int]
    exact: bool
    tensors: tuple[TensorMeasure, ...]
    vectors: tuple[VectorMeasure, ...]
    iid_bits: float | None
    errors: Histogram
    values: Histogram

    @property
    def achieved(self) -> Fidelity:
        """Pooled over the matrices."""
        return pooled(tensor.achieved for tensor in self.tensors)

    @property
    def reference(self) -> Fidelity:
        """The Gaussian reference with row x column variances, at the same bytes."""
        return pooled(tensor.reference for tensor in self.tensors)

    @property
    def iid(self) -> Fidelity:
        """The Gaussian reference with one variance a tensor, at the same bytes."""
        return pooled(tensor.iid for tensor in self.tensors)

    @property
    def gap_db(self) -> float:
        """SNR - SNR of the reference: negative below the reference."""
        return gap_db(self.achieved, self.reference)

    @property
    def ratio(self) -> float:
        """Bytes of the weights in fp32 / bytes of the file."""
        return self.fp32_bytes / self.file_bytes

    @property
    def ratio_fp16(self) -> float:
        return self.fp16_bytes / self.file_bytes

    @property
    def bits_per_weight(self) -> float:
        """Bits of the whole file / number of matrix weights; 0 without matrices."""
        return self.file_bytes * 8 / self.achieved.weights if self.tensors else 0.0

    @property
    def structure_bits(self) -> float | None:
        """Bits per weight saved against independent Gaussians of one variance a tensor; None if exact.

        Negative: the file is larger than a code that knows each tensor's variance only.
        """
        if self.iid_bits is None or not self.tensors:
            return None
        return (self.iid_bits - self.file_bytes * 8) / self.achieved.weights

    @property
    def worst(self) -> TensorMeasure | None:
        """The matrix of the lowest R2."""
        return min(self.tensors, key=lambda tensor: tensor.achieved.r2, default=None)

    @property
    def kinds(self) -> tuple[KindMeasure, ...]:
        """By kind of tensor, most weights first."""
        names = dict.fromkeys(tensor.kind for tensor in self.tensors)
        groups = ((name, [tensor for tensor in self.tensors if tensor.kind == name]) for name in names)
        measures = (
            KindMeasure(name, len(group), pooled(t.achieved for t in group), pooled(t.reference for t in group))
            for name, group in groups
        )
        return tuple(sorted(measures, key=lambda kind: -kind.achieved.weights))

    @property
    def r2_median(self) -> float:
        """Over the matrices that are not constant, like the other medians."""
        return self._median(lambda tensor: tensor.achieved.r2)

    @property
    def psnr_db_median(self) -> float:
        return self._median(lambda tensor: tensor.psnr_db)

    @property
    def range_sigma_median(self) -> float:
        return self._median(lambda tensor: tensor.range_sigma)

    def metrics(self) -> dict[str, float]:
        """The figures of the whole as flat, finite numbers: for the journal, MLflow and scripts."""
        figures = {
            "file_bytes": float(self.file_bytes),
            "ratio": self.ratio,
            "ratio_fp16": self.ratio_fp16,
            "exact": float(self.exact),
        }
        if self.worst is not None:
            figures |= {
                "bits_per_weight": self.bits_per_weight,
                "mse": self.achieved.mse,
                "r2": self.achieved.r2,
                "r2_min": self.worst.achieved.r2,
                "r2_median": self.r2_median,
                "snr_db": self.achieved.snr_db,
                "psnr_db_median": self.psnr_db_median,
                "range_sigma_median": self.range_sigma_median,
                "reference_r2": self.reference.r2,
                "reference_snr_db": self.reference.snr_db,
                "iid_r2": self.iid.r2,
                "gap_db": self.gap_db,
            }
        if self.structure_bits is not None:
            figures["structure_bits"] = self.structure_bits
        return {name: value for name, value in figures.items() if isfinite(value)}

    def to_json(self) -> dict[str, Any]:
        """JSON values; `metrics` and `kinds` repeat what follows from the rest, for readers of the file."""
        stored = {**asdict(self), "sections": dict(self.sections)}
        kinds = {kind.kind: {"r2": kind.achieved.r2, "reference_r2": kind.reference.r2} for kind in self.kinds}
        return {"metrics": self.metrics(), "kinds": kinds, **stored}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Measures":
        """The inverse of `to_json`.

        Raises:
            ArtifactError: A part is missing or of another form.
        """
        try:
            return cls(
                **{name: value[name] for name in ("file_bytes", "fp32_bytes", "fp16_bytes", "exact", "iid_bits")},
                sections=dict(value["sections"]),
                tensors=tuple(TensorMeasure(**tensor) for tensor in value["tensors"]),
                vectors=tuple(
                    VectorMeasure(v["kind"], v["tensors"], Fidelity(**v["achieved"])) for v in value["vectors"]
                ),
                errors=_histogram(value["errors"]),
                values=_histogram(value["values"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"measures: damaged or of another version ({error!r}); measure the DNA again"
            ) from error

    def _median(self, figure: Callable[[TensorMeasure], float]) -> float:
        values = [figure(tensor) for tensor in self.tensors if tensor.sst > 0]
        return median(values) if values else 0.0


def _histogram(value: Mapping[str, Any]) -> Histogram:
    return Histogram(tuple(int(count) for count in value["counts"]), int(value["beyond"]))
