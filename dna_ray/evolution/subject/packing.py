"""A subject as plain tensors and back, so that many processes can work on one copy of it."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.evolution.sparsity.layers import Layer
from dna_ray.evolution.sparsity.statistics import InputStatistics
from dna_ray.evolution.subject.answers import Answers, Head, reader_from
from dna_ray.evolution.subject.examples import Examples
from dna_ray.evolution.subject.subject import Subject, matrices_in, opened
from dna_ray.evolution.subject.subject_settings import SubjectSettings
from dna_ray.networks import from_state_dict

_FORMAT = 1
_SPLITS = ("calibration", "search", "finals", "test")
_ANSWERS = ("dense", "dense_finals")
_STATISTICS = ("mean_abs", "rms", "largest", "moments")


def pack(subject: Subject) -> dict[str, Tensor]:
    """The subject as plain tensors by name, to be shared read-only; none of them is copied."""
    infos = [info for info in subject.network.anatomy if info.tied_to is None]
    found = {f"weight/{info.name}": subject.network.read(info.name) for info in infos}
    for name, each in subject.statistics.items():
        for what in _STATISTICS:
            found[f"statistics/{what}/{name}"] = getattr(each, what)
    for split in _SPLITS:
        examples: Examples = getattr(subject, split)
        for what in ("inputs", "lengths", "labels"):
            if (tensor := getattr(examples, what)) is not None:
                found[f"{split}/{what}"] = tensor
    for name in _ANSWERS:
        answers: Answers = getattr(subject, name)
        found[f"{name}/features"] = answers.features
        if answers.logits is not None:
            found[f"{name}/logits"] = answers.logits
    if subject.head is not None:
        found |= {"head/weight": subject.head.weight, "head/bias": subject.head.bias}
    header = json.dumps(_header(subject), sort_keys=True).encode()
    return found | {"header": torch.from_numpy(np.frombuffer(header, dtype=np.uint8).copy())}


def unpack(tensors: Mapping[str, Tensor]) -> Subject:
    """The inverse of `pack`. The model reads the memory of the tensors, and nothing writes to it.

    Raises:
        ArtifactError: A later version packed it, or something is missing.
    """
    try:
        header = json.loads(tensors["header"].numpy().tobytes())
        if header["format"] > _FORMAT:
            raise ArtifactError(f"a subject of format {header['format']}, read up to {_FORMAT}; upgrade dna_ray")
        return _unpacked(tensors, header)
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"a packed subject is damaged ({error!r}); prepare it again") from error


def _unpacked(tensors: Mapping[str, Tensor], header: dict[str, Any]) -> Subject:
    weights = {name.removeprefix("weight/"): value for name, value in tensors.items() if name.startswith("weight/")}
    weights |= {name: weights[first] for name, first in header["ties"].items()}
    network = from_state_dict(weights, name=header["name"], config=header["config"])
    settings = SubjectSettings.from_json(header["settings"])
    model = opened(network, settings)
    layers = tuple(
        Layer(name, kind, depth, rows, cols, positions, tuple(kernel))
        for name, kind, depth, rows, cols, positions, kernel in header["layers"]
    )
    statistics = {
        name: InputStatistics(
            **{what: tensors[f"statistics/{what}/{name}"] for what in _STATISTICS}, count=count, groups=groups
        )
        for name, (count, groups) in header["counts"].items()
    }
    calibration, search, finals, test = (
        Examples(tensors[f"{split}/inputs"], tensors.get(f"{split}/lengths"), tensors.get(f"{split}/labels"))
        for split in _SPLITS
    )
    dense, dense_finals = (Answers(tensors[f"{name}/features"], tensors.get(f"{name}/logits")) for name in _ANSWERS)
    return Subject(
        network,
        model,
        settings,
        layers,
        matrices_in(model, [layer.name for layer in layers]),
        statistics,
        reader_from(header["reader"]),
        Head(tensors["head/weight"], tensors["head/bias"]) if "head/weight" in tensors else None,
        calibration,
        search,
        dense,
        finals,
        dense_finals,
        test,
    )


def _header(subject: Subject) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "name": subject.network.name,
        "config": None if subject.network.config is None else dict(subject.network.config),
        "ties": {info.name: info.tied_to for info in subject.network.anatomy if info.tied_to is not None},
        "settings": subject.settings.to_json(),
        "reader": subject.reader.to_json(),
        "layers": [
            [one.name, one.kind, one.depth, one.rows, one.cols, one.positions, list(one.kernel)]
            for one in subject.layers
        ],
        "counts": {name: [each.count, each.groups] for name, each in subject.statistics.items()},
    }
