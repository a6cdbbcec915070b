"""Checkpoints of training: parameters, moments and progress, to resume from as if nothing had happened.

A checkpoint is one safetensors file, `step-<number>.safetensors`, with its progress in the metadata, and a checksum of
all bytes among its tensors: safetensors itself notices no flipped bit. Step 0 is where training starts. A file with its
final name is complete.
"""

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dna_ray.errors import ArtifactError
from dna_ray.mining.durable import new_file
from dna_ray.mining.fit import ALONE, Team, Training
from dna_ray.mining.functions import Functions
from dna_ray.mining.holding import Part
from dna_ray.networks import DTYPE_NAMES, TensorInfo
from dna_ray.networks.fingerprint import bytes_of
from dna_ray.networks.shards import Shard
from dna_ray.networks.shards import write as write_shards

KEPT = 2  # the last ones: workers that resume agree on the newest that all of them see
_CHECKSUM = "crc32"  # the name of a tensor
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

    All workers of a team call it: what they hold is put together, a tensor at a time, and the one with rank 0 writes.
    """
    if team.rank:
        for _ in _whole(training, team):
            pass
        return None
    progress = {
        "plan": plan,
        "step": training.step,
        "smooth": training.smooth,
        "best": training.best,
        "best_step": training.best_step,
        "finished": finished,
    }
    path = _write_each(folder, training.step, _layout(training), _whole(training, team), progress)
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


def _whole(training: Training, team: Team) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the file by order of name, on all workers at the same time, whole on the one with rank 0."""
    parts = _parts(training)
    for name, own in sorted(_tensors(training).items()):
        if name in parts and team.size > 1:
            table = parts[name].spread(own, rank=team.rank)
            team.add([table.view(torch.int32)])  # bits: a sum of floats would lose the sign of a zero
            yield name, table
        else:
            yield name, own


def _layout(training: Training) -> list[TensorInfo]:
    """What each tensor of the file is when it is whole."""
    parts = _parts(training)
    return [
        _info(name, value, lines=parts[name].size if name in parts else None)
        for name, value in _tensors(training).items()
    ]


def _info(name: str, value: Tensor, *, lines: int | None = None) -> TensorInfo:
    shape = tuple(value.shape) if lines is None else (lines, *value.shape[1:])
    return TensorInfo(name=name, dtype=DTYPE_NAMES[value.dtype], shape=shape)


def _parts(training: Training) -> dict[str, Part]:
    """The tensors of the file of which a worker may hold a part only."""
    names = ("functions.{}", "optimizer.{}.exp_avg", "optimizer.{}.exp_avg_sq")
    return {name.format(own): part for own, part in training.functions.parts().items() for name in names}


def _parameters(training: Training) -> dict[str, nn.Parameter]:
    """The parameters by name, in the optimizer's order."""
    names = {parameter: name for name, parameter in training.functions.named_parameters()}
    return {names[parameter]: parameter for group in training.optimizer.param_groups for parameter in group["params"]}


def write(folder: Path, step: int, tensors: Mapping[str, Tensor], progress: dict[str, Any]) -> Path:
    """Writes a checkpoint: any tensors, and any progress that JSON can say."""
    layout = [_info(name, value) for name, value in tensors.items()]
    return _write_each(folder, step, layout, sorted(tensors.items()), progress)


def _write_each(
    folder: Path,
    step: int,
    layout: Iterable[TensorInfo],
    tensors: Iterable[tuple[str, Tensor]],
    progress: dict[str, Any],
) -> Path:
    """The same with tensors that come by order of name, one in memory at a time: all would double what workers hold."""
    path, checksum = _path(folder, step), torch.zeros(1, dtype=torch.int64)

    def counted() -> Iterator[tuple[str, Tensor]]:
        for name, value in tensors:
            checksum.fill_(zlib.crc32(bytes_of(value), int(checksum)))
            yield name, value
        yield _CHECKSUM, checksum

    infos = (*layout, _info(_CHECKSUM, checksum))
    with new_file(path) as partial:
        write_shards(counted(), [Shard(partial, infos, {"progress": json.dumps(progress)})])
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
        if int(tensors.pop(_CHECKSUM)) != _checksum(tensors):
            raise ValueError("its checksum differs")
        return tensors, json.loads(metadata["progress"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ArtifactError(
            f"{path}: not a checkpoint, or a damaged one ({error}); delete it, and run again"
        ) from error


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}.safetensors"


def _checksum(tensors: dict[str, Tensor]) -> int:
    """crc32 of all bytes by order of name."""
    checksum = 0
    for _, value in sorted(tensors.items()):
        checksum = zlib.crc32(bytes_of(value), checksum)
    return checksum


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
