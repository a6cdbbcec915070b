"""How a network, a DNA or a run does on a task, with standard errors."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from dna_ray.errors import TaskError
from dna_ray.mining import KINDS
from dna_ray.mining.dna import Dna, read_dna
from dna_ray.mining.dna import rebuild as rebuild_tensors
from dna_ray.networks import Network, from_state_dict, load
from dna_ray.recipe import EvaluateRecipe
from dna_ray.tasks import Score, TaskSettings, default_task, why_unmeasured
from dna_ray.tasks import evaluate as judge
from dna_ray.tracking.store import home as default_home
from dna_ray.verbs.progress import Progress, Silent
from dna_ray.verbs.result import plain
from dna_ray.verbs.subject import dna_of, locate


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateResult:
    """A score.

    Attributes:
        x: What was judged, as it was named.
        original: The network that it was held against.
    """

    x: str
    original: str
    score: Score

    def to_json(self) -> dict[str, Any]:
        return {"x": self.x, "original": self.original, "score": self.score.to_json()}

    def __rich__(self) -> RenderableType:
        score = self.score
        table = Table.grid(padding=(0, 2))
        for name, figure in score.metrics.items():
            error = f"+- {figure.stderr:.4f}" if figure.stderr is not None else ""
            table.add_row(name, f"{figure.value:.4f}", error)
        return Group(plain(f"{score.task}: {self.x} against {self.original}, n = {score.n}"), table, *score.notes)


def evaluate(
    x: str,
    *,
    task: str = "auto",
    original: str | None = None,
    settings: TaskSettings | None = None,
    progress: Progress | None = None,
    home: Path | None = None,
) -> EvaluateResult:
    """Judges `x` against the network that it came from.

    Args:
        x: A DNA, the run that made it, or a network.
        task: `auto`: what suits the network.
        original: None: the network that the DNA names, or for a network itself, which shows a perfect score.

    Raises:
        TaskError: No task fits, its data is missing, or the original is not the one that the DNA was mined from.
        NetworkError: The original, or the network, cannot be loaded.
        ArtifactError: The DNA is damaged.
    """
    progress, home = progress or Silent(), home or default_home()
    with progress.stage("load"):
        if locate(x, home=home).sort == "network":
            subject = load(x)
            against = load(original) if original else subject
            if against is subject:
                warnings.warn(f"{x} is held against itself; name its original with --original", stacklevel=2)
        else:
            dna = read_dna(dna_of(x, home=home))
            against = _original(dna, original)
            subject = in_memory(dna, like=against)
    with progress.stage("evaluate"):
        score = judge(subject, _task(task, against), original=against, settings=settings)
    return EvaluateResult(x=x, original=against.name, score=score)


def evaluate_recipe(recipe: EvaluateRecipe, *, progress: Progress | None = None) -> EvaluateResult:
    """`evaluate`, as a recipe asks for it."""
    what, how = recipe.what, recipe.how
    texts, images = (Path(each) if each else None for each in (what.texts, what.images))
    settings = TaskSettings(texts=texts, images=images, limit=what.limit, device=how.device)
    return evaluate(
        what.x,
        task=what.task,
        original=what.original,
        settings=settings,
        progress=progress,
        home=Path(how.home),
    )


def in_memory(dna: Dna, *, like: Network) -> Network:
    """The network that a DNA makes, with config and tokenizer of `like`."""
    weights = dict(rebuild_tensors(dna, KINDS))
    return from_state_dict(weights, name=str(dna.path.parent), config=like.config, files=like.files)


def _original(dna: Dna, named: str | None) -> Network:
    original = load(named or dna.header.network)
    if original.fingerprint != dna.header.fingerprint:
        raise TaskError(
            f"{original.name}: is {original.fingerprint[:12]}, but {dna.path} was mined from "
            f"{dna.header.network} {dna.header.fingerprint[:12]}; name that one with --original"
        )
    return original


def _task(task: str, original: Network) -> str:
    if task != "auto":
        return task
    fitting = default_task(original)
    if fitting is None:
        raise TaskError(f"{why_unmeasured(original)}; name a task of your own with --task module:function")
    return fitting
