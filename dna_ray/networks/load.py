"""A name becomes a network: a sample, a folder, a weights file, or a name on the Hugging Face hub."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import Tensor

from dna_ray.errors import NetworkError
from dna_ray.networks.anatomy import anatomy_of
from dna_ray.networks.fingerprint import fingerprint_of
from dna_ray.networks.hub import download
from dna_ray.networks.network import Network
from dna_ray.networks.readers import Weights, open_files, open_memory, shards_of
from dna_ray.networks.samples import NAMES, locate
from dna_ray.networks.trained import check_card

WEIGHTS_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")

# Small files that make a folder of weights a model folder. Nothing else is copied from where a network came.
COMPANIONS = (
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)


def load(
    name: str | Path, *, revision: str | None = None, cache_dir: Path | None = None, local_files_only: bool = False
) -> Network:
    """Opens a network. Its weights are looked at once, a tensor at a time, for the fingerprint, and not kept.

    Args:
        name: `sample:NAME`; a model folder; a lone weights file, which is a network without config; or a name on
            the hub. What exists on disk wins over the hub.
        revision, cache_dir, local_files_only: As in `from_pretrained`; for the hub only.

    Raises:
        NetworkError: There is no such network, or it cannot be read.
        ArtifactError: A sample's weights are not the published ones, or those of a network trained here have changed.
    """
    asked = str(name)
    if asked.startswith("sample:"):
        place, config = locate(asked.removeprefix("sample:"))
        return _open(place, asked, config)
    path = Path(asked).expanduser()
    if path.exists():
        return _open(path.absolute(), asked)  # a worker may read it from another working folder
    if isinstance(name, Path) or _looks_like_path(asked):
        raise NetworkError(f"{asked}: no such file or folder{_nearest_path(path)}")
    _refuse_misspelt_sample(asked)
    return _open(download(asked, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only), asked)


def from_state_dict(
    weights: Mapping[str, Tensor],
    *,
    name: str,
    config: Mapping[str, Any] | None = None,
    files: Sequence[Path] = (),
) -> Network:
    """A network in memory. Its tensors are shared with `weights`: clone what you read before changing it in place.

    Raises:
        NetworkError: A value is no dense tensor, or has a dtype that safetensors cannot hold.
    """
    return _network(open_memory(weights, name=name), name, config, tuple(files))


def in_memory(network: Network) -> Network:
    """The same network with its weights in memory, so that it can be sent to other processes; without its files."""
    weights = {info.name: network.read(info.name) for info in network.anatomy}
    return replace(network, read=open_memory(weights, name=network.name).read, files=())


def _open(place: Path, name: str, config: Mapping[str, Any] | None = None) -> Network:
    if place.is_file():
        if place.name.endswith(".index.json"):
            return _network(open_files(shards_of(place)), name, config, ())
        if place.suffix not in WEIGHTS_SUFFIXES:
            raise NetworkError(
                f"{place}: not a weights file; give a model folder or one of *{', *'.join(WEIGHTS_SUFFIXES)}"
            )
        return _network(open_files([place]), name, config, ())
    files = tuple(place / companion for companion in COMPANIONS if (place / companion).is_file())
    network = _network(open_files(_weights_files(place)), name, config or _config(place), files)
    check_card(place, network.fingerprint)
    return network


def _network(weights: Weights, name: str, config: Mapping[str, Any] | None, files: tuple[Path, ...]) -> Network:
    anatomy = anatomy_of(weights.found, config, ties=weights.ties)
    return Network(
        name=name,
        anatomy=anatomy,
        read=weights.read,
        fingerprint=fingerprint_of(anatomy, weights.read),
        config=config,
        files=files,
    )


def _weights_files(folder: Path) -> list[Path]:
    """The weights of a model folder, in the order of preference of transformers."""
    for stem, suffix in (("model", ".safetensors"), ("pytorch_model", ".bin")):
        if (folder / f"{stem}{suffix}").is_file():
            return [folder / f"{stem}{suffix}"]
        if (folder / f"{stem}{suffix}.index.json").is_file():
            return shards_of(folder / f"{stem}{suffix}.index.json")
    candidates = sorted(path for path in folder.iterdir() if path.suffix in WEIGHTS_SUFFIXES)
    if len(candidates) == 1:
        return candidates
    if candidates:
        names = ", ".join(path.name for path in candidates[:5])
        raise NetworkError(
            f"{folder}: holds several weights files ({names}) and no index; give the path of one of them"
        )
    raise NetworkError(f"{folder}: no weights found; expected model.safetensors, pytorch_model.bin or their index")


def _config(folder: Path) -> Mapping[str, Any] | None:
    path = folder / "config.json"
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NetworkError(f"{path}: not JSON ({error}); download the network again") from error
    if not isinstance(config, dict):
        raise NetworkError(f"{path}: not an object of JSON; download the network again")
    return config


def config_text(config: Mapping[str, Any]) -> str:
    """A config as the text of config.json; the same config gives the same bytes."""
    return json.dumps(dict(config), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") != 1 and "/" in name or name.endswith(WEIGHTS_SUFFIXES)


def _nearest_path(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; {path.parent} does not exist either"
    near = get_close_matches(path.name, [sibling.name for sibling in path.parent.iterdir()], n=1)
    return f"; did you mean {path.parent / near[0]}?" if near else f" in {path.parent.resolve()}"


def _refuse_misspelt_sample(name: str) -> None:
    """`minilm` and `samples:minilm` are no names on the hub, and would only give a puzzling answer from there."""
    stem = name.rpartition(":")[2]
    if stem in NAMES or ":" in name:
        near = get_close_matches(stem, NAMES, n=1, cutoff=0.5)
        hint = f"did you mean sample:{near[0]}?" if near else f"samples are {', '.join(f'sample:{s}' for s in NAMES)}"
        raise NetworkError(f"{name}: no such network; {hint}")
