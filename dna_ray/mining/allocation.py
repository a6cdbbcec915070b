"""Spends a number of bytes where they save the most squared error: reverse water-filling with real costs.

[1] Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", IEEE Trans. ASSP 36, 1988.
"""

import numpy as np
from jaxtyping import Float, Int


def allocate(
    error: Float[np.ndarray, "items options"], cost: Int[np.ndarray, "items options"], budget: int
) -> Int[np.ndarray, " items"]:
    """Picks one option for each item, with the least total error whose total cost is at most `budget`.

    One slope for all items (a Lagrangian [1]) leaves less than one item's step unspent; what is left is then spent
    greedily.

    Args:
        error: Squared error of each option.
        cost: Bytes of each option. Option 0 must be the cheapest of its row.
        budget: Bytes to spend, at least the sum of all options 0.
    """
    items = np.arange(len(error))
    low, high = 0.0, 2 * float(error.max(initial=0.0)) + 1e-300  # squared error a byte; at `high` nothing is bought
    chosen = np.zeros(len(error), np.int64)
    for _ in range(60):
        slope = max(np.sqrt(low * high), high * 1e-6)
        trial = np.argmin(error + slope * cost, axis=1)
        if cost[items, trial].sum() <= budget:
            chosen, high = trial, slope
        else:
            low = slope
    return _spend_rest(chosen, error, cost, budget)


def _spend_rest(
    chosen: Int[np.ndarray, " items"],
    error: Float[np.ndarray, "items options"],
    cost: Int[np.ndarray, "items options"],
    budget: int,
) -> Int[np.ndarray, " items"]:
    """Upgrades items, best saving a byte first, until no upgrade fits any more."""
    items = np.arange(len(error))
    chosen = chosen.copy()
    while True:
        extra = cost - cost[items, chosen][:, None]
        saving = error[items, chosen][:, None] - error
        left = budget - int(cost[items, chosen].sum())
        worth = np.where((extra <= left) & (saving > 0), saving / np.maximum(extra, 1), 0.0)
        best = worth.argmax(axis=1)
        order = np.argsort(-worth[items, best], kind="stable")[:256]
        order = order[worth[order, best[order]] > 0]
        if not len(order):
            return chosen
        affordable = order[np.cumsum(np.maximum(extra[order, best[order]], 0)) <= left]
        upgraded = affordable if len(affordable) else order[:1]
        chosen[upgraded] = best[upgraded]
