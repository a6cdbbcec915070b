"""Runs the cells of a comparison on one subject: the same data, repair and terms for every method.

A method without search makes one agent, which is evaluated once, on all minibatches. A search makes the evaluations
that it may, failed ones among them; then its finalists are ranked on data that no race has seen. What a method chose in
this way is judged once on the test split, by which nothing is chosen.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor

from dna_ray.errors import DnaRayError, RecipeError
from dna_ray.evolution.agent import Agent
from dna_ray.evolution.comparison.config import KNOWN, Cell, ComparisonConfig
from dna_ray.evolution.comparison.outcome import Outcome
from dna_ray.evolution.judging.evaluator import Evaluator
from dna_ray.evolution.judging.finalists import FINALISTS, finalists
from dna_ray.evolution.judging.judge import Judge, Judgement
from dna_ray.evolution.search.baselines import BASELINES
from dna_ray.evolution.search.founders import METHODS, founder, founders
from dna_ray.evolution.search.search import Search, Terms
from dna_ray.evolution.serial import evaluate_here
from dna_ray.evolution.space import Space
from dna_ray.evolution.sparsity.budget import Profile, in_weights
from dna_ray.evolution.sparsity.known_profiles import profiles_of
from dna_ray.evolution.subject.answers import Answers
from dna_ray.evolution.subject.subject import Subject

LAG = 1  # a cell is run by one process: every batch is made from all results before it
_DIGITS = 6  # of an item that a journal keeps


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a method came to, before the test split.

    Attributes:
        agent: None where every agent failed.
        reason: Why, then.
    """

    evaluations: int
    failed: int
    agent: Agent | None
    loss: float | None
    fresh_loss: float | None
    curve: tuple[tuple[int, float], ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """How many seconds something takes, with the threads at hand.

    Attributes:
        evaluation: In a race, between one of a new metric and one of a known one.
        finals: The last round of a search.
        test: What a method chose, on the test split.
    """

    evaluation: float
    finals: float
    test: float

    def seconds(self, cells: Iterable[Cell], config: ComparisonConfig) -> float:
        """That the cells take, one after the other."""
        methods = [cell.method for cell in cells]
        searches = sum(method not in KNOWN for method in methods)
        evaluations = sum(map(config.budget, methods))
        return evaluations * self.evaluation + searches * self.finals + len(methods) * self.test


@dataclass(frozen=True, slots=True)
class _Place:
    """What all methods share at one sparsity."""

    space: Space
    profiles: Mapping[str, Profile]
    founders: Sequence[Agent]
    evaluator: Evaluator
    judge: Judge


class Bench:
    """One subject, on which methods are tried. Cells of one sparsity in a row share what is known of it.

    What a cell finds depends on nothing but the cell, the config and the subject.
    """

    def __init__(self, subject: Subject, config: ComparisonConfig) -> None:
        self._subject, self._config = subject, config
        self._curves = subject.curves()
        self._dense: Answers | None = None
        self._last: tuple[float, _Place] | None = None

    def run(self, cell: Cell, *, stopping: Callable[[], bool] = lambda: False) -> Outcome | None:
        """Runs a cell; None if `stopping`, which is asked before each batch, said so.

        Raises:
            RecipeError: A search may not even evaluate what it begins with.
        """
        start = time.perf_counter()
        chosen = self._known(cell) if cell.method in KNOWN else self._searched(cell, stopping)
        if chosen is None:
            return None
        judged, reason = self._judged(cell, chosen)
        return Outcome(
            cell=cell,
            evaluations=chosen.evaluations,
            failed=chosen.failed,
            agent=None if chosen.agent is None else chosen.agent.to_json(),
            loss=chosen.loss,
            fresh_loss=chosen.fresh_loss,
            curve=chosen.curve,
            reason=reason,
            seconds=time.perf_counter() - start,
            **judged,
        )

    def dense(self) -> dict[str, Any]:
        """The score and the items of the dense network on the test split."""
        place = self._place(self._config.sparsities[0])
        return _items(place.judge.judge_dense())

    def pace(self) -> Pace:
        """How long things take here, by a short trial."""
        place = self._place(self._config.sparsities[0])
        batch = place.founders[: self._config.batch]
        marks = [time.perf_counter()]
        for work in (
            lambda: place.evaluator.evaluate(batch),  # with metrics that are new: all weights are ranked by them
            lambda: place.evaluator.evaluate(batch),  # with metrics that are known
            lambda: None if place.evaluator.owned else place.evaluator.evaluate_on_finals(batch[:1]),
            lambda: place.judge.judge(batch[0]),
        ):
            work()
            marks.append(time.perf_counter())
        fresh, known, final, test = (end - start for start, end in pairwise(marks))
        return Pace((fresh + known) / 2 / len(batch), FINALISTS * final, test)

    def _place(self, sparsity: float) -> _Place:
        if self._last is None or self._last[0] != sparsity:
            self._last = sparsity, self._made(sparsity)
        return self._last[1]

    def _made(self, sparsity: float) -> _Place:
        subject = self._subject
        budget = in_weights(subject.layers, sparsity)
        space = Space(layers=subject.layers, budget=budget, curves=self._curves, repairs=subject.repairs)
        profiles = profiles_of(subject, budget, curves=self._curves)
        known = founders(space, profiles)
        if self._config.evaluations < len(known):
            raise RecipeError(
                f"evaluations are {self._config.evaluations}, fewer than the {len(known)} known methods that searches "
                "begin with; give more"
            )
        if self._dense is None:
            self._dense = subject.answer_test()
        evaluator = Evaluator(subject, space)
        judge = Judge(subject, space, pruner=evaluator.pruner, dense=self._dense)
        return _Place(space, profiles, known, evaluator, judge)

    def _known(self, cell: Cell) -> Chosen:
        """One agent, evaluated once."""
        place = self._place(cell.sparsity)
        metric, scope, profile = METHODS[cell.method]
        agent = founder(cell.method, place.space, place.profiles[profile], metric=metric, scope=scope)
        [found] = place.evaluator.evaluate_fully([agent])
        if found.failed:
            return Chosen(1, 1, None, None, None, (), found.reason)
        return Chosen(1, 0, agent, found.loss, None, ((1, found.loss),))

    def _searched(self, cell: Cell, stopping: Callable[[], bool]) -> Chosen | None:
        place = self._place(cell.sparsity)
        terms = Terms(seed=cell.seed, evaluations=self._config.budget(cell.method), batch=self._config.batch, lag=LAG)
        search = BASELINES[cell.method](place.space, place.founders, terms)
        curve = _curve(search, place.evaluator, stopping)
        if not search.done:
            return None
        ranked = finalists(search, place.evaluator)
        counts = search.counts
        if not ranked:
            return Chosen(counts.evaluated, counts.failed, None, None, None, (), "every agent failed")
        best = ranked[0]
        return Chosen(counts.evaluated, counts.failed, best.agent, best.evaluation.loss, best.loss, curve)

    def _judged(self, cell: Cell, chosen: Chosen) -> tuple[dict[str, Any], str]:
        """What the test split says, and why it says nothing, if it does not."""
        if chosen.agent is None:
            return {}, chosen.reason
        try:
            found = self._place(cell.sparsity).judge.judge(chosen.agent)
        except DnaRayError as error:
            return {}, " ".join(str(error).split())
        return {"kept": found.kept, "skipped": found.skipped, **_items(found)}, ""


def _curve(search: Search, evaluator: Evaluator, stopping: Callable[[], bool]) -> tuple[tuple[int, float], ...]:
    """Runs the search, and says after how many evaluations its lowest loss on all minibatches became lower."""
    found: list[tuple[int, float]] = []
    for told in evaluate_here(search, evaluator, stopping=stopping):
        whole = [each.loss for each in told.evaluations if not each.failed and each.rung == evaluator.rungs[-1]]
        if whole and (not found or min(whole) < found[-1][1]):
            found.append((search.evaluations, min(whole)))
    return tuple(found)


def _items(judged: Judgement) -> dict[str, Any]:
    values: Tensor = judged.cosines if judged.right is None else judged.right.long()
    items = values.tolist() if judged.right is not None else [round(each, _DIGITS) for each in values.tolist()]
    return {
        "score": "cosine" if judged.right is None else "accuracy",
        "items": tuple(items),
        "cosine": judged.cosine.value,
    }
