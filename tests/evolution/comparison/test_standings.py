import json
from dataclasses import asdict, replace

import pytest
from invented_outcomes import CONFIG, DENSE, EXAMPLES, invented

from dna_ray.errors import ArtifactError
from dna_ray.evolution.comparison.config import KNOWN, OURS, Cell, ComparisonConfig, cells
from dna_ray.evolution.comparison.outcome import Outcome
from dna_ray.evolution.comparison.standings import Standings, curves_of, standings

SMALL = ComparisonConfig(sparsities=(0.5,), methods=("wanda", "tpe", OURS), seeds=2, evaluations=40)


def outcome(method: str, seed: int, score: float, curve: tuple[tuple[int, float], ...]) -> Outcome:
    right = round(score * EXAMPLES)
    items = (1.0,) * right + (0.0,) * (EXAMPLES - right)
    return Outcome(
        cell=Cell(0.5, method, seed),
        evaluations=SMALL.budget(method),
        failed=0,
        loss=curve[-1][1],
        curve=curve,
        score="accuracy",
        items=items,
        cosine=0.5,
    )


def table(*outcomes: Outcome, config: ComparisonConfig = SMALL) -> Standings:
    return standings(outcomes, config, score="accuracy", dense=DENSE)


@pytest.fixture
def small() -> list[Outcome]:
    return [
        outcome("wanda", 0, 0.60, ((1, 0.5),)),
        outcome("wanda", 1, 0.60, ((1, 0.5),)),
        outcome("tpe", 0, 0.70, ((9, 0.6), (30, 0.40))),
        outcome("tpe", 1, 0.72, ((9, 0.6), (30, 0.44))),
        outcome(OURS, 0, 0.75, ((9, 0.5), (18, 0.39))),
        outcome(OURS, 1, 0.77, ((9, 0.43), (27, 0.41))),
    ]


def test_methods_are_ordered_by_the_test_split_and_the_machine_is_compared_in_pairs(small: list[Outcome]):
    found = table(*small).sparsities[0]
    assert [row.method for row in found.rows] == [OURS, "tpe", "wanda"]
    ahead = found.row("tpe").ahead
    assert ahead is not None
    assert ahead.value == pytest.approx(0.05)
    assert found.row(OURS).ahead is None
    assert found.row(OURS).score == pytest.approx(0.76)


def test_the_rival_is_chosen_on_the_search_split_and_the_known_method_on_the_test_split(small: list[Outcome]):
    found = table(*small).sparsities[0]
    assert (found.rival, found.known) == ("tpe", "wanda")
    assert found.high, "0.6 is less than 80 % of 0.9"
    better = [replace(each, items=DENSE) if each.cell.method == "wanda" else each for each in small]
    assert not table(*better).sparsities[0].high


def test_ablations_are_no_rivals():
    found = standings(invented(), CONFIG, score="accuracy", dense=DENSE)
    assert not {each.rival for each in found.sparsities} & {OURS, *(m for m in CONFIG.methods if m.startswith("mach"))}
    assert {each.known for each in found.sparsities} <= set(KNOWN)


def test_the_evaluations_that_pass_the_rival_are_counted_by_seed(small: list[Outcome]):
    config = replace(SMALL, methods=("wanda", "evopress-wina", OURS))
    theirs = [replace(each, cell=replace(each.cell, method="evopress-wina")) for each in small[2:4]]
    found = table(*small[:2], *theirs, *small[4:], config=config).sparsities[0]
    assert (found.evopress, found.passed, found.typically_passed) == ("evopress-wina", (18, 9), 13.5)
    slow = [replace(each, curve=((9, 0.7),)) for each in small[4:]]
    late = table(*small[:2], *theirs, *slow, config=config).sparsities[0]
    assert (late.passed, late.typically_passed) == ((None, None), None)


def test_the_order_of_outcomes_does_not_matter_and_a_cell_counts_once(small: list[Outcome]):
    assert table(*small) == table(*small[::-1]) == table(*small, small[0])


def test_a_table_is_made_of_what_is_finished(small: list[Outcome]):
    found = table(*small[:3])
    assert (found.done, found.cells) == (3, 6)
    assert found.sparsities[0].row("tpe").low is None
    assert found.sparsities[0].passed == ()
    assert table().sparsities == ()


def test_a_method_without_a_choice_is_shown_last(small: list[Outcome]):
    failed = replace(small[2], items=(), agent=None, loss=None, curve=(), failed=40, reason="every agent failed")
    found = table(failed, *small[4:]).sparsities[0].rows[-1]
    assert (found.method, found.score, found.missing, found.failed, found.ahead) == ("tpe", None, 1, 40, None)


def test_over_all_sparsities_examples_stay_paired():
    found = standings(invented(), CONFIG, score="accuracy", dense=DENSE)
    assert {each.method for each in found.overall} == set(CONFIG.methods)
    scores = [each.score for each in found.overall]
    assert scores == sorted(scores, reverse=True)
    of_sparsities = [each.row("wanda").score for each in found.sparsities]
    wanda = next(each for each in found.overall if each.method == "wanda")
    assert wanda.score == pytest.approx(sum(each or 0 for each in of_sparsities) / len(of_sparsities))


def test_outcomes_and_standings_are_json(small: list[Outcome]):
    back = [Outcome.from_json(json.loads(json.dumps({"event": "cell", **each.to_json()}))) for each in small]
    assert back == small
    assert json.dumps(asdict(table(*small)), allow_nan=False)
    with pytest.raises(ArtifactError, match="damaged"):
        Outcome.from_json({"sparsity": 0.5})


def test_curves_are_those_of_the_seeds_in_order(small: list[Outcome]):
    assert curves_of(small[::-1])[0.5, "tpe"] == [small[2].curve, small[3].curve]


def test_cells_that_share_data_lie_together():
    found = cells(CONFIG)
    assert len(set(found)) == len(found) == 4 * len(CONFIG.methods) * 3
    assert [cell.seed for cell in found] == sorted(cell.seed for cell in found)
