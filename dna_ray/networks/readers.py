"""Weights files, read a tensor at a time. A reader holds paths only, so it can travel to another process."""

import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dna_ray.errors import NetworkError
from dna_ray.networks.anatomy import Found
from dna_ray.networks.network import DTYPE_NAMES, DTYPES

# Where training scripts put the state dict when they save more than that.
WRAPPERS = ("state_dict", "model_state_dict", "model")


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of one or more weights files, or of a state dict in memory.

    Attributes:
        found: (name, dtype, shape) of each tensor.
        read: Returns one tensor by name.
        ties: Name -> the tensor whose storage it shares, which comes first in canonical order.
    """

    found: tuple[Found, ...]
    read: Callable[[str], Tensor]
    ties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SafetensorsReader:
    """Opens the file for each tensor: the mapping goes with the tensor, and nothing is shared between reads.

    Attributes:
        path: The file.
        stored_as: Name -> name in the file, for tied tensors that are stored once.
    """

    path: Path
    stored_as: Mapping[str, str]

    def __call__(self, name: str) -> Tensor:
        with safe_open(self.path, framework="pt") as file:
            return file.get_tensor(self.stored_as.get(name, name))


@dataclass(frozen=True, slots=True)
class PickleReader:
    path: Path

    def __call__(self, name: str) -> Tensor:
        # a copy, since the mapped file is kept open for the next read
        return _unpickled(self.path)[name].clone()


@dataclass(frozen=True, slots=True)
class ShardedReader:
    readers: Mapping[str, Callable[[str], Tensor]]

    def __call__(self, name: str) -> Tensor:
        return self.readers[name](name)


@dataclass(frozen=True, slots=True)
class MemoryReader:
    weights: Mapping[str, Tensor]

    def __call__(self, name: str) -> Tensor:
        return self.weights[name]


def open_memory(weights: Mapping[str, Tensor], *, name: str) -> Weights:
    """A state dict in memory; its tensors are shared, not copied.

    Raises:
        NetworkError: A value is no dense tensor with data, or has a dtype that safetensors cannot hold.
    """
    tensors = {key: _dense(key, value, name) for key, value in weights.items()}
    found = tuple((key, _dtype(key, t.dtype, name), tuple(t.shape)) for key, t in tensors.items())
    return Weights(found, MemoryReader(tensors), ties_of(tensors))


def open_files(paths: Iterable[Path]) -> Weights:
    """The tensors of one weights file or of all shards, `.safetensors` or pickles (`.bin`, `.pth`, `.pt`).

    Raises:
        NetworkError: A file is damaged, holds anything but tensors, or holds a tensor that another one holds too.
    """
    paths = list(paths)
    if all(path.suffix == ".safetensors" for path in paths):
        parts = {path: _scan_safetensors(path) for path in paths}
    else:
        parts = {path: _scan_pickle(path) for path in paths}
    files: dict[str, Path] = {}
    for path, part in parts.items():
        for name, _, _ in part.found:
            if name in files:
                raise NetworkError(f"{path}: tensor {name!r} is in {files[name].name} too; one shard must hold it")
            files[name] = path
    read = {name: parts[path].read for name, path in files.items()}
    found = tuple(entry for part in parts.values() for entry in part.found)
    ties = {name: first for part in parts.values() for name, first in part.ties.items()}
    return Weights(found, ShardedReader(read), ties)


def shards_of(index: Path) -> list[Path]:
    """The files that a `*.index.json` of Hugging Face names; they must lie beside it.

    Raises:
        NetworkError: The index cannot be read, leads out of its folder, or names a file that is not there.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NetworkError(f"{index}: not an index of weights files ({_line(error)}); download it again") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
            raise NetworkError(
                f"{index}: names the weights file {name!r}, which is not a plain name in its folder; refused"
            )
        if not (index.parent / name).is_file():
            raise NetworkError(
                f"{index.parent / name}: missing, though {index.name} names it; download the network again"
            )
    return [index.parent / name for name in names]


