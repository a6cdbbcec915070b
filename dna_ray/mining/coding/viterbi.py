"""The cheapest path of each row through the trellis, by squared error / step^2 + lambda * bits (Viterbi).

Thirty-two rows go through the trellis side by side, so that one instruction moves a state of all of them on.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from dna_ray.mining.coding.classes import ClassMap
from dna_ray.mining.coding.trellis import Trellis

LANES = 32  # rows side by side: float32 values of two vector registers of 512 bits
_SETTLE = 64  # positions between two normalisations of the path costs, which float32 adds up
_FAR = np.float32(1e30)
_LARGEST = np.float32(1 << 30)  # magnitude: an index is half of it


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """What an index costs and stands for, by (class, quantizer, magnitude), in units of the step.

    Attributes:
        bits: (classes, 2, magnitudes) float32: the bits of an index with its sign. Larger ones cost as the last.
        points: (classes, 2, magnitudes) float32: its reconstruction point. The last and larger ones lie on the grid.
        shifts: (classes,) int32: low bits of a magnitude that are looked past in both tables, and cost a bit each.
    """

    bits: NDArray[np.float32]
    points: NDArray[np.float32]
    shifts: NDArray[np.int32]

    def tables(self, price: float) -> tuple[Any, ...]:
        """What the search looks up, for lambda."""
        return np.float32(price) * self.bits, self.points, self.shifts, np.float32(price)


def quantise(
    values: NDArray[np.float32],
    of: ClassMap,
    costs: Costs,
    trellis: Trellis,
    price: float,
    states: NDArray[np.uint8] | None = None,
) -> NDArray[np.int32]:
    """Indices of `values`, the best path for each row on its own.

    Args:
        values: (rows, cols), in units of the step.
        of: Class of each value.
        price: Lambda, in squared steps a bit.
        states: Where each row's path begins; holds where it ends afterwards. None: all in state 0.

    Returns:
        (rows, cols) int32.
    """
    indices = np.empty(values.shape, np.int32)
    states = np.zeros(len(values), np.uint8) if states is None else states
    if values.size:
        _quantise(values, (of.rows, of.cols, of.matrix), costs.tables(price), trellis.ways, states, indices)
    return indices


@numba.njit(cache=True, error_model="numpy")
def _branches(u: Any, base: Any, paid: Any, points: Any, cost: Any, best: Any, c: Any, last: Any) -> None:
    """The cheapest index of either parity for the magnitudes `u` in either quantizer: four costs and indices a lane.

    Candidates are the two neighbours on the grid, the one below them, which costs fewer bits, and zero. There is no
    branch on what a value is: which of the four wins cannot be predicted, and so the lanes are vectorised.
    """
    for quantizer in range(2):
        for lane in range(LANES):
            v = u[lane]
            at = base[lane] + np.uint32(quantizer * (last + 1))
            low = np.uint32((v + np.float32(quantizer)) * np.float32(0.5))
            m0, m1 = min(low, np.uint32(last)), min(low + np.uint32(1), np.uint32(last))
            under = max(m0, np.uint32(1)) - np.uint32(1)
            near, above, below = v - points[at + m0], v - points[at + m1], v - points[at + under]
            lower = near * near + paid[at + m0]
            upper = above * above + paid[at + m1]
            less = below * below + paid[at + under] + (_FAR if low == 0 else np.float32(0))
            odd = (low & np.uint32(1)) == 1
            k = low - np.uint32(1) if less < upper else low + np.uint32(1)
            upper = min(upper, less)
            zero = v * v + paid[at]
            even_cost, odd_cost = (upper, lower) if odd else (lower, upper)
            even, other = (k, low) if odd else (low, k)
            cost[2 * quantizer, lane] = min(even_cost, zero)
            cost[2 * quantizer + 1, lane] = odd_cost
            best[c, 2 * quantizer, lane] = np.int32(np.uint32(0) if zero < even_cost else even)
            best[c, 2 * quantizer + 1, lane] = np.int32(other)


@numba.njit(cache=True, error_model="numpy")
def _large(u: Any, of: Any, paid: Any, shift: Any, price: Any, cost: Any, best: Any, c: Any, lane: Any) -> None:
    """The same for a magnitude beyond the tables, whose points lie on the grid."""
    last = paid.shape[2] - 1
    for quantizer in range(2):
        low = int((u + np.float32(quantizer)) * np.float32(0.5))
        for k in (low, low + 1):
            off = u - np.float32(2 * k - (1 if quantizer == 1 and k > 0 else 0))
            branch = 2 * quantizer + (k & 1)
            cost[branch, lane] = off * off + paid[of, quantizer, min(k >> shift, last)] + price * np.float32(shift)
            best[c, branch, lane] = k


@numba.njit(cache=True, error_model="numpy")
def _meet(path: Any, cost: Any, before: Any, branch: Any, onward: Any, chosen: Any, c: Any) -> None:
    """Of the two paths that meet in a state, the cheaper goes on; which one it was is a bit for each lane."""
    for s in range(before.shape[0]):
        p0, p1, b0, b1 = before[s, 0], before[s, 1], branch[s, 0], branch[s, 1]
        second = np.uint32(0)
        for lane in range(LANES):
            a = path[p0, lane] + cost[b0, lane]
            b = path[p1, lane] + cost[b1, lane]
            second |= np.uint32(b < a) << np.uint32(lane)
            onward[s, lane] = min(a, b)
        chosen[c, s] = second


@numba.njit(cache=True, error_model="numpy")
def room(n_cols: Any, n_states: Any) -> Any:
    """Arrays for the paths of a group of rows over so many columns; nothing in them lasts from one use to the next."""
    path, onward = (
        np.full((n_states, LANES), _FAR, np.float32),
        np.empty((n_states, LANES), np.float32),
    )
    chosen, best = np.empty((n_cols, n_states), np.uint32), np.empty((n_cols, 4, LANES), np.int32)
    cost = np.empty((4, LANES), np.float32)
    return path, onward, chosen, best, cost, np.zeros(LANES, np.float32), np.zeros(LANES, np.uint32)


@numba.njit(cache=True, error_model="numpy")
def follow(
    values: Any,
    first: Any,
    lanes: Any,
    start: Any,
    end: Any,
    of: Any,
    tables: Any,
    code: Any,
    states: Any,
    indices: Any,
    rooms: Any,
) -> None:
    """Settles the paths of `lanes` rows over the columns from `start` to `end`: writes indices, moves states on.

    The rows are those from `first` on.
    """
    (rows, cols, matrix), (paid, points, shifts, price), (before, branch) = of, tables, code
    path, onward, chosen, best, cost, u, base = rooms
    flat_paid, flat_points = paid.reshape(-1), points.reshape(-1)
    highest, width = paid.shape[0] - 1, paid.shape[2]
    path[:] = _FAR
    for lane in range(lanes):
        path[states[first + lane], lane] = 0
    for c in range(start, end):
        beyond = False
        for lane in range(lanes):
            r = first + lane
            own = min(max(rows[r] + cols[matrix[r], c], 0), highest)
            u[lane] = min(abs(values[r, c]), _LARGEST)
            base[lane] = own * 2 * width
            beyond |= shifts[own] > 0 or u[lane] >= 2 * (width - 2)
        _branches(u, base, flat_paid, flat_points, cost, best, c - start, width - 1)
        if beyond:
            for lane in range(lanes):
                own = base[lane] // (2 * width)
                if shifts[own] > 0 or u[lane] >= 2 * (width - 2):
                    _large(u[lane], own, paid, shifts[own], price, cost, best, c - start, lane)
        _meet(path, cost, before, branch, onward, chosen, c - start)
        path, onward = onward, path
        if (c - start) % _SETTLE == 0:
            _settle(path)
    for lane in range(lanes):
        r = first + lane
        states[r] = _trace(lane, path, chosen, best, branch, before, values[r, start:end], indices[r, start:end])


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _quantise(values: Any, of: Any, tables: Any, code: Any, states: Any, indices: Any) -> None:
    n_rows, n_cols = values.shape
    for group in numba.prange((n_rows + LANES - 1) // LANES):
        first = group * LANES
        rooms = room(n_cols, code[0].shape[0])
        follow(values, first, min(LANES, n_rows - first), 0, n_cols, of, tables, code, states, indices, rooms)


@numba.njit(cache=True, error_model="numpy")
def _settle(path: Any) -> None:
    for lane in range(LANES):
        least = path[0, lane]
        for s in range(path.shape[0]):
            least = min(least, path[s, lane])
        for s in range(path.shape[0]):
            path[s, lane] -= least


@numba.njit(cache=True, error_model="numpy")
def _trace(lane: Any, path: Any, chosen: Any, best: Any, branch: Any, before: Any, values: Any, indices: Any) -> Any:
    """Writes the indices along the cheapest path of a lane back from its end, and returns the state there."""
    end = 0
    for s in range(path.shape[0]):
        if path[s, lane] < path[end, lane]:
            end = s
    state = end
    for c in range(values.shape[0] - 1, -1, -1):
        way = (chosen[c, state] >> np.uint32(lane)) & np.uint32(1)
        k = best[c, branch[state, way], lane]
        indices[c] = k if values[c] >= 0 else -k
        state = before[state, way]
    return end
