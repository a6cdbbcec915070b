"""Encodes blocks as Ray tasks: values lie in the object store, and any worker takes the next block."""

from collections.abc import Callable, Sequence
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from dna_ray.distributed.placement import SPREAD
from dna_ray.errors import ResourceError
from dna_ray.mining.coding.passes import Handle, Source

MAX_RETRIES = 8  # losses of workers that a block survives


class RayRunner:
    """Runs functions of blocks on the connected cluster; a block whose worker is lost is done again elsewhere.

    Args:
        workers: Blocks that are worked on at a time.
        threads: Of each.
        stopping: Asked before each round of blocks.

    Raises:
        KeyboardInterrupt: From `map`, when someone asked to stop.
        ResourceError: From `map`, when workers were lost too often, or the object store is full.
    """

    def __init__(self, *, workers: int, threads: int, stopping: Callable[[], bool]) -> None:
        self._workers, self._threads, self._stopping = workers, threads, stopping
        task = ray.remote(num_cpus=1, num_returns=2, max_retries=MAX_RETRIES, scheduling_strategy=SPREAD)
        self._run = task(_run)

    def hold(self, make: Callable[[], Source]) -> Handle:
        return ray.put(make())

    def map(self, function: Callable[..., tuple[Any, Any]], items: Sequence[tuple[Any, ...]]) -> list[tuple[Any, Any]]:
        if self._stopping():
            raise KeyboardInterrupt
        shared = _put_once(items)
        started: list[list[ray.ObjectRef[Any]]] = []
        try:
            for item in items:
                waiting = [first for first, _ in started]
                if len(waiting) >= self._workers:
                    ray.wait(waiting, num_returns=len(waiting) - self._workers + 1)
                arguments = [shared.get(id(argument), argument) for argument in item]
                started.append(self._run.remote(function, self._threads, *arguments))
            return [(ray.get(first), second) for first, second in started]
        except RayTaskError:
            raise
        except RayError as error:
            raise ResourceError(
                f"a block could not be encoded on Ray ({str(error).strip().splitlines()[0]}); see `dna-ray doctor`, "
                "or use --workers 0"
            ) from error


def _put_once(items: Sequence[tuple[Any, ...]]) -> dict[int, Any]:
    """References to what all items have in common, such as scales and costs, by identity."""
    if len(items) < 2:
        return {}
    common = set.intersection(*({id(argument) for argument in item} for item in items))
    plain = (int, float, str, ray.ObjectRef)
    return {id(each): ray.put(each) for each in items[0] if id(each) in common and not isinstance(each, plain)}


def _run(function: Callable[..., tuple[Any, Any]], threads: int, *arguments: Any) -> tuple[Any, Any]:
    torch.set_num_threads(threads)
    return function(*arguments)
