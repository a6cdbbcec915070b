"""The table of a comparison: what each method reached, and how far the machine is ahead of it, in pairs.

Means are over seeds. Their intervals tell what another draw of data and another run of the search would change; that
other examples would be in the test split is in the paired differences, where it belongs (`paired.paired`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, median

from dna_ray.evolution.comparison.config import ABLATIONS, KNOWN, OURS, ComparisonConfig
from dna_ray.evolution.comparison.outcome import Outcome
from dna_ray.evolution.comparison.paired import Items, Paired, interval, paired

MARGIN = 0.01  # of the score: the machine may not lose more against the best rival, at the lower limit
HIGH = 0.2  # of the dense score: where the best method without search loses more, sparsity is high
EVOPRESS = "evopress"

# Sparsity, method -> of each seed: evaluations, and the lowest loss on all minibatches so far.
Curves = Mapping[tuple[float, str], Sequence[Sequence[tuple[int, float]]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One method at one sparsity.

    Attributes:
        score: On the test split, the mean over seeds; None where no seed has one.
        low, high: Its 95 % interval over seeds; None from one seed.
        loss: Lowest on the search split, the mean over seeds.
        fresh_loss: Of the choice, on the data that finalists were ranked on.
        cosine: Of the features to the dense network's, on the test split.
        evaluations: Each seed's, the mean.
        failed: Of them, over all seeds.
        seeds: That are finished.
        missing: Of these, how many have no score.
        ahead: By how much the machine is ahead of it; None of the machine itself.
    """

    method: str
    score: float | None
    low: float | None
    high: float | None
    loss: float | None
    fresh_loss: float | None
    cosine: float | None
    evaluations: float
    failed: int
    seeds: int
    missing: int
    ahead: Paired | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """All methods at one sparsity.

    Attributes:
        rows: Highest score first.
        rival: The method of others with the lowest loss on the search split; None before there is one.
        known: The method without search with the highest score on the test split, so the hardest one.
        high: Whether even that loses more than a fifth of the dense score.
        evopress: The one of its kind with the lowest loss on the search split.
        passed: By seed, after how many evaluations the machine's loss was below its final one; None: never.
    """

    sparsity: float
    rows: tuple[Row, ...]
    rival: str | None
    known: str | None
    high: bool
    evopress: str | None
    passed: tuple[int | None, ...]

    def row(self, method: str) -> Row:
        return next(row for row in self.rows if row.method == method)

    @property
    def typically_passed(self) -> float | None:
        """The median of `passed`, in which never is the longest; None where that is never, or nothing is known."""
        if not self.passed:
            return None
        found = median(float("inf") if each is None else each for each in self.passed)
        return None if found == float("inf") else found


@dataclass(frozen=True, kw_only=True, slots=True)
class Overall:
    """One method over all sparsities.

    Attributes:
        score: The mean over sparsities and seeds.
        ahead: By how much the machine is ahead of it, each example's score averaged over sparsities first.
    """

    method: str
    score: float
    ahead: Paired | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standings:
    """The table.

    Attributes:
        score: What scores are: accuracy, or cosine to the dense network.
        dense: That of the dense network.
        examples: Of the test split.
        evaluations: That each search was to make.
        seeds: That there are to be.
        done: Cells that are finished, of `cells`.
        sparsities: A standing for each.
        overall: Of methods that have all sparsities; highest score first.
    """

    score: str
    dense: float
    examples: int
    evaluations: int
    seeds: int
    done: int
    cells: int
    sparsities: tuple[Standing, ...]
    overall: tuple[Overall, ...]


def standings(
    outcomes: Iterable[Outcome], config: ComparisonConfig, *, score: str, dense: Sequence[float]
) -> Standings:
    """Puts together what is finished so far.

    Args:
        score: What the items of the outcomes are of.
        dense: Items of the dense network.
    """
    found = {outcome.cell: outcome for outcome in outcomes}  # a cell that was run twice counts once
    order = {method: place for place, method in enumerate(config.methods)}
    ordered = sorted(found.values(), key=lambda each: (each.cell.sparsity, order[each.cell.method], each.cell.seed))
    by_sparsity = {
        sparsity: {method: list(some) for method, some in groupby(each, lambda outcome: outcome.cell.method)}
        for sparsity, each in groupby(ordered, lambda outcome: outcome.cell.sparsity)
    }
    return Standings(
        score=score,
        dense=fmean(dense),
        examples=len(dense),
        evaluations=config.evaluations,
        seeds=config.seeds,
        done=len(found),
        cells=len(config.sparsities) * len(config.methods) * config.seeds,
        sparsities=tuple(_standing(sparsity, methods, fmean(dense)) for sparsity, methods in by_sparsity.items()),
        overall=_overall(by_sparsity, config),
    )


