"""A sparse network as a network: to be saved as an ordinary Hugging Face folder; and its masks as a file."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dna_ray.errors import ArtifactError
from dna_ray.evolution.agent import Agent
from dna_ray.evolution.sparsity import bits
from dna_ray.evolution.sparsity.layers import modules_of
from dna_ray.evolution.sparsity.pruner import Pruned
from dna_ray.evolution.subject.subject import Subject
from dna_ray.networks import DTYPES, Network, fingerprint_of, stored_name

_KEY = "dna_ray.masks"
_FORMAT = 1


def sparsified(subject: Subject, agent: Agent, pruned: Pruned) -> Network:
    """The network as the agent wants it, in its own dtypes: `networks.save` writes it with the original's files.

    Args:
        pruned: What `Pruner.prune` makes of the agent.
    """
    with subject.replaced(pruned.matrices, repair=agent.repair):
        changed = tensors_of(subject)
    dense = {info.name: subject.network.read(info.name) for info in subject.network.anatomy if info.name not in changed}
    return network_of(subject.network, dense | changed)


def tensors_of(subject: Subject) -> dict[str, Tensor]:
    """What an agent may change, as the model has it now: weights of the layers, and buffers; named and stored as ever.

    Call it within `Subject.replaced`: what it returns outlives that.
    """
    network = subject.network
    modules = modules_of(subject.model, [layer.name for layer in subject.layers])
    found = {name: module.weight for name, module in modules.items() if isinstance(module.weight, Tensor)}
    names = frozenset(network.anatomy.by_name)
    for name, buffer in subject.model.named_buffers():
        if stored := stored_name(name, names):
            found[stored] = buffer
    stored_as = {name: network.anatomy.by_name[name] for name in found}
    tensors = {
        name: tensor.detach().to("cpu", DTYPES[stored_as[name].dtype]).reshape(stored_as[name].shape)
        for name, tensor in found.items()
    }
    ties = {info.name: info.tied_to for info in network.anatomy if info.tied_to in tensors}
    return tensors | {name: tensors[first] for name, first in ties.items() if first}


def network_of(network: Network, tensors: Mapping[str, Tensor]) -> Network:
    """The network with other values of all its tensors; its name, files and ties stay."""
    read = dict(tensors).__getitem__
    return replace(network, read=read, fingerprint=fingerprint_of(network.anatomy, read))


def save_masks(path: str | Path, agent: Agent, masks: Mapping[str, Tensor]) -> Path:
    """Writes masks as safetensors, a bit a weight, with the agent that they are of."""
    shapes = {name: list(mask.shape) for name, mask in masks.items()}
    header = {"format": _FORMAT, "agent": agent.to_json(), "shapes": shapes}
    packed = {name: torch.from_numpy(bits.pack(mask)) for name, mask in masks.items()}
    save_file(packed, path, metadata={_KEY: json.dumps(header, sort_keys=True)})
    return Path(path)


def load_masks(path: str | Path) -> tuple[Agent, dict[str, Tensor]]:
    """What `save_masks` wrote.

    Raises:
        ArtifactError: The file holds no masks, is damaged, or was written by a later version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            if header["format"] > _FORMAT:
                raise ArtifactError(f"{path}: format {header['format']}, read up to {_FORMAT}; upgrade dna_ray")
            masks = {
                name: bits.unpack(file.get_tensor(name).numpy(), rows=rows, cols=cols)
                for name, (rows, cols) in header["shapes"].items()
            }
        return Agent.from_json(header["agent"]), masks
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise ArtifactError(f"{path}: holds no masks, or is damaged ({error}); write it again") from error
