"""A DNA folder: the DNA file, and beside it config, tokenizer and card as in any model folder."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from dna_ray.errors import InputError
from dna_ray.mining.dna import FILE_NAME, write_dna
from dna_ray.mining.durable import new_folder, write_file
from dna_ray.mining.kind import Payload
from dna_ray.networks import Network

MODEL_TYPE = "dna"
# What the configs of a DNA folder tell transformers of its weights. A class that is opened by name (BertModel) passes
# over `model_type` and reads the network's config inside: there too, an unknown `quant_method` only warns, and what
# stops it is a name of weights that is none. `dna_ray.hf` takes the quantization from here, and the name away.
NOTES: Mapping[str, object] = {
    "quantization_config": {"quant_method": MODEL_TYPE},
    "transformers_weights": "this is a DNA: `import dna_ray.hf` first, or make an ordinary folder by `dna-ray rebuild`",
}
_CONFIG, _CARD = "config.json", "README.md"


def write_folder(folder: Path, *, network: Network, kind: str, payload: Payload, card: str) -> int:
    """Writes a DNA folder, whole or not at all, and returns the size of its DNA file in bytes.

    Its `model_type` is one that transformers does not know, and its weights have no name that it would open: opening it
    without dna_ray fails, where an ordinary config would leave random weights behind a warning. A DNA folder of that
    name is replaced.

    Args:
        card: The model card, in Markdown.

    Raises:
        SpaceError: No space is left.
        InputError: The folder holds something else, or cannot be written to.
    """
    check_free(folder)
    inner = None if network.config is None else {**network.config, **NOTES}
    config = {"model_type": MODEL_TYPE, "network": inner, **NOTES}
    with new_folder(folder) as new:
        for source in network.files:
            if source.name not in (FILE_NAME, _CONFIG, _CARD):
                shutil.copyfile(source, new / source.name)
        write_file(new / _CONFIG, [json.dumps(config, indent=2, sort_keys=True).encode() + b"\n"])
        write_file(new / _CARD, [card.encode()])
        return write_dna(new / FILE_NAME, network=network, kind=kind, payload=payload)


def check_free(folder: Path) -> None:
    """Only a DNA folder is ever replaced.

    Raises:
        InputError: The folder holds something else.
    """
    if folder.is_dir():
        entries = [entry.name for entry in folder.iterdir()]
        if not entries or FILE_NAME in entries and _model_type(folder / _CONFIG) == MODEL_TYPE:
            return
    if folder.exists() or folder.is_symlink():
        raise InputError(f"{folder}: exists and is no DNA folder; choose another --out, or move it away")


def _model_type(config: Path) -> object:
    try:
        values = json.loads(config.read_text())
    except (OSError, ValueError):
        return None
    return values.get("model_type") if isinstance(values, dict) else None
