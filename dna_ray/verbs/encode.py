"""Encodes a network into the kind `coded`, here or on Ray."""

import contextlib
from functools import partial

from dna_ray.mining import KINDS, coded
from dna_ray.mining.budget import fit_to_file
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field
from dna_ray.mining.kind import Kind, Payload
from dna_ray.networks import Network
from dna_ray.recipe import MineHow
from dna_ray.verbs.progress import Progress

_BYTES = 6  # that a weight takes in the object store: its value, and its index of this pass and the one before


def encode(network: Network, field: Field, config: MineConfig, how: MineHow, progress: Progress) -> Payload:
    """The payload; its bytes do not depend on `how`.

    Raises:
        KeyboardInterrupt: Someone asked to stop.
        BudgetError, ResourceError, UnreachableError: As they say.
    """
    if not how.workers:
        with progress.stage("encode"):
            return fit_to_file(network, field, config, KINDS[config.kind])
    from dna_ray.distributed.cluster import ray_cluster

    with contextlib.ExitStack() as cluster:
        with progress.stage("connect to Ray" if how.address else "start Ray"):
            cluster.enter_context(ray_cluster(how.address, workers=how.workers, held=_BYTES * field.anatomy.weights))
            from dna_ray.distributed.encode import RayRunner

        runner = RayRunner(workers=how.workers, threads=how.threads, stopping=lambda: progress.stopping)
        with progress.stage("encode"):
            return fit_to_file(network, field, config, Kind(partial(coded.fit, runner=runner), coded.decode))
