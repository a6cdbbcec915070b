"""What evolves, and what was found out about it: two frozen values, one never inside the other."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Self

from dna_ray.errors import InputError, RecipeError
from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.metric.source import from_python
from dna_ray.evolution.sparsity.masks import SCOPES, group_of

EVERY_KIND = "*"
Metrics = tuple[tuple[str, Program], ...]

# What a gene may say. A pattern is what `masks.rank` understands.
GENES: Mapping[str, tuple[str, ...]] = {
    "scope": tuple(SCOPES),
    "basis": ("none", "svd"),
    "repair": ("none", "batch-norm", "scale"),
}
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
STATUSES = ("ok", "failed", "duplicate")


@dataclass(frozen=True, slots=True)
class Agent:
    """A sparsity configuration with its importance program. It holds no fitness and no model.

    Attributes:
        levels: How much of the budget each layer gets, in the order of the space (`budget.from_levels`).
        metrics: Kind of layer -> program, sorted by kind; the one of `*` serves all kinds that have none.
        scope: Where the top is taken: row, layer or global.
        pattern: unstructured, column or n:4, as `masks.rank` understands it.
        basis: none, or svd.
        repair: none, batch-norm or scale.
        parents: Their ids; the first is the one that the agent is compared with.
        operator: What made it.
        id: sha256 over canonical JSON of everything.
        genome: The same without its lineage, so it is one for agents that compute the same: what is never evaluated
            twice.

    Raises:
        RecipeError: A gene says what there is not.
    """

    levels: tuple[int, ...]
    metrics: Metrics
    scope: str = "layer"
    pattern: str = "unstructured"
    basis: str = "none"
    repair: str = "none"
    parents: tuple[str, ...] = ()
    operator: str = "founder"
    id: str = field(init=False, compare=False, repr=False)
    genome: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _check(self)
        everything = self.to_json()
        genes = {name: value for name, value in everything.items() if name not in ("parents", "operator")}
        # `global` says where levels came from; the masks are those of `layer`
        genes["scope"] = "layer" if self.scope == "global" else self.scope
        object.__setattr__(self, "id", _sha256(everything))
        object.__setattr__(self, "genome", _sha256(genes))

    def metric(self, kind: str) -> Program:
        """The program of a kind of layer."""
        programs = dict(self.metrics)
        return programs.get(kind, programs[EVERY_KIND])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, which `from_json` reads."""
        return {
            "levels": list(self.levels),
            "metrics": [[kind, str(program)] for kind, program in self.metrics],
            "scope": self.scope,
            "pattern": self.pattern,
            "basis": self.basis,
            "repair": self.repair,
            "parents": list(self.parents),
            "operator": self.operator,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The agent that `to_json` wrote. Its programs are read as programs, and never run.

        Raises:
            InputError: These are not the values of an agent.
            ProgramError: A metric is no program of the language.
        """
        try:
            return cls(
                levels=tuple(values["levels"]),
                metrics=tuple((kind, from_python(text)) for kind, text in values["metrics"]),
                scope=values["scope"],
                pattern=values["pattern"],
                basis=values["basis"],
                repair=values["repair"],
                parents=tuple(values["parents"]),
                operator=values["operator"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"an agent is damaged ({error!r}); give what `Agent.to_json` wrote") from error
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"an agent is damaged ({error}); give what `Agent.to_json` wrote") from error


def metrics_of(programs: Mapping[str, Program]) -> Metrics:
    """Sorted by kind, without those that say what `*` says anyway."""
    general = programs[EVERY_KIND]
    return tuple((kind, programs[kind]) for kind in sorted(programs) if kind == EVERY_KIND or programs[kind] != general)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How an agent did on the first minibatches of the search split.

    Attributes:
        agent: Its id.
        losses: One a minibatch, finite; the same minibatches for everybody, so agents are compared in pairs.
        kept: Weights, counted in the masks themselves.
        multiply_adds: Those of one sample that are not skipped.
        status: ok, failed, or duplicate (figures copied).
        reason: One line, where the evaluation failed.
        seconds: Reported, but never selected on, and left out of every hash.

    Raises:
        InputError: A loss is not finite, or a figure is missing; such an evaluation has failed, and is to say so.
    """

    agent: str
    losses: tuple[float, ...] = ()
    kept: int = 0
    multiply_adds: int = 0
    status: str = "ok"
    reason: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise InputError(f"an evaluation is {self.status!r}; it may be {', '.join(STATUSES)}")
        if self.status != "failed" and not self.losses:
            raise InputError(f"the evaluation of {self.agent[:12]} has no loss; say that it failed, and why")
        if not all(map(isfinite, self.losses)):
            raise InputError(f"a loss of {self.agent[:12]} is not finite; say that its evaluation failed, and why")

    @property
    def loss(self) -> float:
        """The mean over the minibatches."""
        return sum(self.losses) / len(self.losses)

    @property
    def rung(self) -> int:
        """How many minibatches it has seen."""
        return len(self.losses)

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, which `from_json` reads."""
        return {
            "agent": self.agent,
            "losses": list(self.losses),
            "kept": self.kept,
            "multiply_adds": self.multiply_adds,
            "status": self.status,
            "reason": self.reason,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The evaluation that `to_json` wrote.

        Raises:
            InputError: These are not the values of an evaluation.
        """
        try:
            return cls(**{**values, "losses": tuple(values["losses"])})
        except (KeyError, TypeError) as error:
            raise InputError(f"an evaluation is damaged ({error}); give what `Evaluation.to_json` wrote") from error


def _check(agent: Agent) -> None:
    if not agent.levels or not all(type(level) is int and level >= 0 for level in agent.levels):
        raise RecipeError("the levels of an agent are whole numbers, one a layer, none below 0")
    kinds = [kind for kind, _ in agent.metrics]
    if EVERY_KIND not in kinds or kinds != sorted(set(kinds)):
        raise RecipeError(f"the metrics of an agent are sorted by kind, with one for {EVERY_KIND!r}; found {kinds}")
    for gene, known in GENES.items():
        if (found := getattr(agent, gene)) not in known:
            raise RecipeError(f"there is no {gene} {found!r}; choose of {', '.join(known)}")
    if agent.pattern not in ("unstructured", "column"):
        group_of(agent.pattern)
    if agent.scope == "row" and agent.pattern != "unstructured":
        raise RecipeError(f"pattern {agent.pattern!r} does not go with scope row; choose scope layer")


def _sha256(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(_CANONICAL.encode(values).encode()).hexdigest()
