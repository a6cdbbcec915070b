"""Encodes a network into the kind `coded`, here or on Ray."""

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dna_ray.mining import coded
from dna_ray.mining.budget import fit_to_file
from dna_ray.mining.coding.analysis import Known
from dna_ray.mining.coding.passes import Here, Runner
from dna_ray.mining.config import MineConfig
from dna_ray.mining.field import Field
from dna_ray.mining.kind import Kind, Payload
from dna_ray.networks import Network, in_memory
from dna_ray.recipe import MineHow
from dna_ray.tasks import TaskSettings, sensitivity
from dna_ray.tasks.threads import threads_of_torch
from dna_ray.verbs.heal import heal
from dna_ray.verbs.points import Tell
from dna_ray.verbs.progress import Progress

_BYTES = 6  # that a weight takes in the object store: its value, and its index of this pass and the one before


def encode(
    network: Network,
    field: Field,
    config: MineConfig,
    how: MineHow,
    settings: TaskSettings,
    folder: Path,
    *,
    progress: Progress,
    tell: Tell,
) -> tuple[Payload, list[dict[str, float]]]:
    """The payload, calibrated and healed if asked for, and the points of the curve of healing.

    Without healing its bytes do not depend on `how`.

    Args:
        settings: Where texts come from, and the device that reads them.
        folder: Receives what healing resumes from; on storage that all workers see.

    Raises:
        KeyboardInterrupt: Someone asked to stop.
        TaskError: The network cannot be calibrated or healed.
        BudgetError, ResourceError, UnreachableError: As they say.
    """
    with contextlib.ExitStack() as cluster:
        runner = _runner(field, config, how, progress, cluster)

        def start() -> tuple[Payload, Known]:
            known, note = _calibrated(network, config, settings, runner, progress) if config.calibration else ({}, {})
            with progress.stage("encode"):
                return fit_to_file(
                    network, field, config, Kind(partial(_fit, runner, known, note), coded.decode)
                ), known

        if config.heal is None:
            return start()[0], []
        return heal(
            network,
            field,
            config,
            how,
            settings,
            folder,
            start=start,
            runner=runner,
            progress=progress,
            tell=tell,
        )


def _runner(
    field: Field, config: MineConfig, how: MineHow, progress: Progress, cluster: contextlib.ExitStack
) -> Runner:
    if not how.workers:
        return Here()
    from dna_ray.distributed.cluster import ray_cluster

    held = _BYTES * field.anatomy.weights
    if config.calibration:  # second moments of each part, and what errors are fed by; the network on its way to workers
        squares = sum(4 * info.matrix_shape[1] ** 2 for info in field.anatomy.matrices)
        held += (sensitivity.PARTS + 1) * squares + field.anatomy.fp32_bytes
    with progress.stage("connect to Ray" if how.address else "start Ray"):
        cluster.enter_context(ray_cluster(how.address, workers=how.workers, held=held, insecure=how.insecure))
        from dna_ray.distributed.encode import RayRunner

    return RayRunner(workers=how.workers, threads=how.threads, stopping=lambda: progress.stopping)


def _calibrated(
    network: Network, config: MineConfig, settings: TaskSettings, runner: Runner, progress: Progress
) -> tuple[Known, dict[str, Any]]:
    """How much errors in each matrix matter, and what the file says of it; the runner reads the texts, in parts."""
    settings = replace(settings, split="calibration", limit=config.calibration_texts)
    with progress.stage("calibrate"):
        tokens, own = sensitivity.tokenized(network, settings), in_memory(network)
        parts = [(own, tokens, part, settings) for part in range(sensitivity.PARTS)]
        counts = sensitivity.token_counts(network, settings)
        known = sensitivity.combined(network, [sums for sums, _ in runner.map(_part, parts)], counts)
    note = {"task": config.calibration, "texts": len(tokens), "sha256": tokens.fingerprint}
    return known, {"calibrated": note}


def _fit(
    runner: Runner, known: Known, note: dict[str, Any], field: Field, budget: int | None, config: MineConfig
) -> Payload:
    payload = coded.fit(field, budget, config, runner, known)
    return replace(payload, params={**payload.params, **note})


def _part(*parts: object) -> tuple[dict[str, sensitivity.Sums], None]:
    with threads_of_torch(1):  # whose sums are the same bits wherever they are made
        return sensitivity.sums_of(*parts), None  # type: ignore[arg-type]
