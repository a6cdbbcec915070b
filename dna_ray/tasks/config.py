"""What a task reads and how, as data. Imports no torch: the command line shows its defaults from here."""

from dataclasses import dataclass
from pathlib import Path

from dna_ray.errors import TaskError

TASK_NAMES = ("agreement", "classify", "images")

# Share of the distinct texts that each split receives. The splits are disjoint; only `training` meets its labels
# before a score is taken, and only `test` is what a published figure refers to.
SPLIT_SHARES = {"calibration": 0.1, "healing": 0.4, "training": 0.2, "validation": 0.1, "test": 0.2}

# Below this many examples a standard error means nothing.
FEWEST_EXAMPLES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSettings:
    """What a network is judged on, and in what portions.

    Attributes:
        texts: File with one text a line (UTF-8); None: the tweets of the `samples` extra.
        images: Folder with a folder of images for each class, as ImageNet has it; None: those that a network was
            trained on here, or any that are installed.
        split: The split that is scored, one of `SPLIT_SHARES`.
        limit: Largest number of texts or images to score, at least 10.
        batch_size: Texts or images that go through the network together.
        max_length: Tokens at which a text is cut, special tokens included.
        device: Where the networks run, as torch names it.
        seed: Of the choice of texts within a split, and of the tokens that a language model is asked for.
    """

    texts: Path | None = None
    images: Path | None = None
    split: str = "test"
    limit: int = 1000
    batch_size: int = 64
    max_length: int = 128
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.split not in SPLIT_SHARES:
            raise TaskError(f"split {self.split!r}: unknown; choose one of {', '.join(SPLIT_SHARES)}")
        for name, least in {"limit": FEWEST_EXAMPLES, "batch_size": 1, "max_length": 4}.items():
            if getattr(self, name) < least:
                raise TaskError(f"{name} {getattr(self, name)}: too small for a score; give at least {least}")
