"""Where networks come from, and what their tensors are."""

from dna_ray.networks.anatomy import FAMILIES, anatomy_of
from dna_ray.networks.build import build, needs_us, opening, stored_name, tokenizer
from dna_ray.networks.fingerprint import fingerprint_of
from dna_ray.networks.load import from_state_dict, in_memory, load
from dna_ray.networks.network import DTYPE_NAMES, DTYPES, KINDS, Anatomy, Network, TensorInfo
from dna_ray.networks.save import save

__all__ = [
    "DTYPES",
    "DTYPE_NAMES",
    "FAMILIES",
    "KINDS",
    "Anatomy",
    "Network",
    "TensorInfo",
    "anatomy_of",
    "build",
    "fingerprint_of",
    "from_state_dict",
    "in_memory",
    "load",
    "needs_us",
    "opening",
    "save",
    "stored_name",
    "tokenizer",
]
