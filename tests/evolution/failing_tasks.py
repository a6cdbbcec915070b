"""Tasks of a user's own that fail."""

from dna_ray.networks import Network


def half_fails(network: Network) -> float:
    """For networks with an odd fingerprint."""
    if int(network.fingerprint[-1], 16) % 2:
        raise ValueError("odd")
    return float(int(network.fingerprint[:4], 16))


def always_fails(network: Network) -> float:
    raise ValueError("never")
