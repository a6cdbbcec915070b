import pytest
from small_findings import curve, small_measures, small_structure

from dna_ray.mining.measures import Measures
from dna_ray.report.findings import Findings
from dna_ray.tasks.score import Measured, Score


@pytest.fixture(scope="session")
def score() -> Score:
    figures = {"cosine": Measured(0.5023, 0.003), "same_neighbour": Measured(0.28, 0.014)}
    return Score(task="agreement", subject="ab", n=1000, metrics=figures, notes=("1,000 held-out texts.",))


@pytest.fixture(scope="session")
def measures() -> Measures:
    return small_measures()


@pytest.fixture
def findings(measures: Measures, score: Score) -> Findings:
    return Findings(
        network="sample:small",
        kind="hierarchical",
        measures=measures,
        structure=small_structure(measures),
        recipe={"verb": "mine", "what": {"kind": "hierarchical", "ratio": 22.0}, "how": {"address": "ray://secret"}},
        fingerprint="0123456789abcdef",
        family="bert",
        curve=curve(),
        score=score,
        seconds=75.0,
    )
