"""Healing: a network learns to answer as before it was coded, with its codes in the loop.

Knowledge distillation (Hinton et al. 2015) towards the original on unlabelled texts: of the sentence embedding, and of
the hidden states of every layer (Jiao et al. 2020, TinyBERT). Matrices are seen through their codes (`coding.latent`),
so what is learned fits into the file; norms and biases learn beside them. Tables of embeddings stay as they are: few of
their rows occur in any batch of texts, and those would learn the domain of the texts.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from math import cos, isfinite, pi
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dna_ray.errors import QualityError
from dna_ray.mining import checkpoints
from dna_ray.mining.fit import ALONE, Team, seed_of
from dna_ray.mining.sine import fast_dtype
from dna_ray.mining.student import Student, named
from dna_ray.networks import build, load
from dna_ray.tasks.features import Tokens, batches, read

WARM_UP = 10  # steps
_LEAST = 0.02  # of the learning rate: where it ends


@dataclass(frozen=True, kw_only=True, slots=True)
class HealingPlan:
    """How long and how fast a network heals.

    Attributes:
        steps: Steps in all.
        texts: Of a step, over all workers.
        lr: Peak learning rate of Adam for codes, in steps of the quantizer.
        vector_lr: The same for norms and biases.
        rounded_every: Steps; between them latents move, and what rounding takes from them stays as it was.
        seed: Of the texts drawn.
    """

    steps: int
    texts: int = 32
    lr: float = 0.005
    vector_lr: float = 3e-4
    rounded_every: int = 4
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class HealJob:
    """What every worker is told. Weights are read from shared storage.

    Attributes:
        network: Folder of the original.
        start: File of the DNA that is healed.
        checkpoints: Folder of the checkpoints; the first holds the latents to start from.
        tokens: The texts.
        plan: How to learn.
        checkpoint_every: Seconds between checkpoints.
    """

    network: Path
    start: Path
    checkpoints: Path
    tokens: Tokens
    plan: HealingPlan
    checkpoint_every: float = 30.0

    @cached_property
    def plan_id(self) -> str:
        """Identifies the healing: the DNA that it starts from, the texts, and the plan."""
        start = hashlib.sha256(self.start.read_bytes()).hexdigest()
        text = json.dumps([start, self.tokens.fingerprint, asdict(self.plan)])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Healed:
    """What a step of healing did.

    Attributes:
        number: From 1.
        loss: What was minimised: 1 - cosine, and the relative error of the hidden states.
        cosine: Of the embeddings with those of the original, on the step's texts, on all workers.
        lr: The learning rate, in steps of the quantizer.
        texts: How many it saw, on all workers.
        last: Healing ends here.
        stopped: Someone asked to stop, and this step was finished first.
    """

    number: int
    loss: float
    cosine: float
    lr: float
    texts: int
    last: bool = False
    stopped: bool = False


def heal(
    job: HealJob,
    *,
    device: torch.device,
    team: Team = ALONE,
    stopping: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Healed]:
    """Heals from the newest checkpoint on, and yields after every step; each worker reads its part of the texts.

    Raises:
        QualityError: The loss is not finite; the last good checkpoint is kept.
        ArtifactError: A checkpoint is damaged, or of another run.
    """
    newest = team.agree(checkpoints.saved_steps(job.checkpoints)[-1])
    tensors, progress = checkpoints.read(job.checkpoints, newest)
    checkpoints.check_plan(job.checkpoints, newest, progress, plan=job.plan_id)
    if progress.get("finished"):
        return
    original = load(job.network)
    teacher = build(original, device=device).float().requires_grad_(False)
    student = Student(original, job.start, tensors, feedback(job), device=device)
    saved, plan = clock(), job.plan
    for number in range(newest + 1, plan.steps + 1):
        student.look(team, afresh=(number - 1) % plan.rounded_every == 0)
        part = _learn(student.module, teacher, _texts(job, number, team), plan.texts, device)
        loss, cosine, stopped = student.pull(team, *part, stopping())
        if not isfinite(loss):
            raise QualityError(f"healing: the loss of step {number} is not finite; the last checkpoint is kept")
        rate = _rate(number, plan.steps)
        student.step(rate * plan.lr, rate * plan.vector_lr)
        last, settled = (
            number == plan.steps,
            number % plan.rounded_every == 0,
        )  # the next step begins from latents alone
        stopped = stopped and settled and not last
        step = Healed(number, loss, cosine, rate * plan.lr, plan.texts, last, stopped)
        if team.rank == 0 and (last or stopped or (settled and clock() - saved >= job.checkpoint_every)):
            progress = {"plan": job.plan_id, "step": number, "finished": last}
            checkpoints.write(job.checkpoints, number, student.state(), progress)
            checkpoints.drop_old(job.checkpoints)
            saved = clock()
        yield step
        if stopped:
            return


def lay_out(job: HealJob, state: dict[str, Tensor]) -> None:
    """Writes checkpoint 0, unless it is there.

    Args:
        state: Latents to start from, and what matrices are fed by.
    """
    if 0 not in checkpoints.saved_steps(job.checkpoints):
        progress: dict[str, Any] = {"plan": job.plan_id, "step": 0}
        checkpoints.write(job.checkpoints, 0, state, progress)


def feedback(job: HealJob) -> dict[str, Tensor]:
    """Name of a matrix -> what its rows are fed by when they are rounded."""
    return named(checkpoints.read(job.checkpoints, 0)[0], "feedback")


def result(job: HealJob) -> dict[str, Tensor] | None:
    """Healed matrices, as they were before rounding, and healed vectors; None while healing has not ended."""
    newest = checkpoints.saved_steps(job.checkpoints)[-1]
    tensors, progress = checkpoints.read(job.checkpoints, newest)
    if not progress.get("finished"):
        return None
    return Student(load(job.network), job.start, tensors, {}, device=torch.device("cpu")).healed()


def _texts(job: HealJob, step: int, team: Team) -> Tokens:
    """This worker's part of the texts of a step."""
    generator = torch.Generator().manual_seed(seed_of(job.plan.seed, step, 0))
    drawn = torch.randint(len(job.tokens), (job.plan.texts,), generator=generator).tolist()
    return Tokens(tuple(job.tokens.ids[text] for text in drawn[team.rank :: team.size]), job.tokens.padding)


