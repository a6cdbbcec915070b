"""What is compared with what, as data. Imports no torch: the command line shows its defaults from here."""

from dataclasses import dataclass
from difflib import get_close_matches

from dna_ray.errors import RecipeError
from dna_ray.evolution import config as evolve
from dna_ray.evolution.config import EvolveConfig

OURS = "machine"
ABLATIONS = tuple(name for name in evolve.METHODS if name.startswith(f"{OURS}-"))
# Each makes one agent, which is evaluated once. `search.founders.METHODS` says what they are.
KNOWN = ("magnitude", "global-magnitude", "magnitude-erk", "wanda", "wina", "ria", "owl", "water-filling")
RIVALS = tuple(name for name in evolve.METHODS if name not in ("founders", OURS, *ABLATIONS))
METHODS = (*KNOWN, *RIVALS, OURS, *ABLATIONS)


@dataclass(frozen=True, slots=True)
class Cell:
    """What is run on its own: one method at one sparsity, with one seed."""

    sparsity: float
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.method} at {self.sparsity:g}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonConfig:
    """What is compared, and on what terms; they are the same for all methods.

    Attributes:
        sparsities: Shares of the weights of all layers that become zero; each exact to one weight.
        methods: Names, the machine among them: it is what the others are compared with.
        seeds: From 0; each draws other examples to calibrate and search on, and seeds the searches.
        evaluations: That each search makes; failed ones count.
        signal: What searches minimise, as in `EvolveConfig`.
        batch: Agents that race together.
        calibration: Texts or images that the statistics of inputs are of.
        minibatch: Texts or images in a minibatch of the search split.
        rungs: Minibatches that an agent has seen after each round of a race, rising.
        exclude: Names of tensors that stay dense; `*` stands for anything.
        precision: Of the products in races, as in `EvolveConfig`.
    """

    sparsities: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8)
    methods: tuple[str, ...] = METHODS
    seeds: int = 5
    evaluations: int = 200
    signal: str = "kl"
    batch: int = 9
    calibration: int = 128
    minibatch: int = 32
    rungs: tuple[int, ...] = (1, 4, 16)
    exclude: tuple[str, ...] = ()
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name in self.methods:
            if name not in METHODS:
                near = get_close_matches(name, METHODS, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(METHODS)}"
                raise RecipeError(f"methods name {name!r}, which is not known; {hint}")
        if OURS not in self.methods or len(set(self.methods)) != len(self.methods):
            raise RecipeError(f"methods must be different, and {OURS!r} among them, got {list(self.methods)}")
        if not self.sparsities or len(set(self.sparsities)) != len(self.sparsities):
            raise RecipeError(f"sparsities must be one or more different shares, got {list(self.sparsities)}")
        for name in ("seeds", "evaluations"):
            if (value := getattr(self, name)) < 1:
                raise RecipeError(f"{name} must be at least 1, got {value}")
        for sparsity in self.sparsities:  # what an evolution at this sparsity says of the rest
            EvolveConfig(
                sparsity=sparsity,
                signal=self.signal,
                batch=self.batch,
                calibration=self.calibration,
                minibatch=self.minibatch,
                rungs=self.rungs,
                exclude=self.exclude,
                precision=self.precision,
            )

    def budget(self, method: str) -> int:
        """Evaluations that a method makes."""
        return 1 if method in KNOWN else self.evaluations


def cells(config: ComparisonConfig) -> list[Cell]:
    """All of them; those that share their data, and then their sparsity, lie together."""
    return [
        Cell(sparsity, method, seed)
        for seed in range(config.seeds)
        for sparsity in config.sparsities
        for method in config.methods
    ]
