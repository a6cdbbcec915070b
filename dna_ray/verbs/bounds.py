"""What an agent's sparsity costs: each computed number beside its measurement."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dna_ray.evolution.judging.judge import Judge
from dna_ray.evolution.judging.layer_errors import bounds_of
from dna_ray.evolution.sparsity.pruner import Pruner
from dna_ray.networks import load
from dna_ray.tracking.store import home as default_home
from dna_ray.verbs import agents
from dna_ray.verbs.progress import Progress, Silent
from dna_ray.verbs.result import plain


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerBound:
    """Of one layer: E |(W - W^) x|^2 on the inputs of the dense network.

    Attributes:
        bound: Computed from second moments, without a forward pass.
        measured: On the calibration split.
        ratio: bound / measured.
        promise: What the one says of the other.
        share: Of the layer's mean squared output.
    """

    layer: str
    bound: float
    measured: float
    ratio: float
    promise: str
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundsResult:
    """What is known of an agent's errors.

    Attributes:
        agent: Id.
        layers: In the order of the network.
        network: How far the output moves, in words: an estimate is called one.
        disagreement: How often classes differ, in words; empty without classes.
    """

    agent: str
    layers: tuple[LayerBound, ...]
    network: str
    disagreement: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __rich__(self) -> RenderableType:
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for title in ("layer", "computed", "measured", "ratio", "of output", "promise"):
            table.add_column(title, justify="left" if title in ("layer", "promise") else "right")
        for each in self.layers:
            figures = (f"{each.bound:.6g}", f"{each.measured:.6g}", f"{each.ratio:.6f}", f"{each.share:.2%}")
            table.add_row(each.layer, *figures, each.promise)
        lines = [f"output moves by about {self.network}", *([self.disagreement] if self.disagreement else [])]
        heading = Text(f"agent {self.agent[:12]}: E |(W - W^) x|^2 of each layer", style="bold")
        return Group(heading, table, *map(plain, lines))


def bounds(agent: str, *, progress: Progress | None = None, home: Path | None = None) -> BoundsResult:
    """Computes and measures the bounds of an agent on the network that it evolved on.

    Raises:
        InputError: No agent is called so.
    """
    progress = progress or Silent()
    found = agents.find(agent, home=home or default_home())
    with progress.stage("load"):
        network = load(found.recipe.what.network)
    with progress.stage("prepare"):
        subject, space = agents.subject_of(found.recipe, network)
    with progress.stage("measure"):
        pruner = Pruner(subject.layers, subject.matrices, subject.statistics)
        pruned = pruner.prune(found.agent, space.kept(found.agent))
        errors = bounds_of(subject, pruned)
        judged = Judge(subject, space, pruner=pruner).judge(found.agent)
    layers = tuple(
        LayerBound(
            layer=name,
            bound=each.bound,
            measured=each.measured,
            ratio=each.ratio,
            promise=str(each.promise),
            share=errors.share(name),
        )
        for name, each in errors.errors.items()
    )
    said = ""
    if (other := judged.disagreement) is not None:
        said = (
            f"another class than the dense network for at most {other.bound:.1%} of such examples "
            f"(95 % confidence; {other.measured:.1%} of {judged.n:,} measured)"
        )
    estimate = f"{errors.network.value:.1%} of its length ({errors.network.label})"
    return BoundsResult(agent=found.agent.id, layers=layers, network=estimate, disagreement=said)
