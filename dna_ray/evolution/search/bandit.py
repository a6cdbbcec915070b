"""Which operator makes the next agent: those whose children lately gained most on their parents do so more often.

Probability matching [1] on ranks [2]: a child's credit is the rank of its gain among all gains in the window, so that
neither the scale of the losses nor one great leap decides; the quality of an operator is the mean credit of its
children. A bandit that always plays its best arm, as UCB does, would play one arm through a whole batch, for results
come a batch at a time.

[1] Thierens 2005, "An adaptive pursuit strategy for allocating operator probabilities", section 2.
[2] Fialho, Schoenauer and Sebag 2010, "Toward comparison-based adaptive operator selection".
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 200  # children that are remembered
LEAST = 0.2  # share of all choices that is spread evenly
HOPE = 0.5  # credit of an operator that has no children yet, as if of one child


class Bandit:
    """Chooses among `arms`, which are names.

    >>> bandit = Bandit(("a", "b"))
    >>> for _ in range(20):
    ...     bandit.learn("a", 0.1); bandit.learn("b", -0.1)
    >>> bandit.probabilities()["a"] > 0.8
    True
    """

    def __init__(self, arms: Sequence[str]) -> None:
        self._arms = tuple(arms)
        self._window: deque[tuple[str, float]] = deque(maxlen=WINDOW)
        self._chances: NDArray[np.float64] | None = None

    def learn(self, arm: str, gain: float) -> None:
        """That a child of this operator gained so much on its parent; negative where it is worse."""
        if arm in self._arms:
            self._window.append((arm, gain))
            self._chances = None

    def choose(self, rng: np.random.Generator) -> str:
        if self._chances is None:
            self._chances = np.cumsum(list(self.probabilities().values()))
        place = int(np.searchsorted(self._chances, rng.random(), side="right"))
        return self._arms[min(place, len(self._arms) - 1)]

    def probabilities(self) -> dict[str, float]:
        """How probable each operator is; they add up to 1."""
        credit, children = dict.fromkeys(self._arms, HOPE), dict.fromkeys(self._arms, 1)
        gains = np.array([gain for _, gain in self._window])
        better = np.sort(gains[gains > 0])
        ranks = np.searchsorted(better, gains, side="right") / max(1, len(better))
        for (arm, gain), rank in zip(self._window, ranks.tolist(), strict=True):
            credit[arm] += rank if gain > 0 else 0.0
            children[arm] += 1
        quality = {arm: credit[arm] / children[arm] for arm in self._arms}
        total = sum(quality.values())
        return {arm: LEAST / len(self._arms) + (1 - LEAST) * each / total for arm, each in quality.items()}

    def state(self) -> dict[str, Any]:
        """JSON, which `from_state` reads."""
        return {"arms": list(self._arms), "window": [list(each) for each in self._window]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Bandit":
        """The bandit of which this is the state."""
        bandit = cls(state["arms"])
        for arm, gain in state["window"]:
            bandit.learn(arm, gain)
        return bandit
