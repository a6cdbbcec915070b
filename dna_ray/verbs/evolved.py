"""What came of a search: the champion, judged on data that nothing was chosen by, beside what it began from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from dna_ray.errors import ArtifactError, QualityError
from dna_ray.evolution.agent import EVERY_KIND, Agent
from dna_ray.evolution.chronicle import Chronicle, chronicle
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.judging.finalists import Finalist, finalists
from dna_ray.evolution.judging.judge import Judge, Judgement, accuracy_difference, cosine_difference
from dna_ray.evolution.judging.latency import latency
from dna_ray.evolution.judging.layer_errors import LayerErrors, bounds_of
from dna_ray.evolution.metric.source import to_python
from dna_ray.evolution.metric.words import words
from dna_ray.evolution.search.search import Search
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.pruner import Pruned
from dna_ray.evolution.sparsity.sparse import save_masks
from dna_ray.evolution.subject.subject import Subject
from dna_ray.mining.durable import write_file
from dna_ray.networks import Network
from dna_ray.recipe import EvolveRecipe, to_mapping
from dna_ray.report.evolution_page import write_evolution_page
from dna_ray.report.evolution_tables import bounds_table, counts_table, methods_table, profile_table
from dna_ray.report.methods import CHAMPION, DENSE
from dna_ray.tasks.threads import threads_of_torch
from dna_ray.tracking import journal
from dna_ray.verbs.recorded import Recorded
from dna_ray.verbs.result import plain
from dna_ray.verbs.runs import RunFolder

# Beside these the champion is shown; the page and the journal have every agent that was a founder.
METHODS = ("magnitude", "global-magnitude", "magnitude-erk", "wanda", "wina", "ria", "owl", "water-filling")
_GENES = ("scope", "pattern", "basis", "repair")


@dataclass(frozen=True, kw_only=True)
class EvolveResult:
    """What evolved.

    Attributes:
        network: What the user called the network.
        run: The run folder.
        champion: Id of the finalist that did best on data that no race had seen.
        program: Its importance program in Python.
        words: The same in English.
        genes: Scope, pattern, basis and repair.
        loss: Of the champion on the search split.
        sparsity: Share of the weights of its layers that are zero, counted.
        latency: What got faster, measured.
        counts: What came of the search.
        lineage: Hash of the archive.
        search: All of it, as its journal tells it.
        fresh_loss: On the data that finalists were ranked on; None where a task of the user's own has none.
    """

    network: str
    run: str
    champion: str
    program: str
    words: str
    genes: Mapping[str, str]
    loss: float
    sparsity: float
    latency: str
    counts: Mapping[str, int]
    lineage: str
    search: Chronicle
    fresh_loss: float | None = None

    def to_json(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "search"}
        crowned = self.search.champion or {}
        methods = {score["name"]: score["metrics"] for score in self.search.scores}
        return {**own, "profile": crowned.get("profile"), "bounds": crowned.get("bounds"), "methods": methods}

    def __rich__(self) -> RenderableType:
        crowned = self.search.champion or {"profile": {}}
        genes = ", ".join(f"{name} {gene}" for name, gene in self.genes.items())
        return Group(
            Text(f"{self.network}: champion {self.champion[:12]} with {self.sparsity:.1%} zeros", style="bold"),
            methods_table(self.search),
            plain(f"{self.program}    # {genes}\n"),
            profile_table(crowned["profile"], self.sparsity),
            bounds_table(self.search),
            counts_table(self.counts),
            plain(f"latency  {self.latency}"),
            plain(f"masks    {self.run}/champion/masks.safetensors"),
            plain(f"report   {self.run}/report.md"),
            plain(f"lineage  dna-ray lineage {self.champion[:12]}"),
            plain("         dna-ray ui   (the same in MLflow)"),
        )


def crowned(
    subject: Subject,
    space: Space,
    search: Search,
    network: Network,
    recipe: EvolveRecipe,
    run: RunFolder,
    record: Recorded,
) -> EvolveResult:
    """Crowns the best finalist, judges it and the methods it began from, writes its files and the page, and tells the
    journal.

    Raises:
        QualityError: Every agent failed.
    """
    evaluator = Evaluator(subject, space)
    with threads_of_torch(recipe.how.threads):  # who is ahead of whom must not depend on those of this process
        ranked = finalists(search, evaluator)
    if not ranked:
        raise QualityError(f"{network.name}: every one of {search.evaluations} agents failed; see {run.journal}")
    champion = ranked[0].agent
    pruner = evaluator.pruner
    judge = Judge(subject, space, pruner=pruner)
    crown = judge.judge(champion)
    known = {name: agent for name, agent in _founders(search).items() if name in METHODS}
    others = {DENSE: judge.judge_dense()} | {name: judge.judge(agent) for name, agent in known.items()}
    pruned = pruner.prune(champion, space.kept(champion))
    own = {
        "network": network.name,
        "run": str(run.path),
        "champion": champion.id,
        "program": to_python(champion.metric(EVERY_KIND)),
        "words": words(champion.metric(EVERY_KIND)),
        "genes": {gene: getattr(champion, gene) for gene in _GENES},
        "loss": ranked[0].evaluation.loss,
        "fresh_loss": ranked[0].loss,
        "sparsity": 1 - crown.kept / crown.weights,
        "latency": str(latency(subject, pruned)),
        "counts": asdict(search.counts),
        "lineage": search.lineage_hash,
    }
    kept = zip(space.layers, space.kept(champion), strict=True)
    record.tell(
        _finalists(ranked),
        {"event": "front", "agents": [agent.id for agent, _ in search.front()]},
        {
            "event": "champion",
            "id": champion.id,
            "python": own["program"],
            "words": own["words"],
            "sparsity": own["sparsity"],
            "masks": "champion/masks.safetensors",
            "profile": {layer.name: weights / layer.weights for layer, weights in kept},
            "bounds": _bounds(bounds_of(subject, pruned), crown),
        },
        _score(CHAMPION, champion.id, crown, None),
        *(
            _score(name, network.fingerprint if name == DENSE else each.name, each, crown)
            for name, each in others.items()
        ),
    )
    _write(own, champion, pruned, recipe, run, record)
    return read_result(run)


def read_result(run: RunFolder) -> EvolveResult:
    """The result of a run that finished.

    Raises:
        ArtifactError: It has none, or it is damaged.
    """
    try:
        own = json.loads(run.result.read_text())
        search = chronicle(journal.read(run.path))
        assert search is not None
        return EvolveResult(**own, search=search)
    except (OSError, ValueError, TypeError, AssertionError) as error:
        raise ArtifactError(f"{run.result}: is damaged ({error}); start over with --fresh") from error


def _finalists(ranked: Sequence[Finalist]) -> dict[str, Any]:
    agents = [{"id": each.agent.id, "loss": each.evaluation.loss, "fresh_loss": each.loss} for each in ranked]
    return {"event": "finalists", "agents": agents}


def _founders(search: Search) -> dict[str, Agent]:
    """Name of a method -> its agent."""
    agents = (entry.agent for entry in search.archive)
    return {agent.operator.removeprefix("founder:"): agent for agent in agents if not agent.parents}


def _score(name: str, subject: str, of: Judgement, crown: Judgement | None) -> dict[str, Any]:
    metrics: dict[str, float | None] = {}
    if of.accuracy is not None:
        metrics |= {"accuracy": of.accuracy.value, "accuracy_stderr": of.accuracy.stderr}
    metrics |= {"cosine": of.cosine.value, "cosine_stderr": of.cosine.stderr}
    metrics |= {"skipped": of.skipped, "bytes": float(of.nbytes)}
    if crown is not None:
        ahead = (accuracy_difference if crown.right is not None else cosine_difference)(crown, of)
        metrics |= {"ahead": ahead.value, "ahead_low": ahead.low, "ahead_high": ahead.high}
    return {"event": "score", "subject": subject, "name": name, "task": "test", "metrics": metrics}


def _bounds(errors: LayerErrors, crown: Judgement) -> list[dict[str, Any]]:
    """The worst layer's error, how the network may move, and how often it answers otherwise."""
    worst, estimate = errors.errors[errors.worst], errors.network
    found: list[dict[str, Any]] = [
        {
            "name": f"error of {errors.worst.removesuffix('.weight')}, the largest of its output",
            "bound": worst.bound,
            "measured": worst.measured,
            "ratio": worst.ratio,
            "promise": str(worst.promise),
        },
        {
            "name": "movement of the output",
            "bound": estimate.value,
            "measured": None,
            "ratio": None,
            "promise": estimate.label,
        },
    ]
    if (other := crown.disagreement) is not None:
        found.append(
            {
                "name": "share of other classes than the dense network's",
                "bound": other.bound,
                "measured": other.measured,
                "ratio": other.ratio,
                "promise": f"{other.promise} at 95 % confidence (Clopper-Pearson), n = {crown.n:,}",
            }
        )
    return found


def _write(
    own: Mapping[str, Any], champion: Agent, pruned: Pruned, recipe: EvolveRecipe, run: RunFolder, record: Recorded
) -> None:
    folder = run.path / "champion"
    folder.mkdir(exist_ok=True)
    save_masks(folder / "masks.safetensors", champion, pruned.masks)
    write_file(folder / "program.py", [own["program"].encode()])
    write_file(folder / "agent.json", [json.dumps(champion.to_json(), indent=1).encode()])
    search = chronicle(journal.read(run.path))
    assert search is not None
    page = write_evolution_page(run.path, search, network=own["network"], recipe=to_mapping(recipe))
    write_file(run.result, [json.dumps(own, indent=1).encode()])
    files = [page, run.result, *sorted(folder.iterdir()), *sorted(run.figures.glob("*.png"))]
    record.tell(*({"event": "artifact", "file": str(Path(file).relative_to(run.path))} for file in files))
