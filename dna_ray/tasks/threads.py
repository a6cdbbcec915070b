"""Threads of torch, on which the last bits of its sums depend."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def threads_of_torch(number: int) -> Iterator[None]:
    """Within, torch adds up with so many threads, whatever their number was."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