def curves_of(outcomes: Iterable[Outcome]) -> Curves:
    """How far each search was after how many evaluations."""
    found: dict[tuple[float, str], list[Sequence[tuple[int, float]]]] = {}
    for outcome in sorted({each.cell: each for each in outcomes}.values(), key=lambda each: each.cell.seed):
        found.setdefault((outcome.cell.sparsity, outcome.cell.method), []).append(outcome.curve)
    return found


def _standing(sparsity: float, methods: Mapping[str, list[Outcome]], dense: float) -> Standing:
    ours = _items(methods.get(OURS, []))
    rows = [_row(method, outcomes, ours) for method, outcomes in methods.items()]
    rows.sort(key=lambda row: (row.score is None, -(row.score or 0.0)))
    scored = [row for row in rows if row.score is not None]
    known = next((row for row in scored if row.method in KNOWN), None)
    evopress = _lowest(row for row in scored if row.method.startswith(EVOPRESS))
    return Standing(
        sparsity=sparsity,
        rows=tuple(rows),
        rival=_lowest(row for row in scored if row.method != OURS and row.method not in ABLATIONS),
        known=None if known is None else known.method,
        high=known is not None and known.score is not None and known.score < (1 - HIGH) * dense,
        evopress=evopress,
        passed=_passed(methods.get(OURS, []), methods[evopress]) if evopress else (),
    )


def _row(method: str, outcomes: Sequence[Outcome], ours: Items) -> Row:
    items = _items(outcomes)
    scores = [fmean(each) for each in items.values()]
    low, high = interval(scores) or (None, None)
    return Row(
        method=method,
        score=_mean(scores),
        low=low,
        high=high,
        loss=_mean([outcome.curve[-1][1] for outcome in outcomes if outcome.curve]),
        fresh_loss=_mean([outcome.fresh_loss for outcome in outcomes if outcome.fresh_loss is not None]),
        cosine=_mean([outcome.cosine for outcome in outcomes if outcome.cosine is not None]),
        evaluations=fmean(outcome.evaluations for outcome in outcomes),
        failed=sum(outcome.failed for outcome in outcomes),
        seeds=len(outcomes),
        missing=len(outcomes) - len(items),
        ahead=None if method == OURS else paired(ours, items),
    )


def _items(outcomes: Iterable[Outcome]) -> dict[int, Sequence[float]]:
    return {outcome.cell.seed: outcome.items for outcome in outcomes if outcome.items}


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _lowest(rows: Iterable[Row]) -> str | None:
    """The method with the lowest loss on the search split."""
    found = [(row.loss, row.method) for row in rows if row.loss is not None]
    return min(found)[1] if found else None


def _passed(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> tuple[int | None, ...]:
    final = {outcome.cell.seed: outcome.curve[-1][1] for outcome in theirs if outcome.curve}
    return tuple(
        next((evaluations for evaluations, loss in outcome.curve if loss <= final[outcome.cell.seed]), None)
        for outcome in ours
        if outcome.cell.seed in final
    )


def _overall(by_sparsity: Mapping[float, Mapping[str, list[Outcome]]], config: ComparisonConfig) -> tuple[Overall, ...]:
    averaged = {}
    for method in config.methods:
        items = [_items(methods.get(method, [])) for methods in by_sparsity.values()]
        if len(items) == len(config.sparsities) and (seeds := set.intersection(*(set(each) for each in items))):
            averaged[method] = {seed: _average([each[seed] for each in items]) for seed in sorted(seeds)}
    ours = averaged.get(OURS, {})
    found = [
        Overall(
            method=method,
            score=fmean(fmean(each) for each in items.values()),
            ahead=None if method == OURS else paired(ours, items),
        )
        for method, items in averaged.items()
    ]
    return tuple(sorted(found, key=lambda each: -each.score))


def _average(items: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(fmean(each) for each in zip(*items, strict=True))
