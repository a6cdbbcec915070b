"""What an agent does, apart from how well: where it is sparse, and by what kind of metric it chooses."""

from collections.abc import Mapping
from functools import lru_cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from dna_ray.evolution.agent import EVERY_KIND, Agent
from dna_ray.evolution.metric.probes import importances, ordinary
from dna_ray.evolution.metric.program import Program, subtrees
from dna_ray.evolution.space import Space

# Families of metrics are told apart by what their programs read.
FAMILIES: Mapping[str, frozenset[str]] = {
    "weight": frozenset({"W", "absW"}),
    "input": frozenset({"X1", "X2", "Xmax"}),
    "row": frozenset({"row_l1", "row_l2"}),
    "column": frozenset({"col_l1", "col_l2"}),
    "place": frozenset({"depth", "fan_in"}),
}
Cell = tuple[int, int, str]  # sparsity, concentration, family

_SPARSITIES = 20  # steps of the grid
_CONCENTRATIONS = 10
_SAMPLES = 64  # weights of the probes by which rankings are compared


@lru_cache(maxsize=4096)
def reads(program: Program) -> frozenset[str]:
    """Which families of symbols a program reads."""
    symbols = {part.symbol for _, part in subtrees(program)}
    return frozenset(name for name, members in FAMILIES.items() if symbols & members)


def family(agent: Agent) -> str:
    """What its programs read, all together: `weight input`; `constant` where that is nothing."""
    found = frozenset[str]().union(*(reads(program) for _, program in agent.metrics))
    return " ".join(name for name in FAMILIES if name in found) or "constant"


def densities(agent: Agent, space: Space) -> NDArray[np.float64]:
    """The share of its weights that each layer keeps."""
    return np.array(space.kept(agent), dtype=np.float64) / np.array(space.budget.limits, dtype=np.float64)


def concentration(shares: NDArray[np.float64]) -> float:
    """How unevenly a profile is spread over the layers: 1 - entropy / its maximum; 0 where all keep the same share."""
    if len(shares) < 2:
        return 0.0
    parts = shares[shares > 0] / shares.sum()
    return float(np.clip(1 + (parts * np.log(parts)).sum() / np.log(len(shares)), 0, 1))


def cell_of(agent: Agent, kept: int, space: Space) -> Cell:
    """The cell of the quality-diversity grid that it falls into.

    Steps of concentration are even in its root: profiles worth having are all near 0.
    """
    sparsity = 1 - kept / sum(space.budget.limits)
    root = sqrt(concentration(densities(agent, space)))
    return _step(sparsity, _SPARSITIES), _step(root, _CONCENTRATIONS), family(agent)


def _step(share: float, steps: int) -> int:
    return min(steps - 1, int(share * steps))


@lru_cache(maxsize=4096)
def signature(program: Program) -> NDArray[np.float64]:
    """Ranks that it gives to some weights of the probes, scaled: half the squared distance is 1 - rank correlation."""
    values = importances(program, ordinary()).numpy()
    some = values[np.linspace(0, len(values) - 1, _SAMPLES).astype(np.int64)]
    ranks = np.argsort(np.argsort(some, kind="stable"), kind="stable").astype(np.float64)
    ranks -= ranks.mean()
    return ranks / np.linalg.norm(ranks)


def behaviour(agent: Agent, space: Space) -> NDArray[np.float64]:
    """A point whose distances say how differently two agents do their work.

    The densities of the layers (root mean square distance), the families that its programs read (a quarter for each
    that differs), and the ranks of its general program.
    """
    shares = densities(agent, space) / sqrt(len(space.layers))
    found = frozenset[str]().union(*(reads(program) for _, program in agent.metrics))
    bits = np.array([0.25 * (name in found) for name in FAMILIES])
    return np.concatenate((shares, bits, 0.5 * signature(agent.metric(EVERY_KIND))))