def _learn(
    student: nn.Module, teacher: nn.Module, tokens: Tokens, of_all: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """This worker's part of loss and cosine, and its gradients in the parameters of the student."""
    if not tokens.ids:
        return torch.zeros(()), torch.zeros(())
    (ids, mask, _), *_more = batches(tokens, len(tokens))
    ids, mask = ids.to(device), mask.to(device)
    low = fast_dtype(device) == torch.bfloat16
    with torch.autocast(device.type, torch.bfloat16, enabled=low), _attention(device):
        with torch.no_grad():
            wanted, wanted_hidden = read(teacher, ids, mask)
        found, found_hidden = read(student, ids, mask)
    cosine = (found * wanted).sum(-1).sum() / of_all
    layers = list(zip(found_hidden, wanted_hidden, strict=True))[1:]  # the first are those of the embeddings
    apart = torch.stack([_relative_error(*layer, mask) for layer in layers]).mean(0).sum() / of_all
    loss = len(tokens) / of_all - cosine + apart
    loss.backward()
    return loss.detach(), cosine.detach()


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """On CPUs the fused kernel's backward pass of short texts takes as long as all the rest of a step."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _relative_error(found: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """[texts]: squared error of hidden states [texts, tokens, width] over their variance, padding left out."""
    weight = mask.unsqueeze(-1).to(found.dtype)
    spread = ((wanted - wanted.mean(-1, keepdim=True)).square() * weight).sum((1, 2))
    return ((found - wanted).square() * weight).sum((1, 2)) / spread.clamp_min(1e-12)


def _rate(step: int, steps: int) -> float:
    """A linear rise, then a cosine down to a fiftieth."""
    rise = min(WARM_UP, steps)
    if step <= rise:
        return step / rise
    return _LEAST + (1 - _LEAST) * (1 + cos(pi * (step - rise) / max(1, steps - rise))) / 2
