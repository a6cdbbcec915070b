"""What came of a cell of a comparison: plain values, as its journal keeps them. Imports neither torch nor numpy."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from dna_ray.errors import ArtifactError
from dna_ray.evolution.comparison.config import Cell


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one method chose at one sparsity with one seed, and how that did on the test split.

    Attributes:
        evaluations: That it made, failed ones among them.
        failed: Of these.
        agent: Its choice, as `Agent.to_json` has it; None where nothing was left to choose.
        loss: Of the choice on the search split, all minibatches; None without a choice.
        fresh_loss: On the data that finalists were ranked on; None also where a task of the user's own has none.
        curve: (evaluations, lowest loss on all minibatches so far), wherever that became lower.
        kept: Weights, counted.
        skipped: Share of the multiply-adds of the network that zeros save.
        score: What the items are of: `accuracy`, or `cosine` where there are no labels.
        items: Of each example of the test split, in an order that is the same for all cells; () without a choice.
        cosine: Of the features to the dense network's, the mean over the test split.
        seconds: That the cell took.
        reason: One line, where there is no choice, or the test split could not be answered.
    """

    cell: Cell
    evaluations: int
    failed: int
    agent: Mapping[str, Any] | None = None
    loss: float | None = None
    fresh_loss: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    kept: int = 0
    skipped: float = 0.0
    score: str = ""
    items: tuple[float, ...] = ()
    cosine: float | None = None
    seconds: float = 0.0
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, which `from_json` reads."""
        values = asdict(self)
        return {**values.pop("cell"), **values}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The outcome that `to_json` wrote; what a journal adds around it is left out.

        Raises:
            ArtifactError: These are not the values of an outcome.
        """
        try:
            return cls(
                cell=Cell(values["sparsity"], values["method"], values["seed"]),
                curve=tuple((int(evaluations), float(loss)) for evaluations, loss in values["curve"]),
                items=tuple(values["items"]),
                **{name: values[name] for name in _PLAIN},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"a cell of a comparison is damaged ({error!r}); start over with --fresh") from error


_PLAIN = tuple(name for name in Outcome.__dataclass_fields__ if name not in ("cell", "curve", "items"))
