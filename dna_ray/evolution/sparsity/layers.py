"""Which matrices of a network may become sparse, and where they are in the module that was built of it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from dna_ray.errors import InputError, NetworkError
from dna_ray.networks import Network, TensorInfo, stored_name

# Pruning answers for what an encoder computes: tables are looked up, heads, classifiers and poolers belong to a task.
# The first convolution stays dense, as in Gale et al. 2019 and Evci et al. 2020: it holds few weights, and all that the
# network sees passes through them.
EXCLUDED_KINDS = frozenset(
    ("word_embedding", "position_embedding", "type_embedding", "patch_embedding", "pooler", "head")
)


@dataclass(frozen=True, slots=True)
class Layer:
    """A matrix that may become sparse.

    Attributes:
        name: Of its weight tensor in the anatomy.
        kind: Of the anatomy: query, ffn_in, convolution ...
        depth: From 0 (first) to 1 (last layer); for tensors outside the numbered layers by order.
        rows: Outputs.
        cols: Inputs that one output is made of; in x kh x kw of a kernel, in being those of one group.
        positions: Output positions of one sample that each weight serves: 1 (a token) for linear layers, height x
            width of a convolution's output.
        kernel: Height and width of a kernel; empty for a linear layer.
    """

    name: str
    kind: str
    depth: float
    rows: int
    cols: int
    positions: int = 1
    kernel: tuple[int, ...] = ()

    @property
    def weights(self) -> int:
        return self.rows * self.cols


def layers_of(
    network: Network, *, positions: Mapping[str, int] | None = None, exclude: Iterable[str] = ()
) -> tuple[Layer, ...]:
    """The matrices of linear layers and convolutions in the encoder, tied ones once, in the order of the anatomy.

    A convolution that reads the image itself is none of them, nor is one with a single output channel, whose one row is
    no matrix.

    Args:
        positions: Name of a tensor -> its positions, as `gather` counts them; 1 for what it does not name.
        exclude: Names of tensors that stay dense; `*` stands for anything.

    Raises:
        NetworkError: Nothing is left.
    """
    patterns = tuple(exclude)
    found = [
        info
        for info in network.anatomy
        if _may_be_sparse(info)
        and not _reads_the_image(info, network)
        and not any(fnmatchcase(info.name, pattern) for pattern in patterns)
    ]
    if not found:
        without = f" when {', '.join(patterns)} stay dense" if patterns else ""
        raise NetworkError(
            f"{network.name}: no linear layer or convolution of an encoder is left to become sparse{without}; "
            "give a network that has one, or exclude less"
        )
    depths = _depths(found)
    counts = positions or {}
    return tuple(
        Layer(
            info.name,
            info.kind,
            depths[info.name],
            info.rows,
            info.cols,
            counts.get(info.name, 1),
            tuple(info.shape[2:]),
        )
        for info in found
    )


def _may_be_sparse(info: TensorInfo) -> bool:
    plain = len(info.shape) in (2, 4) and (info.transposed or info.shape[0] == info.rows)
    return plain and info.is_matrix and info.kind not in EXCLUDED_KINDS


def _reads_the_image(info: TensorInfo, network: Network) -> bool:
    """A convolution with as many inputs as an image has channels; a depthwise one, with one, is of another kind."""
    channels = (network.config or {}).get("num_channels")
    return info.kind == "convolution" and len(info.shape) == 4 and info.shape[1] == channels


def _depths(found: list[TensorInfo]) -> dict[str, float]:
    """By index of the layer; by order of the names if one has no index."""
    if all(info.layer >= 0 for info in found):
        places = {info.name: info.layer for info in found}
    else:
        ordered = sorted((info.name for info in found), key=_natural)
        places = {name: place for place, name in enumerate(ordered)}
    steps = {place: step for step, place in enumerate(sorted(set(places.values())))}
    return {name: steps[place] / max(1, len(steps) - 1) for name, place in places.items()}


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def modules_of(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Module]:
    """Name of a weight tensor -> the linear layer or convolution of `model` that holds it, in the order of `names`.

    Raises:
        NetworkError: `model` has no such layer.
    """
    wanted = tuple(names)
    held = {f"{place}.weight".lstrip("."): module for place, module in model.named_modules() if _multiplies(module)}
    found = {name: held[name] for name in wanted if name in held}
    for name, module in held.items() if len(found) < len(wanted) else ():
        stored = stored_name(name, frozenset(wanted))
        if name not in found and stored and stored not in found:
            found[stored] = module
    if missing := [name for name in wanted if name not in found]:
        raise NetworkError(
            f"{type(model).__name__} holds no linear layer or convolution named {missing[0]!r} "
            f"({len(missing)} of {len(wanted)} are missing); exclude what it does not compute with"
        )
    return {name: found[name] for name in wanted}


def matrix_of(module: nn.Module) -> Tensor:
    """The weight of a linear layer or convolution as its (rows, cols) matrix, in its own dtype."""
    weight = _weight(module).detach()
    return weight.T if _is_transposed(module) else weight.flatten(1)


def write_matrix(module: nn.Module, matrix: Tensor) -> None:
    """Gives the module another weight, in its own dtype. The memory of the one it had is not written to.

    Raises:
        InputError: The matrix is of another shape.
    """
    weight = _weight(module)
    rows, cols = matrix_of(module).shape
    if tuple(matrix.shape) != (rows, cols):
        raise InputError(f"a matrix {tuple(matrix.shape)} cannot replace a weight whose matrix is {(rows, cols)}")
    turned = matrix.T if _is_transposed(module) else matrix
    weight.data = torch.empty_like(weight.data).copy_(turned.reshape(weight.shape))


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight


def _multiplies(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.Conv2d) or _is_transposed(module)


def _is_transposed(module: nn.Module) -> bool:
    return type(module).__name__ == "Conv1D"  # of GPT-2: a linear layer, stored as (in, out)
