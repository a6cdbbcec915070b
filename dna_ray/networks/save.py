"""A network becomes an ordinary Hugging Face folder. The inverse of `load`."""

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

from torch import Tensor

from dna_ray.errors import NetworkError, SpaceError
from dna_ray.networks.build import retied_names
from dna_ray.networks.load import config_text
from dna_ray.networks.network import Anatomy, TensorInfo
from dna_ray.networks.shards import Shard, plan, write

SHARD_BYTES = 5 * 10**9


def save(
    tensors: Iterable[tuple[str, Tensor]],
    folder: str | Path,
    *,
    anatomy: Anatomy,
    config: Mapping[str, Any] | None = None,
    files: Sequence[Path] = (),
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Writes the tensors as they come, one in memory at a time, in any order; returns the folder.

    The folder opens with `AutoModel.from_pretrained` where config says so, and `load` gives the same network back:
    names, ties, bytes, fingerprint. Weights that are tied, and that their class ties again, are stored once; other
    tied weights as copies. The folder appears under its name when it is complete, on disk, and not before.

    Args:
        tensors: Every tensor of `anatomy`; tied ones may be left out.
        files: Copied beside the weights by their names.
        shard_bytes: Above this size the weights are split into several files with an index.

    Raises:
        NetworkError: The folder exists already, or a tensor is missing, foreign, or of another shape or dtype.
        SpaceError: The disk is full.
    """
    folder = Path(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise NetworkError(f"{folder}: exists already; give another folder, or remove it first")
    scratch = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    try:
        scratch.mkdir(parents=True)
        stored_as = _stored_as(anatomy, config)
        copies = {t.name: t.tied_to for t in anatomy if t.tied_to is not None and stored_as[t.name] == t.name}
        stored = [info for info in anatomy if stored_as[info.name] == info.name]
        shards = plan(stored, scratch, shard_bytes=shard_bytes)
        left_out = {name: kept for name, kept in stored_as.items() if name != kept}
        write(_under_stored_names(tensors, anatomy, stored_as, copies), shards, left_out=left_out)
        _write_small_files(scratch, shards, config, files)
        _publish(scratch, folder)
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT):
            raise SpaceError(f"{folder}: no space left on the disk; free some, or give a folder elsewhere") from error
        raise NetworkError(f"{folder}: cannot be written ({error})") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _stored_as(anatomy: Anatomy, config: Mapping[str, Any] | None) -> dict[str, str]:
    """Name -> the name its values are stored under: its own, or for weights tied again on opening, the one kept."""
    stored_as = {info.name: info.name for info in anatomy}
    if all(info.tied_to is None for info in anatomy):
        return stored_as
    first = {info.name: info.tied_to or info.name for info in anatomy}
    for name, kept in retied_names(config).items():
        if name in first and kept in first and first[name] == first[kept]:
            stored_as[name] = kept
    return stored_as


def _under_stored_names(
    tensors: Iterable[tuple[str, Tensor]], anatomy: Anatomy, stored_as: Mapping[str, str], copies: Mapping[str, str]
) -> Iterable[tuple[str, Tensor]]:
    """Each stored tensor once, whichever of its names brings it."""
    for name, tensor in tensors:
        info = anatomy.by_name.get(name)
        if info is None:
            raise NetworkError(f"tensor {name!r} is not in the network's anatomy; write the network it belongs to")
        if info.tied_to is not None:
            continue  # its values come under the first name
        yield stored_as[name], tensor
        for copy, first in copies.items():
            if first == name and copy != stored_as[name]:
                yield copy, tensor


def _write_small_files(
    folder: Path, shards: Sequence[Shard], config: Mapping[str, Any] | None, files: Sequence[Path]
) -> None:
    if len(shards) > 1:
        weight_map = {info.name: shard.path.name for shard in shards for info in shard.tensors}
        index = {"metadata": {"total_size": sum(_bytes(shard.tensors) for shard in shards)}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    if config is not None:
        (folder / "config.json").write_text(config_text(config), encoding="utf-8")
    for path in files:
        shutil.copyfile(path, folder / path.name)


def _bytes(tensors: Iterable[TensorInfo]) -> int:
    return sum(info.nbytes for info in tensors)


def _publish(scratch: Path, folder: Path) -> None:
    for path in scratch.iterdir():
        _sync(path)
    _sync(scratch)
    scratch.rename(folder)  # also onto an empty folder
    _sync(folder.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
