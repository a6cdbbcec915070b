"""How a network of this package is trained, as data. Imports no torch: the command line shows defaults from here."""

from dataclasses import dataclass
from math import ceil, cos, pi

from dna_ray.errors import RecipeError
from dna_ray.models.precision import PRECISIONS


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How a network is trained.

    Attributes:
        epochs: Times that every image is seen.
        batch: Images in a step.
        rate: The highest learning rate, a step.
        rising: Share of the steps in which the rate rises to it.
        momentum: Nesterov's.
        decay: Of weights that multiply; norms and biases do not decay.
        smoothing: Share of the label that all classes have in common (Szegedy et al. 2016, section 7).
        shift: Pixels that an image is moved at most, up or down and left or right.
        mirror: Whether half of the images are seen in a mirror.
        precision: Of the products: `float32` or `bfloat16`.
        seed: Of the first weights, the order of the images, and how they are changed.
    """

    epochs: int = 5
    batch: int = 128
    rate: float = 0.1
    rising: float = 0.3
    momentum: float = 0.9
    decay: float = 5e-4
    smoothing: float = 0.1
    shift: int = 2
    mirror: bool = True
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "batch": 2, "shift": 0, "seed": 0}.items():
            if getattr(self, name) < least:
                raise RecipeError(f"{name} is {getattr(self, name)}; give at least {least}")
        for name, most in {"rate": 100.0, "rising": 1.0, "momentum": 1.0, "decay": 1.0, "smoothing": 1.0}.items():
            if not 0 <= getattr(self, name) < most:
                raise RecipeError(f"{name} is {getattr(self, name)}; give a number from 0 to below {most:g}")
        if self.precision not in PRECISIONS:
            raise RecipeError(f"precision {self.precision!r}: unknown; choose one of {', '.join(PRECISIONS)}")

    def rate_at(self, step: int, steps: int) -> float:
        """The rate of a step, from 0, of all `steps`."""
        rising = ceil(self.rising * steps)
        if step < rising:
            return self.rate * (step + 1) / rising
        return self.rate * (1 + cos(pi * (step - rising + 1) / (steps - rising + 1))) / 2
