"""DNA -> a model in memory."""

from pathlib import Path

import torch
from torch import nn

from dna_ray.mining import KINDS
from dna_ray.mining.dna import read_dna
from dna_ray.mining.dna import rebuild as rebuild_tensors
from dna_ray.networks import build, from_state_dict
from dna_ray.tracking.store import home as default_home
from dna_ray.verbs.rebuild import inner_config
from dna_ray.verbs.subject import dna_of


def load(
    dna: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, home: Path | None = None
) -> nn.Module:
    """The network that a DNA rebuilds, in eval mode: the first class that its config names.

    Needs no `import dna_ray.hf`, and opens networks that transformers has no class for, where theirs is installed.

    Args:
        dna: Its file, its folder, or the run that made it.
        dtype: What floating-point weights are cast to; None: as they are stored.

    Raises:
        ArtifactError: The DNA is damaged.
        NetworkError: The DNA has no config, or there is no class for it, or weights of the class are missing.
    """
    read = read_dna(dna_of(str(dna), home=home or default_home()))
    weights = dict(rebuild_tensors(read, KINDS))
    network = from_state_dict(weights, name=str(dna), config=inner_config(read.path.parent))
    module = build(network, device=device)
    return module if dtype is None else module.to(dtype)
