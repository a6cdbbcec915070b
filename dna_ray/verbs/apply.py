"""The sparse network of an agent, as an ordinary Hugging Face folder, and what got faster by it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from dna_ray.errors import RecipeError
from dna_ray.evolution.judging.judge import Judge
from dna_ray.evolution.judging.latency import latency
from dna_ray.evolution.sparsity.pruner import Pruner
from dna_ray.evolution.sparsity.sparse import save_masks, sparsified
from dna_ray.networks import load, opening, save
from dna_ray.tracking.store import home as default_home
from dna_ray.verbs import agents
from dna_ray.verbs.progress import Progress, Silent
from dna_ray.verbs.result import plain, size

MASKS = "masks.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApplyResult:
    """What was made sparse.

    Attributes:
        agent: Id.
        network: What the user called the network.
        out: The folder made.
        sparsity: Share of the weights of its layers that are zero, counted.
        skipped: Share of the multiply-adds of the network that zeros save.
        nbytes: Of these layers with a bit for each weight and the kept ones in full.
        dense_nbytes: Of the dense layers.
        latency: What got faster, measured on this device.
        opening: Python that opens the folder.
    """

    agent: str
    network: str
    out: str
    sparsity: float
    skipped: float
    nbytes: int
    dense_nbytes: int
    latency: str
    opening: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __rich__(self) -> RenderableType:
        return plain(
            f"{self.out}: {self.network} with {self.sparsity:.1%} zeros by agent {self.agent[:12]}\n"
            f"multiply-adds skipped  {self.skipped:.1%}\n"
            f"bytes with masks       {size(self.nbytes)} of {size(self.dense_nbytes)}; the folder holds zeros in full\n"
            f"latency                {self.latency}\n"
            f"open it: {self.opening}; its masks lie beside it in {MASKS}"
        )


def apply(
    agent: str, network: str, *, out: Path, progress: Progress | None = None, home: Path | None = None
) -> ApplyResult:
    """Writes `network` as sparse as `agent` says into the new folder `out`.

    Args:
        agent: The start of an id, or a run, which stands for its champion.

    Raises:
        InputError: No agent is called so.
        RecipeError: It evolved on a network with other layers.
        NetworkError: `out` exists.
    """
    progress = progress or Silent()
    found = agents.find(agent, home=home or default_home())
    with progress.stage("load"):
        dense = load(network)
    with progress.stage("prepare"):
        subject, space = agents.subject_of(found.recipe, dense)
    if len(found.agent.levels) != len(space.layers):
        raise RecipeError(
            f"agent {found.agent.id[:12]} is of {len(found.agent.levels)} layers, {network} has {len(space.layers)}; "
            f"apply it to {found.recipe.what.network}"
        )
    with progress.stage("apply"):
        pruner = Pruner(subject.layers, subject.matrices, subject.statistics)
        pruned = pruner.prune(found.agent, space.kept(found.agent))
        sparse = sparsified(subject, found.agent, pruned)
        tensors = ((info.name, sparse.read(info.name)) for info in sparse.anatomy)
        save(tensors, out, anatomy=sparse.anatomy, config=dense.config, files=dense.files)
        save_masks(out / MASKS, found.agent, pruned.masks)
    with progress.stage("measure"):
        judged = Judge(subject, space, pruner=pruner).judge(found.agent)
        took = latency(subject, pruned)
    return ApplyResult(
        agent=found.agent.id,
        network=dense.name,
        out=str(out),
        sparsity=1 - judged.kept / judged.weights,
        skipped=judged.skipped,
        nbytes=judged.nbytes,
        dense_nbytes=judged.dense_nbytes,
        latency=str(took),
        opening=opening(out, dense.config),
    )
