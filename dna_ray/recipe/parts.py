"""The parts of recipes: what is asked of a verb, and how it is executed. Imports no torch, no yaml and no pydantic."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from dna_ray.errors import RecipeError
from dna_ray.evolution.comparison.config import ComparisonConfig
from dna_ray.evolution.config import EvolveConfig
from dna_ray.mining.config import SINE_KINDS, MineConfig

TARGETS = ("ratio", "bytes", "r2", "snr")  # fields of a `MineConfig` that say how large or how good; one may be set


@dataclass(frozen=True, kw_only=True, slots=True)
class MineHow:
    """How a run is executed; none of it belongs to the run's identity.

    Attributes:
        workers: Training workers on Ray; 0 trains in this process, without Ray.
        threads: Threads of each worker.
        device: `auto`, `cpu`, `cuda`, or another name that torch knows.
        address: Address of a running Ray cluster; None starts one on this machine.
        insecure: Also use a cluster that others can reach and that no token guards.
        tracking: URI of an MLflow tracking server; None: the database beside the runs.
        home: Folder that holds the runs.
        run_dir: Folder of this run; None: named in `home` after verb, network and identity.
        out: Folder that receives the result; None: inside the run's folder.
        checkpoint_every: Seconds between checkpoints.
        compile: Use `torch.compile` for sines where there are no kernels of our own: on GPUs.
        elastic: Go on with fewer workers when some are lost. The bytes of the result then depend on it.
    """

    workers: int = 2
    threads: int = 1
    device: str = "auto"
    address: str | None = None
    insecure: bool = False
    tracking: str | None = None
    home: str = "runs"
    run_dir: str | None = None
    out: str | None = None
    checkpoint_every: float = 30.0
    compile: bool = False
    elastic: bool = False

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise RecipeError(f"workers must be at least 0, got {self.workers}")
        if self.threads < 1:
            raise RecipeError(f"threads must be at least 1, got {self.threads}")
        if not self.checkpoint_every > 0:
            raise RecipeError(f"checkpoint_every must be more than 0 seconds, got {self.checkpoint_every}")


@dataclass(frozen=True, kw_only=True, slots=True)
class MineWhat:
    """What is mined. In YAML the fields of `config` stand beside the others.

    Attributes:
        network: Hub name, folder, weights file, or `sample:NAME`.
        config: How it becomes DNA.
        task: What the rebuilt network is judged on; `auto` picks by the network, None judges nothing.
        texts: File with a text a line for the task; None: the sample's texts.
        limit: Texts or images that the task uses.
    """

    omitted: ClassVar[frozenset[str]] = frozenset()

    network: str
    config: MineConfig = field(default_factory=MineConfig)
    task: str | None = "auto"
    texts: str | None = None
    limit: int = 1000

    def __post_init__(self) -> None:
        if not self.network.strip():
            raise RecipeError("network must name a network, got an empty text")
        if self.limit < 2:
            raise RecipeError(f"limit must be at least 2, got {self.limit}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareWhat:
    """What is compared: several kinds of DNA of one network at equal bytes; otherwise as in `MineWhat`.

    Attributes:
        kinds: Kinds of DNA, each mined with `config` in which its kind takes the place of `config.kind`.
        ratios: A sweep: every kind is mined at each of these ratios. Empty: once, at the size that `config` says.
        yardsticks: Whether methods of others stand beside the kinds; None: in a sweep.
    """

    omitted: ClassVar[frozenset[str]] = frozenset({"kind"})

    network: str
    kinds: tuple[str, ...] = ("coded", *SINE_KINDS, "svd")
    ratios: tuple[float, ...] = ()
    yardsticks: bool | None = None
    config: MineConfig = field(default_factory=MineConfig)
    task: str | None = "auto"
    texts: str | None = None
    limit: int = 1000

    def __post_init__(self) -> None:
        MineWhat(network=self.network, limit=self.limit)
        if len(set(self.kinds)) != len(self.kinds) or not self.kinds:
            raise RecipeError(f"kinds must be one or more different kinds of DNA, got {list(self.kinds)}")
        for kind in self.kinds:
            self.config_of(kind)
        if len({f"{ratio:g}" for ratio in self.ratios}) != len(self.ratios) or not all(
            0 < ratio < float("inf") for ratio in self.ratios
        ):
            raise RecipeError(f"ratios must be different numbers above 0, got {list(self.ratios)}")
        for name in TARGETS:
            if self.ratios and getattr(self.config, name) is not None:
                raise RecipeError(f"ratios and {name} exclude each other; give one of them")

    def config_of(self, kind: str) -> MineConfig:
        """The config of one of the kinds; only coded can be calibrated and healed."""
        if kind == "coded":
            return replace(self.config, kind=kind)
        return replace(self.config, kind=kind, calibrate=None, heal=None)

    @property
    def beside_yardsticks(self) -> bool:
        """Whether methods of others stand beside the kinds."""
        return bool(self.ratios) if self.yardsticks is None else self.yardsticks


@dataclass(frozen=True, kw_only=True, slots=True)
class EvolveHow:
    """How a population is evaluated; none of it belongs to the run's identity, or changes its lineage, but for what
    a time-out decides.

    Attributes:
        workers: Evaluators on Ray; 0 evaluates in this process, without Ray. No more than `lag` have work.
        threads: Threads of each.
        device: `cpu`, `cuda`, or another name that torch knows.
        task_timeout: Seconds after which a call of a task of the user's own has failed; None: never.
        address: Address of a running Ray cluster; None starts one on this machine.
        insecure: Also use a cluster that others can reach and that no token guards.
        tracking: URI of an MLflow tracking server; None: the database beside the runs.
        home: Folder that holds the runs.
        run_dir: Folder of this run; None: named in `home` after verb, network and identity.
    """

    workers: int = 2
    threads: int = 1
    device: str = "cpu"
    task_timeout: float | None = None
    address: str | None = None
    insecure: bool = False
    tracking: str | None = None
    home: str = "runs"
    run_dir: str | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise RecipeError(f"workers must be at least 0, got {self.workers}")
        if self.threads < 1:
            raise RecipeError(f"threads must be at least 1, got {self.threads}")
        if self.task_timeout is not None and not self.task_timeout > 0:
            raise RecipeError(f"task_timeout must be more than 0 seconds, got {self.task_timeout}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvolveWhat:
    """On what a population evolves. In YAML the fields of `config` stand beside the others.

    Attributes:
        network: Hub name, folder, weights file, or `sample:NAME`.
        config: What evolves and how.
        texts: File with a text a line, for the signal `cosine`; None: the sample's texts, which have labels.
        images: Folder with a folder of images for each class; None: those that the network was trained on here, or
            any that are installed.
        limit: Texts or images of the test split, which the champion is judged on at the end.
    """

    omitted: ClassVar[frozenset[str]] = frozenset()

    network: str
    config: EvolveConfig = field(default_factory=EvolveConfig)
    texts: str | None = None
    images: str | None = None
    limit: int = 1000

    def __post_init__(self) -> None:
        MineWhat(network=self.network, limit=self.limit)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateWhat:
    """What is judged.

    Attributes:
        x: A DNA, the run that made it, or a network.
        task: What it is judged on; `auto` picks by the network.
        original: The network that it is held against; None: the one that the DNA names.
        texts: File with a text a line for the task; None: the sample's texts.
        images: Folder with a folder of images for each class; None: those that the network was trained on here, or
            any that are installed.
        limit: Texts or images that the task uses.
    """

    omitted: ClassVar[frozenset[str]] = frozenset()

    x: str
    task: str = "auto"
    original: str | None = None
    texts: str | None = None
    images: str | None = None
    limit: int = 1000

    def __post_init__(self) -> None:
        if not self.x.strip():
            raise RecipeError("x must name a DNA, a run or a network, got an empty text")
        if self.limit < 2:
            raise RecipeError(f"limit must be at least 2, got {self.limit}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateHow:
    """How it is judged.

    Attributes:
        device: `cpu`, `cuda`, or another name that torch knows.
        home: Folder that holds the runs.
    """

    device: str = "cpu"
    home: str = "runs"


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareEvolutionWhat:
    """On what methods with and without search are compared. In YAML the fields of `config` stand beside the others.

    Attributes:
        network: Hub name, folder, weights file, or `sample:NAME`.
        config: What is compared, and on what terms.
        texts: File with a text a line, for the signal `cosine`; None: the sample's texts, which have labels.
        images: Folder with a folder of images for each class, as in `EvolveWhat`.
        limit: Texts or images of the test split, the same for all methods and seeds.
    """

    omitted: ClassVar[frozenset[str]] = frozenset()

    network: str
    config: ComparisonConfig = field(default_factory=ComparisonConfig)
    texts: str | None = None
    images: str | None = None
    limit: int = 1000

    def __post_init__(self) -> None:
        MineWhat(network=self.network, limit=self.limit)
