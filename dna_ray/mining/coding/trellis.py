"""The trellis of dependent quantization: which quantizer a state uses, and where an index leads.

A scalar grid of step 1 is split into four subsets by its integers modulo 4, and two of them make a quantizer. A path
through the trellis chooses the quantizer of every value, so that a row of values is quantised on a denser packing than
any scalar grid [1, 2]. The quantizers are those of entropy-coded trellis quantization with a common zero [3]:

    quantizer 0: 2 k                     (even multiples of the step)
    quantizer 1: sign(k) (2 |k| - 1)     (odd multiples, and zero)

The state is a register of v bits w_1 ... w_v. w_1 names the quantizer, and the parity z of the index moves the register
on: w_j' = w_(j+1) ^ h0_j w_1 ^ h1_j z, with Ungerboeck's parity-check polynomials [4, table I].

[1] T. R. Fischer, M. Wang, Entropy-constrained trellis-coded quantization, IEEE Trans. Inf. Theory 38 (1992).
[2] M. W. Marcellin, On entropy-constrained trellis coded quantization, IEEE Trans. Commun. 42 (1994).
[3] R. L. Joshi, V. J. Crump, T. R. Fischer, Image subband coding using arithmetic coded trellis coded quantization,
    IEEE Trans. Circuits Syst. Video Technol. 5 (1995).
[4] G. Ungerboeck, Channel coding with multilevel/phase signals, IEEE Trans. Inf. Theory 28 (1982).
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATES = (4, 8, 16, 32, 64, 128, 256)
_POLYNOMIALS = {
    4: (0o2, 0o5),
    8: (0o4, 0o13),
    16: (0o4, 0o23),
    32: (0o10, 0o45),
    64: (0o24, 0o103),
    128: (0o126, 0o235),
    256: (0o362, 0o515),
}


@dataclass(frozen=True, slots=True, eq=False)
class Trellis:
    """The state machine, as tables.

    Attributes:
        states: Number of states. Every row of values starts in state 0.
        following: (states, 2) uint8: the state after an index of even (0) or odd (1) parity.
        before: (states, 2) uint8: the two states from which a state is reached ...
        branch: (states, 2) uint8: ... and 2 * quantizer + parity of the index on the way.
    """

    states: int
    following: NDArray[np.uint8]
    before: NDArray[np.uint8]
    branch: NDArray[np.uint8]

    @property
    def ways(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Into each state."""
        return self.before, self.branch


@functools.cache
def trellis(states: int) -> Trellis:
    """The trellis with that many states.

    Raises:
        ValueError: There is none; see `STATES`.
    """
    if states not in _POLYNOMIALS:
        raise ValueError(f"states must be one of {', '.join(map(str, STATES))}, got {states}")
    h1, h0 = _POLYNOMIALS[states]
    state = np.arange(states)[:, None]
    first, parity = state & 1, np.arange(2)[None, :]
    following = (state >> 1) ^ (h0 >> 1) * first ^ (h1 >> 1) * parity
    return Trellis(states, following.astype(np.uint8), *_reversed(following))


def quantizer(state: NDArray[Any]) -> NDArray[Any]:
    """0 or 1 for each state."""
    return state & 1


def _reversed(following: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    state, parity = np.divmod(np.argsort(following.reshape(-1), kind="stable").reshape(-1, 2), 2)
    return state.astype(np.uint8), (2 * quantizer(state) + parity).astype(np.uint8)
