"""How far an agent is from what there was: its mean distance to the nearest ones in behaviour space [1].

[1] Lehman and Stanley 2011, "Abandoning objectives: evolution through the search for novelty alone", section 3.
"""

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10


class Novelty:
    """Points in behaviour space, each with the distances to its nearest ones, which a new point brings up to date."""

    def __init__(self, axes: int, *, neighbours: int = NEIGHBOURS) -> None:
        self._points: NDArray[np.float64] = np.empty((64, axes))
        self._nearest: NDArray[np.float64] = np.empty((64, neighbours))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, point: NDArray[np.float64]) -> None:
        if self._count == len(self._points):
            self._points = np.concatenate((self._points, np.empty_like(self._points)))
            self._nearest = np.concatenate((self._nearest, np.empty_like(self._nearest)))
        apart = self._points[: self._count] - point
        distances = np.sqrt(np.einsum("ij,ij->i", apart, apart))
        nearest = self._nearest[: self._count]
        closer = np.flatnonzero(distances < nearest[:, -1])
        nearest[closer, -1] = distances[closer]
        nearest[closer] = np.sort(nearest[closer], axis=1)
        own = np.full(self._nearest.shape[1], np.inf)
        few = min(len(own), len(distances))
        if few:
            own[:few] = np.sort(np.partition(distances, few - 1)[:few])
        self._points[self._count], self._nearest[self._count] = point, own
        self._count += 1

    def scores(self) -> NDArray[np.float64]:
        """Of all points in their order, as z-scores: mean 0, standard deviation 1; 0 where all are alike."""
        nearest = self._nearest[: self._count]
        known = np.isfinite(nearest)
        means = np.where(known, nearest, 0).sum(1) / np.maximum(known.sum(1), 1)
        spread = float(means.std()) if len(means) else 0.0
        return (means - means.mean()) / spread if spread > 1e-12 else np.zeros(len(means))
