"""A task of a user's own that takes its process with it when a network keeps next to nothing of a layer."""

import os
import signal

from dna_ray.networks import Network

FEW = 2  # weights


def loss(network: Network) -> float:
    weights = [network.read(info.name) for info in network.anatomy.matrices]
    if any(int((each != 0).sum()) < FEW for each in weights):
        os.kill(os.getpid(), signal.SIGKILL)
    return -float(sum(each.abs().sum() for each in weights))
