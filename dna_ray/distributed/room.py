"""Whether the connected cluster has room for what is to be started: Ray itself would wait for ever, and say nothing."""

import time
from collections.abc import Mapping

import ray

from dna_ray.errors import ResourceError

_SECONDS = 5.0  # for what Ray still holds for workers that have just ended


def check_room(resources: Mapping[str, float]) -> None:
    """Room for one evaluator that needs `resources`, such as `{"CPU": 1}`.

    Raises:
        ResourceError: There is none, and none came free.
    """
    deadline = time.monotonic() + _SECONDS
    while short := [name for name, need in resources.items() if ray.available_resources().get(name, 0) < need]:
        if time.monotonic() > deadline:
            found = ", ".join(f"{ray.available_resources().get(name, 0):g} of {name}" for name in short)
            needs = ", ".join(f"{resources[name]:g} of {name}" for name in short)
            raise ResourceError(
                f"the cluster has {found} free, and an evaluator needs {needs}; wait for others, or use --workers 0"
            )
        time.sleep(0.1)
