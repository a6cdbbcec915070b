"""Heals a coded network, here or on Ray, and tells the journal."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dna_ray.mining import checkpoints, coded, healing
from dna_ray.mining.budget import fit_to_file
from dna_ray.mining.coding.analysis import Known
from dna_ray.mining.coding.passes import Runner
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import read_dna, write_dna
from dna_ray.mining.field import Field, write_weights
from dna_ray.mining.healing import Healed, HealingPlan, HealJob
from dna_ray.mining.kind import Kind, Payload
from dna_ray.mining.student import start_state
from dna_ray.networks import Network, save
from dna_ray.recipe import MineHow
from dna_ray.tasks import TaskSettings
from dna_ray.tasks.features import Tokens, tokenize
from dna_ray.tasks.texts import select_texts
from dna_ray.tracking.journal import now
from dna_ray.verbs.points import Points, Tell
from dna_ray.verbs.progress import Progress, Stage
from dna_ray.verbs.train import HEALING, device_of, start_workers

_EVERY_TEXT = 10**9

Start = Callable[[], tuple[Payload, Known]]


def heal(
    network: Network,
    field: Field,
    config: MineConfig,
    how: MineHow,
    settings: TaskSettings,
    folder: Path,
    *,
    start: Start,
    runner: Runner,
    progress: Progress,
    tell: Tell,
) -> tuple[Payload, list[dict[str, float]]]:
    """The healed payload at the same budget, and the points of the curve that this process saw.

    Goes on from the newest checkpoint in `folder`, on storage that all workers see.

    Args:
        start: Makes the payload that is healed, and says how much errors in it matter; not called again on resuming.
        runner: Where blocks are encoded.

    Raises:
        KeyboardInterrupt: Someone asked to stop; the state is saved.
        TaskError: There are too few texts.
        QualityError, ResourceError: As they say.
    """
    job = _laid_out(network, field, config, how, settings, folder.resolve() / HEALING, start)
    points = Points(tell)
    if healing.result(job) is None:
        _run(job, how, points, tell, progress)
    if (healed := healing.result(job)) is None:
        raise KeyboardInterrupt
    moved = replace(field, read=lambda name: healed[name] if name in healed else field.read(name))
    before, fed = read_dna(job.start).payload, healing.feedback(job)

    def feedback(number: int) -> Any:
        matrix = fed.get(field.anatomy.matrices[number].name)
        return None if matrix is None else matrix.numpy()

    def fit(weights: Field, budget: int | None, own: MineConfig) -> Payload:
        payload = coded.refit(weights, budget or 0, own, before, feedback, runner)
        return replace(payload, params={**before.params, **payload.params, "healed": _note(config, job.tokens)})

    with progress.stage("encode"):
        return fit_to_file(network, moved, config, Kind(fit, coded.decode)), points.told


def healing_texts(network: Network, settings: TaskSettings) -> Tokens:
    """All texts of the healing split, as the network reads them.

    Raises:
        TaskError: There are too few, or the network does not read text.
    """
    every = replace(settings, split="healing", limit=_EVERY_TEXT)
    return tokenize(network, select_texts(every), max_length=settings.max_length)


def _laid_out(
    network: Network,
    field: Field,
    config: MineConfig,
    how: MineHow,
    settings: TaskSettings,
    folder: Path,
    start: Start,
) -> HealJob:
    """Writes what workers read: the original, the DNA that is healed, and checkpoint 0. What is there is left."""
    folder.mkdir(parents=True, exist_ok=True)
    job = HealJob(
        network=folder / "original",
        start=folder / "start.safetensors",
        checkpoints=folder / "checkpoints",
        tokens=healing_texts(network, settings),
        plan=HealingPlan(steps=config.steps, seed=config.seed),
        checkpoint_every=how.checkpoint_every,
    )
    if not job.network.exists():
        save(write_weights(field), job.network, anatomy=network.anatomy, config=network.config, files=network.files)
    if 0 not in checkpoints.saved_steps(job.checkpoints):
        payload, known = start()
        job.start.unlink(missing_ok=True)
        write_dna(job.start, network=network, kind="coded", payload=payload)
        healing.lay_out(job, start_state(field, payload, known))
    return job


def _run(job: HealJob, how: MineHow, points: Points, tell: Tell, progress: Progress) -> None:
    done = checkpoints.saved_steps(job.checkpoints)[-1]
    events = start_workers(healing.heal, job, how, progress) if how.workers else _here(job, how, progress)
    with progress.stage("heal", total=job.plan.steps, done=done) as stage:
        try:
            _follow(events, points, tell, stage, done)
        finally:
            points.flush()


def _here(job: HealJob, how: MineHow, progress: Progress) -> Iterator[Any]:
    return healing.heal(job, device=device_of(how.device), stopping=lambda: progress.stopping)


def _follow(events: Iterator[Any], points: Points, tell: Tell, stage: Stage, done: int) -> None:
    for event in events:
        if not isinstance(event, Healed):
            if event.step:
                tell({"event": "resumed", "step": event.step, "workers": event.workers})
            continue
        points.add(_point(event))
        if points.due or event.last or event.stopped:
            points.flush()
        stage.advance(max(0, event.number - done), loss=event.loss, cosine=event.cosine)
        done = max(done, event.number)


def _point(step: Healed) -> dict[str, float]:
    return {"step": step.number, "time": now(), "loss": step.loss, "cosine": step.cosine, "lr": step.lr}


def _note(config: MineConfig, tokens: Tokens) -> dict[str, Any]:
    """What the file says of its healing."""
    return {"task": config.heal, "steps": config.steps, "texts": len(tokens), "sha256": tokens.fingerprint}
