"""Checkpoints of training: parameters, moments and progress, to resume from as if nothing had happened.

A checkpoint is one safetensors file, `step-<number>.safetensors`, with its progress in the metadata. Step 0 is where
training starts. A file with its final name is complete.
"""

import errno
import json
import re
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dna_ray.errors import ArtifactError
from dna_ray.mining.durable import new_file
from dna_ray.mining.fit import ALONE, Team, Training
from dna_ray.mining.functions import Functions
from dna_ray.mining.holding import Part

KEPT = 2  # the last ones: workers that resume agree on the newest that all of them see
_NAME = re.compile(r"step-(\d{9})\.safetensors")


def save_start(folder: Path, functions: Functions, *, plan: str) -> None:
    """Writes checkpoint 0, without moments.

    Args:
        plan: What identifies the training; a checkpoint of another plan is not resumed from.
    """
    tensors = {f"functions.{name}": value for name, value in functions.state_dict().items()}
    write(folder, 0, tensors, {"plan": plan, "step": 0})


def save_training(
    folder: Path, training: Training, *, plan: str, finished: bool = False, team: Team = ALONE
) -> Path | None:
    """Writes a checkpoint, then deletes all older ones but `KEPT` - 1 and the start.

    All workers of a team call it: what they hold is put together, and the one with rank 0 writes.
    """
    tensors = _tensors(training)
    for name, part in _parts(training).items():
        if team.size > 1:
            table = part.spread(tensors[name], rank=team.rank)
            team.add([table.view(torch.int32)])  # bits: a sum of floats would lose the sign of a zero
            tensors[name] = table if team.rank == 0 else tensors[name]
    if team.rank:
        return None
    progress = {
        "plan": plan,
        "step": training.step,
        "smooth": training.smooth,
        "best": training.best,
        "best_step": training.best_step,
        "finished": finished,
    }
    path = write(folder, training.step, tensors, progress)
    drop_old(folder)
    return path


def drop_old(folder: Path) -> None:
    """Deletes all checkpoints but the last `KEPT` and the start."""
    for step in saved_steps(folder)[:-KEPT]:
        if step:
            _path(folder, step).unlink(missing_ok=True)


def check_plan(folder: Path, step: int, progress: dict[str, Any], *, plan: str) -> None:
    """Raises ArtifactError where the progress of a checkpoint is that of another plan."""
    if progress.get("plan") != plan:
        raise ArtifactError(f"{_path(folder, step)}: belongs to another plan; start over with --fresh")


def saved_steps(folder: Path) -> list[int]:
    """Steps of which there is a checkpoint, in ascending order."""
    found = [_NAME.fullmatch(path.name) for path in folder.glob("step-*.safetensors")]
    return sorted(int(match[1]) for match in found if match)


def resume(folder: Path, step: int, training: Training, *, plan: str) -> bool:
    """Puts `training` where checkpoint `step` left it; returns whether it was the end of training.

    Raises:
        ArtifactError: The checkpoint is damaged, or belongs to another plan.
    """
    path = _path(folder, step)
    tensors, progress = read(folder, step)
    check_plan(folder, step, progress, plan=plan)
    try:
        for name, part in _parts(training).items():
            if name in tensors:
                tensors[name] = part.of(tensors[name])
        training.functions.load_state_dict(_part(tensors, "functions."))
        moments: dict[int, dict[str, Tensor]] = {}
        numbers = {name: i for i, name in enumerate(_parameters(training))}
        for name, value in _part(tensors, "optimizer.").items():
            parameter, moment = name.rsplit(".", 1)
            moments.setdefault(numbers[parameter], {})[moment] = value
        training.optimizer.load_state_dict({**training.optimizer.state_dict(), "state": moments})
        training.step = int(progress["step"])
        training.smooth = float(progress.get("smooth", training.smooth))
        training.best = float(progress.get("best", training.best))
        training.best_step = int(progress.get("best_step", 0))
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise ArtifactError(f"{path}: does not fit the functions ({error}); start over with --fresh") from error
    return bool(progress.get("finished"))


def functions_state(folder: Path, step: int) -> dict[str, Tensor]:
    """State dict of the functions at checkpoint `step`."""
    return _part(read(folder, step)[0], "functions.")


def is_finished(folder: Path, step: int) -> bool:
    """Whether checkpoint `step` is the end of training."""
    return bool(read(folder, step)[1].get("finished"))


def _tensors(training: Training) -> dict[str, Tensor]:
    """What this worker holds, by the names in the file."""
    tensors = {f"functions.{name}": value for name, value in training.functions.state_dict().items()}
    for name, parameter in _parameters(training).items():
        moments = training.optimizer.state[parameter]
        tensors |= {f"optimizer.{name}.{moment}": value for moment, value in moments.items()}
    return tensors


def _parts(training: Training) -> dict[str, Part]:
    """The tensors of the file of which a worker may hold a part only."""
    names = ("functions.{}", "optimizer.{}.exp_avg", "optimizer.{}.exp_avg_sq")
    return {name.format(own): part for own, part in training.functions.parts().items() for name in names}


def _parameters(training: Training) -> dict[str, nn.Parameter]:
    """The parameters by name, in the optimizer's order."""
    names = {parameter: name for name, parameter in training.functions.named_parameters()}
    return {names[parameter]: parameter for group in training.optimizer.param_groups for parameter in group["params"]}


def write(folder: Path, step: int, tensors: dict[str, Tensor], progress: dict[str, Any]) -> Path:
    """Writes a checkpoint: any tensors, and any progress that JSON can say."""
    folder.mkdir(parents=True, exist_ok=True)
    path = _path(folder, step)
    data = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    metadata = {"progress": json.dumps(progress), "crc32": str(_checksum(data))}
    with new_file(path) as partial:
        try:
            save_file(
                data, partial, metadata=metadata
            )  # tensor by tensor: a copy of all would double what a worker holds
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error
    return path


def read(folder: Path, step: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The inverse of `write`.

    Raises:
        ArtifactError: The checkpoint is damaged.
    """
    path = _path(folder, step)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if int(metadata["crc32"]) != _checksum(tensors):
            raise ValueError("its checksum differs")
        return tensors, json.loads(metadata["progress"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ArtifactError(
            f"{path}: not a checkpoint, or a damaged one ({error}); delete it, and run again"
        ) from error


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}.safetensors"


def _checksum(tensors: dict[str, Tensor]) -> int:
    """crc32 of all bytes by order of name: safetensors itself notices no flipped bit."""
    checksum = 0
    for _, value in sorted(tensors.items()):
        checksum = zlib.crc32(value.numpy().data, checksum)
    return checksum


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
