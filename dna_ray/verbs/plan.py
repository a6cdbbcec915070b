"""What `mine --dry-run` shows: sizes, workers, memory, disk and time, estimated before anything is written."""

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.console import Group, RenderableType
from rich.table import Table

from dna_ray.mining import KINDS
from dna_ray.mining.budget import file_budget, fit_to_file
from dna_ray.mining.config import SINE_KINDS, MineConfig
from dna_ray.mining.cost import Cost, cost
from dna_ray.mining.dna import file_size
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.sine import fast_dtype
from dna_ray.networks import Network
from dna_ray.networks.published import load_or_shapes
from dna_ray.recipe import CompareRecipe, MineRecipe
from dna_ray.verbs.plan_unseen import GPU, cost_unseen, folder_unseen, gpu_seconds
from dna_ray.verbs.progress import Progress
from dna_ray.verbs.result import count, duration, plain, size
from dna_ray.verbs.runs import planned_folder
from dna_ray.verbs.train import plan_job

_EFFICIENCY = 0.3  # share of the processor's rate of products that a step reaches, roughly
_RAY_SECONDS = 30.0  # for a local cluster and its workers to start


@dataclass(frozen=True, kw_only=True, slots=True)
class MinePlan:
    """An estimate.

    Attributes:
        run: The folder that the run would have.
        file_bytes: Size of the DNA file.
        cost: Of training; None where the kind does not train.
        seconds: Of training on this machine, or on the GPUs that the recipe names, within a factor of about two; None
            where the kind does not train.
        free_memory, free_disk: What there is now, in bytes.
        traffic: Bytes that a worker sends in a step of training; None where that was not planned.
        assumed: What the estimate rests on, beside what was measured here.
    """

    network: str
    kind: str
    run: str
    weights: int
    fp32_bytes: int
    file_bytes: int
    workers: int
    cost: Cost | None
    seconds: float | None
    free_memory: int
    free_disk: int
    traffic: int | None = None
    assumed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __rich__(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        table.add_row(
            "network", f"{self.network}: {count(self.weights, 'matrix weight')}, {size(self.fp32_bytes)} fp32"
        )
        ratio = self.fp32_bytes / self.file_bytes
        table.add_row("DNA", f"{self.kind}, {self.file_bytes:,} bytes, ratio {ratio:.2f}")
        if self.cost is not None and self.seconds is not None:
            _cost_rows(table, self.cost, self.workers, self.seconds)
        if self.traffic:
            table.add_row("traffic", f"{size(self.traffic)} sent by each worker in a step")
        for each in self.assumed:
            table.add_row("assumed", each)
        table.add_row("free here", f"{size(self.free_memory)} of memory, {size(self.free_disk)} of disk")
        return Group(plain(f"would run in {self.run}"), table)


def plan_mine(recipe: MineRecipe, progress: Progress) -> MinePlan:
    """Plans without writing.

    Raises:
        BudgetError: No file of this kind is that small.
    """
    with progress.stage("load"):
        network, unseen = load_or_shapes(recipe.what.network)
        field = None if unseen else read_field(network)
    if field is None:
        with progress.stage("plan"):
            return _plan_unseen(network, recipe, unseen)
    return plan_kind(network, field, recipe.what.config, recipe, progress)


def _plan_unseen(network: Network, recipe: MineRecipe, unseen: str) -> MinePlan:
    config, how = recipe.what.config, recipe.how
    found, traffic, assumed = cost_unseen(network, recipe)
    on_gpus = how.device.startswith("cuda")
    seconds = None
    if found is not None:
        seconds = gpu_seconds(found, how.workers, traffic or 0) if on_gpus else _seconds(found, how.workers)
    return MinePlan(
        network=network.name,
        kind=config.kind,
        run=folder_unseen(recipe),
        weights=network.anatomy.weights,
        fp32_bytes=network.anatomy.fp32_bytes,
        file_bytes=file_budget(network, config) or 0,
        workers=how.workers,
        cost=found,
        seconds=seconds,
        free_memory=psutil.virtual_memory().available,
        free_disk=shutil.disk_usage(existing(Path(how.home))).free,
        traffic=traffic,
        assumed=(unseen, *assumed, *((GPU,) if found and on_gpus else ())),
    )


def plan_kind(
    network: Network, field: Field, config: MineConfig, recipe: MineRecipe | CompareRecipe, progress: Progress
) -> MinePlan:
    """The plan of one kind: sine kinds are drafted, the others are fitted, which is quick.

    Raises:
        BudgetError: No file of this kind is that small.
    """
    found, seconds = None, None
    folder = planned_folder(recipe, network.fingerprint)
    with progress.stage("plan"):
        if config.kind in SINE_KINDS:
            job = plan_job(network, field, config, recipe.how, folder)
            found = cost(job.shape, network.anatomy, config, workers=recipe.how.workers)
            seconds = _seconds(found, recipe.how.workers)
            file_bytes = file_budget(network, config) or 0
        else:
            payload = fit_to_file(network, field, config, KINDS[config.kind])
            file_bytes = file_size(network=network, kind=config.kind, payload=payload)
    return MinePlan(
        network=network.name,
        kind=config.kind,
        run=str(folder),
        weights=network.anatomy.weights,
        fp32_bytes=network.anatomy.fp32_bytes,
        file_bytes=file_bytes,
        workers=recipe.how.workers,
        cost=found,
        seconds=seconds,
        free_memory=psutil.virtual_memory().available,
        free_disk=shutil.disk_usage(existing(folder)).free,
    )


def existing(folder: Path) -> Path:
    """The nearest folder above that is there."""
    return next(each for each in [folder, *folder.resolve().parents] if each.exists())


def _cost_rows(table: Table, found: Cost, workers: int, seconds: float) -> None:
    who = count(workers, "worker") if workers else "this process"
    table.add_row("functions", f"{found.functions:,} of {found.parameters:,} parameters, {found.places:,} places")
    table.add_row("training", f"{count(found.steps, 'step')} of {found.points:,} points, about {duration(seconds)}")
    table.add_row("operations", f"{found.training_flops:.2e} to train, {found.rebuild_flops:.2e} to rebuild")
    table.add_row("memory", f"{size(found.worker_bytes)} in each of {who}, above an idle one")
    table.add_row("disk", f"{size(found.disk_bytes)} for tiles and checkpoints")


def _seconds(found: Cost, workers: int) -> float:
    """Operations over the rate that this machine shows in a short trial, and the start of Ray."""
    cores = psutil.cpu_count() or 1
    share = min(1.0, max(1, workers) / cores) if workers else 1.0
    moved = 60.0 * (found.places + found.functions * found.parameters) * found.steps / 2e9  # optimizer, in seconds
    return found.training_flops / (_EFFICIENCY * _rate() * share) + moved + (_RAY_SECONDS if workers else 0)


def _rate() -> float:
    """Operations a second of square products on all cores, in the dtype that training would choose."""
    dtype = fast_dtype(torch.device("cpu"))
    left, right = torch.ones(1024, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    rates = []
    for _ in range(5):
        began = time.perf_counter()
        left @ right
        rates.append(2 * 1024 * 512 * 512 / (time.perf_counter() - began))
    return max(rates)
