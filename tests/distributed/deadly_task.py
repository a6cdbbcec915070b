"""A task of a user's own that takes its process with it when a network keeps next to nothing of its smallest layer."""

import os
import signal

from dna_ray.networks import Network

FEW = 10  # weights


def loss(network: Network) -> float:
    weights = [network.read(info.name) for info in network.anatomy.matrices]
    if int((min(weights, key=lambda each: each.numel()) != 0).sum()) < FEW:
        os.kill(os.getpid(), signal.SIGKILL)
    return -float(sum(each.abs().sum() for each in weights))