def ties_of(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Name -> first name in canonical order of the tensor that it shares all its storage with."""
    first: dict[tuple[Any, ...], str] = {}
    ties = {}
    for name in sorted(weights):
        tensor = weights[name]
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and first.setdefault(place, name) != name:
            ties[name] = first[place]
    return ties


def _scan_safetensors(path: Path) -> Weights:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            shapes = {name: (str(part.get_dtype()), tuple(part.get_shape())) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise NetworkError(f"{path}: not a whole safetensors file ({_line(error)}); download it again") from error
    if "dna" in metadata:
        raise NetworkError(f"{path}: is a DNA, not a network; rebuild it first: dna-ray rebuild {path.parent}")
    for name, (dtype, _) in shapes.items():
        if dtype not in DTYPES:
            raise NetworkError(f"{path}: tensor {name!r} has dtype {dtype}; supported are {', '.join(DTYPES)}")
    # As `safetensors.torch.save_model` notes tied tensors: name that was left out -> name that was kept.
    stored_as = {
        name: kept for name, kept in metadata.items() if kept in shapes and name not in shapes and name != "format"
    }
    found = tuple((name, *shapes[stored_as.get(name, name)]) for name in [*shapes, *stored_as])
    return Weights(found, SafetensorsReader(path, stored_as), _first_names(stored_as))


def _first_names(stored_as: Mapping[str, str]) -> dict[str, str]:
    """The same ties, by the name that comes first in canonical order."""
    groups: dict[str, list[str]] = {}
    for name, kept in stored_as.items():
        groups.setdefault(kept, [kept]).append(name)
    return {name: min(group) for group in groups.values() for name in group if name != min(group)}


def _scan_pickle(path: Path) -> Weights:
    weights = _unpickled(path)
    found = tuple((name, _dtype(name, tensor.dtype, path), tuple(tensor.shape)) for name, tensor in weights.items())
    return Weights(found, PickleReader(path), ties_of(weights))


def _unpickled(path: Path) -> dict[str, Tensor]:
    try:
        state = path.stat()
    except OSError as error:
        raise NetworkError(f"{path}: cannot be read ({_line(error)})") from error
    return _unpickled_once(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)  # as many as a network has shards; they are mapped, not held in memory
def _unpickled_once(path: Path, size: int, mtime_ns: int) -> dict[str, Tensor]:
    """The tensors of a pickle, mapped from the file where its format allows. Runs no code from it."""
    try:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # written before torch 1.6: cannot be mapped
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise NetworkError(
            f"{path}: holds something that is not a tensor, or is no PyTorch file; refused, since unpickling it could "
            "run code. Save its state dict as .safetensors where you trust it"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise NetworkError(f"{path}: not a whole PyTorch file ({_line(error)}); download it again") from error
    return {str(key): _dense(str(key), value, path) for key, value in _state_dict(content, path).items()}


def _state_dict(content: Any, path: Path) -> Mapping[Any, Any]:
    if isinstance(content, Mapping):
        for key in WRAPPERS:
            if isinstance(content.get(key), Mapping):
                return content[key]
        return content
    raise NetworkError(f"{path}: holds a {type(content).__name__}, not a state dict; save model.state_dict() instead")


def _dense(key: str, value: Any, where: Path | str) -> Tensor:
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_meta or value.is_quantized:
        kind = f"a {value.layout} tensor" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise NetworkError(f"{where}: {key!r} is not a dense tensor but {kind}; give a plain state dict")
    return value.detach()


def _dtype(key: str, dtype: torch.dtype, where: Path | str) -> str:
    if dtype not in DTYPE_NAMES:
        raise NetworkError(f"{where}: tensor {key!r} has dtype {dtype}; supported are {', '.join(DTYPES)}")
    return DTYPE_NAMES[dtype]


def _line(error: BaseException) -> str:
    """The first line of an error, or its type if it says nothing."""
    return (str(error).splitlines() or [""])[0].strip() or type(error).__name__
