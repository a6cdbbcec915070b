import pytest

from dna_ray.evolution.metric.cost import axes, operations
from dna_ray.evolution.metric.founders import WINA
from dna_ray.evolution.metric.source import from_python
from dna_ray.evolution.metric.symbols import Axes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("W", 20),  # of sorting alone
        ("absW * X1", 22),
        ("absW * absW", 22),  # read once
        ("absW * sqrt(sqrt(sqrt(X1)))", 22),  # roots of one value an input
        ("row_l1 * col_l1", 25),  # one value a weight
        ("rank(X1) * depth", 20),
        ("rank(absW)", 49),
        ("minmax(W) + 1", 24),
    ],
)
def test_operations_are_counted_a_weight(text: str, count: int):
    assert operations(from_python(text)) == count


def test_three_ranks_cost_less_than_five_times_wina_and_four_cost_more():
    assert operations(from_python("rank(rank(rank(absW)))")) < 5 * operations(WINA)
    assert operations(from_python("rank(rank(rank(rank(absW))))")) > 5 * operations(WINA)


@pytest.mark.parametrize(
    ("text", "along"),
    [("depth * 2", Axes.NONE), ("X1 + X2", Axes.COLS), ("row_l1", Axes.ROWS), ("row_l1 * X1", Axes.BOTH)],
)
def test_a_value_differs_along_what_its_leaves_differ_along(text: str, along: Axes):
    assert axes(from_python(text)) == along
