import pytest

from dna_ray.errors import RecipeError
from dna_ray.evolution.comparison.config import KNOWN, METHODS, RIVALS, ComparisonConfig
from dna_ray.evolution.search import founders
from dna_ray.evolution.search.baselines import BASELINES


def test_every_method_is_one_that_there_is():
    assert set(KNOWN) <= founders.METHODS.keys()
    assert set(METHODS) - set(KNOWN) == BASELINES.keys() - {"founders"}
    assert {"random", "tpe", "nsga2", "evopress-best"} <= set(RIVALS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ("wando", "machine")}, "did you mean 'wanda'"),
        ({"methods": ("wanda",)}, "'machine' among them"),
        ({"methods": ("machine", "machine")}, "must be different"),
        ({"sparsities": ()}, "one or more"),
        ({"sparsities": (0.5, 0.5)}, "different shares"),
        ({"sparsities": (0.5, 1.0)}, "less than 1"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"evaluations": 0}, "evaluations must be at least 1"),
        ({"signal": "klm"}, "module:function"),
        ({"rungs": (4, 1)}, "rise"),
        ({"precision": "float8"}, "float32 or bfloat16"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict[str, object], said: str):
    with pytest.raises(RecipeError, match=said):
        ComparisonConfig(**changes)  # type: ignore[arg-type]
