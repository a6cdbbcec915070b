"""Outcomes of a comparison that nobody ran."""

from collections.abc import Iterator

import numpy as np

from dna_ray.evolution.comparison.config import KNOWN, ComparisonConfig, cells
from dna_ray.evolution.comparison.outcome import Outcome

CONFIG = ComparisonConfig(evaluations=100, seeds=3)
EXAMPLES = 200
DENSE = tuple(float(each % 10 != 0) for each in range(EXAMPLES))  # 0.9


def invented(config: ComparisonConfig = CONFIG) -> Iterator[Outcome]:
    """The higher the sparsity the worse, and searches better than what needs none."""
    for number, cell in enumerate(cells(config)):
        rng = np.random.default_rng(number)
        place = config.methods.index(cell.method)
        loss = (0.02 + cell.sparsity**4) * (1.3 - 0.02 * place) * float(np.exp(rng.normal(0, 0.05)))
        accuracy = 0.9 - 0.8 * loss
        searched = cell.method not in KNOWN
        steps = (9, 30, 60, 90) if searched else (1,)
        curve = tuple((step, loss * (1 + 0.5 * (1 - step / steps[-1]))) for step in steps)
        yield Outcome(
            cell=cell,
            evaluations=config.budget(cell.method),
            failed=0,
            agent={"levels": [1]},
            loss=loss,
            fresh_loss=loss * 1.02 if searched else None,
            curve=curve,
            kept=100,
            skipped=cell.sparsity,
            score="accuracy",
            items=tuple((rng.random(EXAMPLES) < accuracy).astype(float).tolist()),
            cosine=1 - loss,
            seconds=1.0,
        )
