"""A network becomes a module that runs: the class its config names, with its weights."""

import inspect
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dna_ray.errors import NetworkError
from dna_ray.models.architecture import Architecture
from dna_ray.models.architectures import ARCHITECTURES, make
from dna_ray.networks.load import config_text
from dna_ray.networks.network import DTYPES, Network

_UNMEASURED = "function: not measured, because"


def build(network: Network, *, device: str | torch.device = "cpu") -> nn.Module:
    """The network as a module in eval mode, in its own dtype, on `device`. Shares no memory with `network`.

    The class is the first of the config's `architectures` or, where the network lacks its head, the one that
    `AutoModel` opens. Every weight of the class must be there; buffers that are not saved, and the second name of tied
    weights, need not be. Tensors that the class has no place for (heads of pretraining, old buffers) are left out.

    Raises:
        NetworkError: There is no config or no class for it, or weights are missing or of another shape.
    """
    model_type = (network.config or {}).get("model_type")
    module = BUILDERS.get(str(model_type), _transformers)(network)
    return module.eval().to(device)


def opening(folder: str | Path, config: Mapping[str, Any] | None) -> str:
    """The expression of Python that opens a model folder with this config."""
    if needs_us(config):
        return f'dna_ray.networks.build(dna_ray.networks.load("{folder}"))'
    return f'AutoModel.from_pretrained("{folder}")'


def needs_us(config: Mapping[str, Any] | None) -> bool:
    """Whether a model folder with this config opens with this package only: transformers has no class for it."""
    return (config or {}).get("model_type") in BUILDERS


def tokenizer(network: Network) -> Any:
    """The network's tokenizer, a `PreTrainedTokenizerBase` of transformers.

    Raises:
        NetworkError: The network came without the files of a tokenizer, or they do not make one.
    """
    from transformers import AutoTokenizer

    names = {path.name for path in network.files}
    if not names & {"tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model"}:
        raise NetworkError(f"{_UNMEASURED} {network.name} comes without a tokenizer; give a model folder that has one")
    # Files may come from several folders, and config.json only from the network: together they make a tokenizer.
    with tempfile.TemporaryDirectory() as folder, _quiet():
        for path in network.files:
            shutil.copyfile(path, Path(folder) / path.name)
        if network.config is not None:
            (Path(folder) / "config.json").write_text(config_text(network.config), encoding="utf-8")
        try:
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (ValueError, OSError, KeyError) as error:
            raise NetworkError(f"{_UNMEASURED} {network.name}'s tokenizer cannot be read ({error})") from error


def stored_name(name: str, stored: AbstractSet[str]) -> str | None:
    """What a parameter of the module that was built is called in the file; None: it is not there.

    A class may add the first part of a name (`bert.`), or leave it out.
    """
    if name in stored:
        return name
    shorter = name.partition(".")[2]
    longer = [each for each in stored if each.partition(".")[2] == name]
    return shorter if shorter in stored else longer[0] if len(longer) == 1 else None


def retied_names(config: Mapping[str, Any] | None) -> Mapping[str, str]:
    """Tied name -> the name it is kept under, as the class of `config` ties them again when it opens a folder."""
    from transformers import CONFIG_MAPPING

    if config is None or config.get("model_type") not in CONFIG_MAPPING:
        return {}
    settings = CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))
    ties = getattr(_class_named(config), "_tied_weights_keys", None)
    return ties if isinstance(ties, Mapping) and getattr(settings, "tie_word_embeddings", False) else {}


