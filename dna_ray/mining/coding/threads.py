"""Threads of numba: as many as torch has."""

import numba
import torch


def share_threads() -> None:
    """Has numba use as many threads as torch does here, from now on.

    Both keep their number in OpenMP: when numba starts its threads, torch has as many as there are processors. Two
    workers of one thread each were slowed down five times by that, waiting for each other's threads.
    """
    number = torch.get_num_threads()
    numba.set_num_threads(min(number, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    torch.set_num_threads(number)
