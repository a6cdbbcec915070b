import subprocess
import sys

PROGRAM = """
import threading

import torch

from dna_ray.mining.coding.threads import share_threads


def ask():
    torch.set_num_threads(1)
    share_threads()
    print(torch.get_num_threads())


thread = threading.Thread(target=ask)
thread.start()
thread.join()
"""


def test_torch_keeps_its_threads_when_numba_starts_its_own():
    """In a process of its own, since numba starts its threads once; and not in its main thread, as on Ray Train."""
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"