def _transformers(network: Network) -> nn.Module:
    if network.config is None:
        raise NetworkError(f"{_UNMEASURED} {network.name} comes without config.json; give a model folder")
    config = _config(network)
    named, base = _class_named(network.config), _base_class(config)
    # Sentence encoders are often stored without the head that their config still names; then the base class is theirs.
    report: Mapping[str, Any] = {}
    for model_class in filter(None, (named, base)):
        module, report = _opened(model_class, network, config)
        if not report["missing_keys"] and not report["mismatched_keys"]:
            return module
    if not report:
        raise NetworkError(f"{_UNMEASURED} transformers has no class for the config.json of {network.name}")
    if report["mismatched_keys"]:
        name, found, expected = min(report["mismatched_keys"])
        raise NetworkError(
            f"{_UNMEASURED} {name!r} of {network.name} is {tuple(found)}, by its config.json {tuple(expected)}; "
            "use the config that belongs to these weights"
        )
    missing = sorted(report["missing_keys"])
    raise NetworkError(
        f"{_UNMEASURED} {network.name} lacks {len(missing)} weights of {model_class.__name__} (first {missing[0]!r}); "
        "give the network whole, with the config that belongs to it"
    )


def _opened(model_class: Any, network: Network, config: Any) -> tuple[nn.Module, Mapping[str, Any]]:
    """The module and the report of what was missing. Through from_pretrained, which knows old names and ties."""
    names = [info.name for info in network.anatomy]
    options: dict[str, Any] = {}
    if "add_pooling_layer" in inspect.signature(model_class.__init__).parameters:
        options["add_pooling_layer"] = any("pooler." in name for name in names)
    weights = {name: network.read(name).clone() for name in names}
    try:
        with _quiet():
            module, report = model_class.from_pretrained(
                None,
                config=config,
                state_dict=weights,
                dtype=_dtype(network),
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **options,
            )
    except ValueError as error:  # what the class finds wrong with its config
        raise _invalid(network, error) from error
    return module, report


def _config(network: Network) -> Any:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CONFIG_MAPPING

    settings = dict(network.config or {})
    model_type = settings.get("model_type")
    if model_type not in CONFIG_MAPPING:
        raise NetworkError(f"{_UNMEASURED} transformers has no class for model_type {model_type!r} of {network.name}")
    try:
        return CONFIG_MAPPING[model_type].from_dict(settings)
    except (StrictDataclassError, ValueError, TypeError) as error:
        raise _invalid(network, error) from error


def _invalid(network: Network, error: Exception) -> NetworkError:
    reason = " ".join(str(error).split())
    return NetworkError(f"{_UNMEASURED} the config.json of {network.name} is not valid ({reason})")


def _class_named(config: Mapping[str, Any]) -> Any:
    """The class of transformers that the config names first; None if it names none."""
    import transformers

    names = config.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        return None
    found = getattr(transformers, names[0], None)
    return found if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel) else None


def _base_class(config: Any) -> Any:
    """The class that `AutoModel` opens; None if there is none."""
    from transformers import MODEL_MAPPING

    return MODEL_MAPPING.get(type(config), None)


def _dtype(network: Network) -> torch.dtype:
    """The dtype that holds every floating-point weight exactly."""
    dtypes = [DTYPES[info.dtype] for info in network.anatomy if info.floating]
    return reduce(torch.promote_types, dtypes, dtypes[0]) if dtypes else torch.float32


def _efficientnet_lite0(network: Network) -> nn.Module:
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise NetworkError(
            f"{_UNMEASURED} the module of {network.name} is not installed; "
            "run: pip install --no-deps efficientnet-lite-pytorch==0.1.0"
        ) from error
    module = EfficientNet.from_name("efficientnet-lite0")
    try:
        module.load_state_dict({info.name: network.read(info.name) for info in network.anatomy})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise NetworkError(f"{_UNMEASURED} {network.name} is not an EfficientNet-Lite0 ({reason})") from error
    return module


def _plain(network: Network) -> nn.Module:
    """One of `dna_ray.models`."""
    module = make(Architecture.from_config(network.config or {}))
    try:
        module.load_state_dict({info.name: network.read(info.name) for info in network.anatomy})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise NetworkError(
            f"{_UNMEASURED} the weights of {network.name} are not those that its config.json describes ({reason})"
        ) from error
    return module


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers from reporting on the terminal: what matters of it is raised here."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


# model_type -> how it is built, for networks that transformers has no class for
BUILDERS: dict[str, Callable[[Network], nn.Module]] = {
    "efficientnet-lite0": _efficientnet_lite0,
    **dict.fromkeys(ARCHITECTURES, _plain),
}
