"""Lets transformers open a DNA folder, once this module is imported.

    import dna_ray.hf

    model = AutoModel.from_pretrained("runs/.../dna")

What opens is the rebuilt network, bit for bit, in the class that it has without us. The `model_type` of a DNA folder is
`dna`. Here that name gets a config that reads as the network's own, and a quantizer: once transformers has found the
DNA, it rebuilds the tensors and has those read instead. The rest is transformers' own way of loading: names of older
versions, ties, dtypes, devices, heads that are missing. Where this module was not imported, the auto classes do not
know `dna`, and refuse.

The weights are rebuilt into a temporary folder (TMPDIR says where), one tensor in memory at a time. Its space is free
again with the model.
"""

import copy
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig, PreTrainedModel, __version__
from transformers.modeling_utils import get_state_dict_dtype, load_state_dict
from transformers.quantizers import HfQuantizer, register_quantization_config, register_quantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from dna_ray.errors import InputError, NetworkError
from dna_ray.mining import KINDS
from dna_ray.mining.dna import Dna, read_dna, rebuild
from dna_ray.mining.folder import MODEL_TYPE
from dna_ray.networks import save


class DnaConfig(PreTrainedConfig):  # type: ignore[misc]  # transformers is untyped here
    """The config.json of a DNA folder. Reads as the config of the network inside, so that every auto class knows it."""

    model_type = MODEL_TYPE

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """The config that the network had, with a note that its weights are DNA.

        Raises:
            NetworkError: The network came without a config, or transformers has no class for it.
        """
        network, where = config_dict.get("network"), kwargs.get("name_or_path") or "this DNA"
        if not isinstance(network, dict):
            raise NetworkError(f"{where}: its network came without config.json; rebuild it: dna-ray rebuild {where}")
        model_type = network.get("model_type")
        if str(model_type) not in CONFIG_MAPPING or model_type == MODEL_TYPE:
            raise NetworkError(
                f"{where}: transformers has no class for the network's model_type {model_type!r}; "
                "open it with dna_ray.load, or upgrade transformers"
            )
        wants_unused = kwargs.pop("return_unused_kwargs", False)
        inner = CONFIG_MAPPING[model_type]
        config, unused = inner.from_dict(copy.deepcopy(network), return_unused_kwargs=True, **kwargs)
        config.quantization_config = {"quant_method": MODEL_TYPE}
        return (config, unused) if wants_unused else config


@register_quantization_config(MODEL_TYPE)
class DnaQuantizationConfig(QuantizationConfigMixin):  # type: ignore[misc]
    """Says that the weights are DNA, and that they are no longer once the model is open."""

    def __init__(self, **_: Any) -> None:
        self.quant_method = MODEL_TYPE
        self.dequantize = True  # transformers then forgets the quantizer, and saves an ordinary folder


@register_quantizer(MODEL_TYPE)
class DnaQuantizer(HfQuantizer):  # type: ignore[misc]
    """Has transformers read the rebuilt tensors in place of the DNA."""

    def __init__(self, quantization_config: QuantizationConfigMixin, **kwargs: Any) -> None:
        super().__init__(quantization_config, **kwargs)
        self._dtype_is_known = True
        self._rebuilt_was_read = False
        self._remove_scratch: Callable[[], object] | None = None

    def update_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """Without a dtype asked for or in the config transformers comes with that of the file's bytes."""
        self._dtype_is_known = dtype.is_floating_point
        return dtype if self._dtype_is_known else torch.float32

    def update_attn_implementation(self, config: PreTrainedConfig) -> PreTrainedConfig:
        """Called before weights are looked for: the DNA lies under its own name, whatever the network's config says."""
        vars(config).pop("transformers_weights", None)
        return config

    def _process_model_before_weight_loading(
        self, model: PreTrainedModel, checkpoint_files: list[str] | None = None, **_: Any
    ) -> None:
        """Rebuilds the DNA, and puts the rebuilt file in its place in the caller's list of files.

        Raises:
            InputError: The class is of another network: it found no config of its own in the folder.
            ArtifactError: The DNA is damaged.
            SpaceError: The temporary folder has no space for the rebuilt weights.
        """
        if hasattr(model.config, "network"):
            raise InputError(
                f"{model.config.name_or_path}: {type(model).__name__} is no class of the network in this DNA, whose "
                f"model_type is {(model.config.network or {}).get('model_type')!r}; open it with an auto class"
            )
        if checkpoint_files is None:
            return  # tensors in memory were given
        dna = read_dna(Path(checkpoint_files[0]).resolve())  # in the cache of the hub, files are links
        scratch = Path(tempfile.mkdtemp(prefix="dna_ray-"))
        self._remove_scratch = weakref.finalize(model, shutil.rmtree, scratch, ignore_errors=True)
        checkpoint_files[:] = _rebuilt(dna, scratch, config=model.config.to_dict())
        if not self._dtype_is_known:
            _set_dtype(model, get_state_dict_dtype(load_state_dict(checkpoint_files[0], map_location="meta")))

    def get_new_dtype(self, converter: Any, param: Any, dtype: torch.dtype | None) -> torch.dtype | None:
        """Transformers asks for each tensor that it reads: what it reads is cast as in any checkpoint."""
        self._rebuilt_was_read = True
        return dtype

    def _process_model_after_weight_loading(self, model: PreTrainedModel, **_: Any) -> PreTrainedModel:
        if self._remove_scratch is None:
            return model
        if not self._rebuilt_was_read:
            raise InputError(
                f"transformers {__version__} did not read the rebuilt weights; use 5.21 or later, or dna_ray.load"
            )
        if "disk" not in getattr(model, "hf_device_map", {}).values():  # layers on disk are read again and again
            self._remove_scratch()
        return model

    @property
    def is_trainable(self) -> bool:
        return True

    def is_serializable(self) -> bool:
        return True


def _rebuilt(dna: Dna, scratch: Path, *, config: Mapping[str, Any]) -> list[str]:
    """The weights files that `dna-ray rebuild` writes, in `scratch`."""
    with _torch_as_imported():
        folder = save(rebuild(dna, KINDS), scratch / "rebuilt", anatomy=dna.anatomy, config=config)
    return sorted(str(weights) for weights in folder.glob("*.safetensors"))


@contextmanager
def _torch_as_imported() -> Iterator[None]:
    """Undoes the default device (meta) and dtype (the model's) under which transformers makes an empty model."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)


def _set_dtype(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """As if the still empty model had been made with `dtype` as the default; leaves buffers that are not stored."""
    for tensor in model.state_dict(keep_vars=True).values():
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)
    model.config.dtype = dtype


AutoConfig.register(MODEL_TYPE, DnaConfig)
