"""How agents evolve, as data. Imports no torch: the command line shows its defaults from here."""

from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite

from dna_ray.errors import RecipeError
from dna_ray.evolution.subject.subject_settings import SIGNAL_NAMES
from dna_ray.models.precision import PRECISIONS

METHODS = (
    "machine",
    "founders",
    "random",
    "evopress-magnitude",
    "evopress-wina",
    "evopress-best",
    "tpe",
    "nsga2",
    "machine-no-archive",
    "machine-no-metric",
    "machine-no-profile",
    "machine-no-novelty",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvolveConfig:
    """What evolves and how; with the network and the texts it decides the lineage.

    Attributes:
        method: Of the search: the Darwin-Goedel machine, or one of what it is compared with.
        sparsity: Share of the weights of all layers that become zero; exact to one weight.
        skip: Share of the network's multiply-adds that zeros save at least. Profiles that save less are moved toward
            the uniform one, as far as it takes.
        signal: What the search minimises: `kl` of the classes to the dense network's, `loss` of labels, `cosine`
            distance of embeddings; or `module:function`, a task of the user's own.
        population_size: Agents that count as the population: the best ones of the archive.
        generations: The search makes `generations` x `population_size` evaluations.
        novelty_weight: How many deviations of fitness a deviation of novelty is worth to a parent.
        mutation_rate: Share of the layers that a mutation of the profile changes on average.
        elite_size: The best agents, of which half of the parents come.
        batch: Agents that a worker evaluates together, of which a third sees more data.
        lag: Batches under way at most. It decides which results a batch is made from, and how many workers are busy.
        calibration: Texts or images that the statistics of inputs are of.
        minibatch: Texts or images in a minibatch of the search split.
        rungs: Minibatches that an agent has seen after each round of a race, rising.
        exclude: Names of tensors that stay dense; `*` stands for anything.
        precision: Of the products in races: `float32`, or `bfloat16`, which is faster on processors that have it, and
            repeats to the bit on one kind of processor only. The test split is always judged in float32.
        seed: Of every random number.
    """

    method: str = "machine"
    sparsity: float = 0.6
    skip: float = 0.0
    signal: str = "kl"
    population_size: int = 20
    generations: int = 10
    novelty_weight: float = 0.3
    mutation_rate: float = 0.1
    elite_size: int = 2
    batch: int = 9
    lag: int = 4
    calibration: int = 128
    minibatch: int = 32
    rungs: tuple[int, ...] = (1, 4, 16)
    exclude: tuple[str, ...] = ()
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            near = get_close_matches(self.method, METHODS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(METHODS)}"
            raise RecipeError(f"method {self.method!r} is not known; {hint}")
        if not 0 <= self.sparsity < 1:
            raise RecipeError(f"sparsity must be at least 0 and less than 1, got {self.sparsity}")
        if not 0 <= self.skip < 1:
            raise RecipeError(f"skip must be at least 0 and less than 1, got {self.skip}")
        if self.signal not in SIGNAL_NAMES and ":" not in self.signal:
            raise RecipeError(f"signal must be {', '.join(SIGNAL_NAMES)} or module:function, got {self.signal!r}")
        if self.precision not in PRECISIONS:
            raise RecipeError(f"precision must be {' or '.join(PRECISIONS)}, got {self.precision!r}")
        if not 0 <= self.mutation_rate <= 1:
            raise RecipeError(f"mutation_rate must be 0 to 1, got {self.mutation_rate}")
        if not (self.novelty_weight >= 0 and isfinite(self.novelty_weight)):
            raise RecipeError(f"novelty_weight must be at least 0, got {self.novelty_weight}")
        for name in ("population_size", "generations", "elite_size", "batch", "lag", "calibration", "minibatch"):
            if (value := getattr(self, name)) < 1:
                raise RecipeError(f"{name} must be at least 1, got {value}")
        if not self.rungs or any(one >= other for one, other in zip((0, *self.rungs), self.rungs, strict=False)):
            raise RecipeError(f"rungs must be numbers of minibatches that rise, such as 1,4,16, got {list(self.rungs)}")
        if not 0 <= self.seed < 2**32:
            raise RecipeError(f"seed must be a whole number from 0 to 2^32 - 1, got {self.seed}")

    @property
    def evaluations(self) -> int:
        """That the search makes in all; failed ones count."""
        return self.population_size * self.generations
