"""How near rebuilt weights are to the original ones: sums are stored, every figure derives from them.

R2 and SNR refer to the variance about each tensor's own mean, so a large mean cannot flatter them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, log10

# For people, highest first: a figure above the bound has the name.
R2_BANDS = ((0.95, "excellent"), (0.90, "good"), (0.80, "fair"))
PSNR_BANDS = ((40.0, "excellent"), (30.0, "good"), (20.0, "fair"))


def band(value: float, bands: tuple[tuple[float, str], ...]) -> str:
    """The usual word for a figure: excellent, good, fair or poor."""
    return next((word for bound, word in bands if value > bound), "poor")


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The error of some weights.

    Attributes:
        weights: How many there are.
        sse: Sum of squared errors.
        sst: Sum of squares about the mean of the tensor that a weight belongs to.
    """

    weights: int
    sse: float
    sst: float

    @property
    def noise(self) -> float:
        """1 - R2. Where all weights are equal there is nothing to explain: 0 if they are exact, otherwise 1."""
        if self.sst > 0:
            return self.sse / self.sst
        return 1.0 if self.sse > 0 else 0.0

    @property
    def r2(self) -> float:
        """Share of the variance that is explained; negative where the mean would have done better."""
        return 1 - self.noise

    @property
    def mse(self) -> float:
        return self.sse / self.weights if self.weights else 0.0

    @property
    def sigma(self) -> float:
        """Standard deviation of the weights about the mean of their tensor."""
        return float((self.sst / self.weights) ** 0.5) if self.weights else 0.0

    @property
    def snr_db(self) -> float:
        """10 log10(variance / MSE); infinite where the weights are exact."""
        return -decibel(self.noise)


def pooled(parts: Iterable[Fidelity]) -> Fidelity:
    """Of all weights together: the sums of the sums."""
    fidelities = list(parts)
    return Fidelity(
        sum(part.weights for part in fidelities),
        sum(part.sse for part in fidelities),
        sum(part.sst for part in fidelities),
    )


def gap_db(achieved: Fidelity, reference: Fidelity) -> float:
    """SNR achieved - SNR of the reference, in dB; 0 where both are exact."""
    return 0.0 if achieved.snr_db == reference.snr_db else achieved.snr_db - reference.snr_db


def decibel(value: float) -> float:
    """Of a ratio of powers; minus infinity for 0."""
    return 10 * log10(value) if value > 0 else -inf
