"""What an agent makes of the matrices of a network: masks, and the sparse weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, pi, sqrt

import numpy as np
import torch
from torch import Tensor

from dna_ray.evolution.agent import Agent
from dna_ray.evolution.metric.evaluate import evaluate
from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.sparsity.budget import Profile
from dna_ray.evolution.sparsity.layers import Layer
from dna_ray.evolution.sparsity.masks import RankTable, rank
from dna_ray.evolution.sparsity.orthogonality import svd_orthogonalise
from dna_ray.evolution.sparsity.recent import Recent
from dna_ray.evolution.sparsity.repair import scaled
from dna_ray.evolution.sparsity.statistics import InputStatistics

MEMORY = 1 << 29  # bytes of rankings that are kept: a network of 10 million weights has 40 MB of them for each metric


@dataclass(frozen=True, slots=True, eq=False)
class Pruned:
    """The layers of a network as an agent wants them.

    Attributes:
        masks: Name of a layer's weight -> (rows, cols) bool, true where a weight is kept.
        matrices: Name -> (rows, cols) float32, what replaces the dense one. With basis `svd` they are written in the
            basis of the network again, and their zeros are those of W V.
        multiply_adds: Of one sample: kept weights x positions; with basis `svd` those of turning its inputs, too.
        turned: Whether the basis is `svd`.
    """

    masks: Mapping[str, Tensor]
    matrices: Mapping[str, Tensor]
    multiply_adds: int
    turned: bool = False

    @property
    def kept(self) -> int:
        """Weights, counted in the masks."""
        return sum(map(count, self.masks.values()))


@dataclass(frozen=True, slots=True, eq=False)
class _Turned:
    """A layer whose inputs are turned: W x = (W V)(V^T x)."""

    matrix: Tensor  # W V
    turn: Tensor  # V
    statistics: InputStatistics


class Pruner:
    """Prunes the same network for many agents.

    Rankings are kept, those used last first, so that an agent whose metric is known costs comparisons only.

    Args:
        matrices: The dense weight of each layer by name, (rows, cols) float32. Never written to.
        statistics: Of the inputs of each layer by name.
        memory: Bytes of rankings that are kept, at most; the one in use is always kept.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        matrices: Mapping[str, Tensor],
        statistics: Mapping[str, InputStatistics],
        *,
        memory: int = MEMORY,
    ) -> None:
        self._layers = tuple(layers)
        self._matrices = matrices
        self._statistics = statistics
        self._recent = Recent(memory)

    def prune(self, agent: Agent, profile: Profile) -> Pruned:
        """Masks and weights; `profile` says how many each layer keeps.

        Raises:
            RecipeError: The genes of the agent do not go together.
            FieldError: Importances are NaN.
        """
        masks, matrices, multiply_adds = {}, {}, 0
        for layer, kept in zip(self._layers, profile, strict=True):
            mask = self.mask(agent, layer, kept)
            masks[layer.name], matrices[layer.name] = mask, self._sparse(agent, layer, mask)
            turning = layer.cols**2 if agent.basis == "svd" else 0
            multiply_adds += (count(mask) + turning) * layer.positions
        return Pruned(masks, matrices, multiply_adds, agent.basis == "svd")

    def mask(self, agent: Agent, layer: Layer, kept: int) -> Tensor:
        """(rows, cols) bool of one layer."""
        return self._table(agent, layer).mask(kept)

    def _sparse(self, agent: Agent, layer: Layer, mask: Tensor) -> Tensor:
        dense = self._matrices[layer.name]
        if agent.basis == "svd":
            turned = self._turned(layer)
            sparse = _masked(turned.matrix, mask) @ turned.turn.T
        else:
            sparse = _masked(dense, mask)
        return scaled(sparse, dense, self._statistics[layer.name]) if agent.repair == "scale" else sparse

    def _table(self, agent: Agent, layer: Layer) -> RankTable:
        program = agent.metric(layer.kind)
        scope = "layer" if agent.scope == "global" else agent.scope  # they rank alike
        key = (program.sha256, layer.name, scope, agent.pattern, agent.basis)
        return self._recent.get(key, lambda: self._ranked(program, agent, layer, scope), nbytes=_bytes_of_table)

    def _ranked(self, program: Program, agent: Agent, layer: Layer, scope: str) -> RankTable:
        matrix, statistics = self._matrices[layer.name], self._statistics[layer.name]
        if agent.basis == "svd":
            turned = self._turned(layer)
            matrix, statistics = turned.matrix, turned.statistics
        importance = evaluate(program, matrix.float(), statistics, layer)
        return rank(importance, scope=scope, pattern=agent.pattern)

    def _turned(self, layer: Layer) -> _Turned:
        matrix, statistics = self._matrices[layer.name], self._statistics[layer.name]
        return self._recent.get(("turned", layer.name), lambda: _turn(matrix, statistics), nbytes=_bytes_of_turned)


def count(mask: Tensor) -> int:
    """Weights that a mask keeps."""
    return int(np.count_nonzero(mask.numpy()))


def _masked(matrix: Tensor, mask: Tensor) -> Tensor:
    """What the mask drops is 0.0, whatever it was: a product would keep NaN and signs, and `where` is slower."""
    return (matrix.float().view(torch.int32) & mask.to(torch.int32).neg_()).view(torch.float32)


def _turn(matrix: Tensor, statistics: InputStatistics) -> _Turned:
    """Moments turn exactly; the others are those of a normal distribution, which sums of many inputs are near."""
    turned, turn = svd_orthogonalise(matrix.float())
    wide = turn.double()
    moments = wide.T @ statistics.moments @ wide
    rms = moments.diagonal().clamp(min=0).sqrt()
    found = InputStatistics(
        mean_abs=(rms * sqrt(2 / pi)).float(),
        rms=rms.float(),
        largest=(rms * sqrt(2 * log(max(2, statistics.count)))).float(),
        moments=moments,
        count=statistics.count,
        groups=statistics.groups,
    )
    return _Turned(turned, turn, found)


def _bytes_of_table(table: RankTable) -> int:
    return table.ranks.nbytes


def _bytes_of_turned(turned: _Turned) -> int:
    return turned.matrix.nbytes + turned.turn.nbytes + turned.statistics.moments.nbytes
