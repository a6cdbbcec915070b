"""How a network is mined, as data. Imports no torch: the command line shows its defaults from here."""

from dataclasses import dataclass
from difflib import get_close_matches

from dna_ray.errors import RecipeError

KIND_NAMES = ("coded", "spectral", "hierarchical", "adaptive", "svd", "verbatim")
SINE_KINDS = ("spectral", "hierarchical", "adaptive")
GROUPS = ("many", "one")
COORDINATES = ("learned", "index")
PRODUCT_DTYPES = ("auto", "float32", "bfloat16")
CALIBRATIONS = ("agreement",)
EFFORTS = (4, 8, 16, 32, 64, 128, 256)
DEFAULT_RATIO = 22.0
FEWEST_CALIBRATION_TEXTS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class MineConfig:
    """What is mined and how; it decides the bytes of the DNA.

    Attributes:
        kind: How the DNA represents the weights, one of `KIND_NAMES`.
        ratio: Bytes of the fp32 weights / bytes of the file. None, without `bytes` too: 22, or no budget (verbatim).
        bytes: Size of the file in bytes; instead of `ratio`.
        r2: Instead of a size: the smallest file that reaches this R2 over all matrices. Kind `coded` only.
        snr: The same by its signal-to-noise ratio, in dB.
        effort: States of the trellis of kind `coded`, 4 to 256, a power of two: more take longer and less bytes.
        calibrate: Task whose calibration texts say how much errors in a weight matter, one of `CALIBRATIONS`; None: all
            count the same (data-free). Kind `coded` only, at a size.
        calibration_texts: How many texts that is.
        heal: Task that the coded network learns to do again as the original does it, on the texts of the healing
            split, with its codes in the loop; calibrates first. None: it does not.
        steps: Of healing.
        groups: `many`: a function for each layer and kind of tensor, or for each kind where those would take more than
            a twentieth of the file; `one`: a single function for everything.
        coordinates: `learned`: every row and column has a place that is trained; `index`: (row, col, layer, kind).
        place_dim: Dimensions of a learned place; None: as many as the budget allows.
        place_bits: Bits of a learned coordinate in the file, 1 to 8; None: what promises the smallest error.
        hidden_dim: Units in a hidden layer of each band; None: as many as the budget allows.
        num_layers: Hidden sine layers, at least 1; None: 1 over learned places, 3 over index coordinates.
        omega: Frequency scale of the sines, in radians per unit of pre-activation.
        epochs: Passes over all weights; may be fractional.
        batch_size: Points of each function in a step, over all workers; None: chosen by the size of the functions.
        lr: Peak learning rate of Adam; None: 5e-4 where functions start from an SVD (one layer over learned places),
            1e-2 elsewhere.
        clip_norm: Largest norm of a step's gradient.
        patience: Epochs without improvement of the loss before training stops early; 0 never stops.
        dtype: Of the products: `auto` (bfloat16 where the device is fast at it), `float32`, `bfloat16`.
        seed: Of every random number.
    """

    kind: str = "coded"
    ratio: float | None = None
    bytes: int | None = None
    r2: float | None = None
    snr: float | None = None
    effort: int = 32
    calibrate: str | None = None
    calibration_texts: int = 4096
    heal: str | None = None
    steps: int = 400
    groups: str = "many"
    coordinates: str = "learned"
    place_dim: int | None = None
    place_bits: int | None = None
    hidden_dim: int | None = None
    num_layers: int | None = None
    omega: float = 30.0
    epochs: float = 8.0
    batch_size: int | None = None
    lr: float | None = None
    clip_norm: float = 1.0
    patience: float = 0.0
    dtype: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        _check_choice("kind", self.kind, KIND_NAMES)
        _check_choice("groups", self.groups, GROUPS)
        _check_choice("coordinates", self.coordinates, COORDINATES)
        _check_choice("dtype", self.dtype, PRODUCT_DTYPES)
        given = [name for name in ("ratio", "bytes", "r2", "snr") if getattr(self, name) is not None]
        if len(given) > 1:
            raise RecipeError(f"{' and '.join(given)} exclude each other; give one of them")
        if self.target_r2 is not None and self.kind != "coded":
            raise RecipeError(f"kind {self.kind} cannot aim at an error, only at a size; use kind coded, or --ratio")
        if self.r2 is not None and not 0 < self.r2 < 1:
            raise RecipeError(f"r2 must be more than 0 and less than 1, got {self.r2}")
        if self.effort not in EFFORTS:
            raise RecipeError(f"effort must be one of {', '.join(map(str, EFFORTS))}, got {self.effort}")
        self._check_calibration()
        for name in ("ratio", "bytes", "snr", "omega", "epochs", "lr", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise RecipeError(f"{name} must be more than 0, got {value}")
        for name in ("place_dim", "hidden_dim", "num_layers", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RecipeError(f"{name} must be at least 1, got {value}")
        if self.place_bits is not None and not 1 <= self.place_bits <= 8:
            raise RecipeError(f"place_bits must be 1 to 8, got {self.place_bits}")
        if not self.patience >= 0:
            raise RecipeError(f"patience must be at least 0 epochs, got {self.patience}")
        if not 0 <= self.seed < 2**63:
            raise RecipeError(f"seed must be a whole number from 0 to 2^63 - 1, got {self.seed}")

    def _check_calibration(self) -> None:
        if self.calibration_texts < FEWEST_CALIBRATION_TEXTS:
            raise RecipeError(
                f"calibration_texts must be at least {FEWEST_CALIBRATION_TEXTS}, got {self.calibration_texts}"
            )
        if self.steps < 1:
            raise RecipeError(f"steps must be at least 1, got {self.steps}")
        for name, done in (("calibrate", "calibrated"), ("heal", "healed")):
            task = getattr(self, name)
            if task is None:
                continue
            _check_choice(name, task, CALIBRATIONS)
            if self.kind != "coded":
                raise RecipeError(f"kind {self.kind} cannot be {done}; use kind coded, or leave {name} out")
            if self.target_r2 is not None:
                raise RecipeError(
                    f"{name} spends errors where they matter least, r2 and snr count all alike; give a ratio or bytes"
                )

    @property
    def calibration(self) -> str | None:
        """The task to calibrate on, if any."""
        return self.calibrate or self.heal

    @property
    def target_r2(self) -> float | None:
        """The R2 that is aimed at instead of a size."""
        return 1 - 10 ** (-self.snr / 10) if self.snr is not None else self.r2


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        near = get_close_matches(value, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
        raise RecipeError(f"{name} {value!r} is not known; {hint}")
