import numpy as np
import pytest

from dna_ray.mining.coding.trellis import STATES, quantizer, trellis

UNGERBOECK = {  # states: (h1, h0), table I of the paper, in octal
    4: (0o2, 0o5),
    8: (0o4, 0o13),
    16: (0o4, 0o23),
    32: (0o10, 0o45),
    64: (0o24, 0o103),
    128: (0o126, 0o235),
    256: (0o362, 0o515),
}


def _bit(number: int, place: int) -> int:
    return number >> place & 1


@pytest.mark.parametrize("states", STATES)
def test_the_register_moves_on_bit_by_bit_as_the_polynomials_say(states: int):
    (h1, h0), v = UNGERBOECK[states], states.bit_length() - 1
    for state in range(states):
        w = [0, *(_bit(state, j) for j in range(v)), 0]  # w[1] ... w[v], as the paper counts
        for parity in (0, 1):
            moved = [w[j + 1] ^ _bit(h0, j) & w[1] ^ _bit(h1, j) & parity for j in range(1, v + 1)]
            assert trellis(states).following[state, parity] == sum(bit << j for j, bit in enumerate(moved))


@pytest.mark.parametrize("states", STATES)
def test_every_state_has_two_successors_and_two_predecessors(states: int):
    following = trellis(states).following
    assert following.shape == (states, 2)
    assert (following[:, 0] != following[:, 1]).all()
    assert (np.bincount(following.reshape(-1), minlength=states) == 2).all()


@pytest.mark.parametrize("states", STATES)
def test_before_and_branch_are_the_inverse_of_following(states: int):
    found = trellis(states)
    ways = {
        (int(before), int(branch) & 1, state)
        for state in range(states)
        for before, branch in zip(found.before[state], found.branch[state], strict=True)
    }
    assert ways == {(s, parity, int(found.following[s, parity])) for s in range(states) for parity in (0, 1)}
    assert np.array_equal(found.branch >> 1, quantizer(found.before))


@pytest.mark.parametrize("states", STATES)
def test_zeros_stay_in_the_state_where_every_row_begins(states: int):
    assert trellis(states).following[0, 0] == 0
    assert quantizer(np.array(0)) == 0


@pytest.mark.parametrize("states", STATES)
def test_as_many_indices_as_the_register_has_bits_lead_anywhere(states: int):
    for start in range(states):
        reached = np.array([start])
        for _ in range(states.bit_length() - 1):
            reached = trellis(states).following[reached].reshape(-1)
        assert sorted(reached.tolist()) == list(range(states))


@pytest.mark.parametrize("states", [0, 1, 2, 5, 512])
def test_other_numbers_of_states_are_refused(states: int):
    with pytest.raises(ValueError, match=f"one of 4, 8, 16, 32, 64, 128, 256, got {states}"):
        trellis(states)
