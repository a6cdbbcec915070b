"""Networks of a few hundred weights, each built by hand to hold one difficulty."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from dna_ray.networks import Anatomy, Network, TensorInfo
from dna_ray.networks.network import DTYPE_NAMES


def network_of(
    tensors: Mapping[str, Tensor],
    *,
    kinds: Mapping[str, str] | None = None,
    tied: Mapping[str, str] | None = None,
    transposed: tuple[str, ...] = (),
    layers: Mapping[str, int] | None = None,
    name: str = "small",
) -> Network:
    """A network of `tensors`; what `kinds` does not name is of kind `other`, what `layers` does not is outside them."""
    kinds, tied, layers = kinds or {}, tied or {}, layers or {}
    infos = tuple(
        TensorInfo(
            name=key,
            dtype=DTYPE_NAMES[tensors[key].dtype],
            shape=tuple(tensors[key].shape),
            kind=kinds.get(key, "other"),
            layer=layers.get(key, -1),
            transposed=key in transposed,
            tied_to=tied.get(key),
        )
        for key in sorted(tensors)
    )
    fingerprint = hashlib.sha256(repr(infos).encode()).hexdigest()
    return Network(name=name, anatomy=Anatomy("none", infos), read=tensors.__getitem__, fingerprint=fingerprint)


def pico() -> Network:
    """212 weights: 20 x 8, 4 x 10, with norm, bias and a counter."""
    generator = torch.Generator().manual_seed(0)
    return network_of(
        {
            "0.weight": torch.randn(20, 8, generator=generator),
            "1.weight": torch.randn(4, 10, generator=generator),
            "2.bias": torch.randn(12, generator=generator),
            "2.steps": torch.tensor(7),
        },
        kinds={"2.bias": "bias", "2.steps": "buffer"},
    )


def menagerie() -> Network:
    """Every dtype, a tie, a transposed matrix, a kernel, a scalar, an empty tensor and a statistic."""
    generator = torch.Generator().manual_seed(1)
    floats = {
        f"float.{name}": torch.randn(6, 5, generator=generator).to(dtype)
        for name, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16), ("f64", torch.float64))
    }
    embedding = torch.randn(9, 4, generator=generator)
    tensors = floats | {
        "bool": torch.tensor([True, False, True]),
        "decoder.weight": embedding,
        "embedding.weight": embedding,
        "empty": torch.empty(0, 3),
        "int16": torch.arange(-3, 3, dtype=torch.int16).reshape(2, 3),
        "int32": torch.arange(4, dtype=torch.int32),
        "int64": torch.arange(4).reshape(1, 4),
        "int8": torch.tensor([-128, 127], dtype=torch.int8),
        "kernel.weight": torch.randn(6, 2, 3, 3, generator=generator),
        "norm.running_var": torch.rand(70, generator=generator) + 1e-6,
        "norm.weight": torch.ones(70),
        "scale": torch.tensor(2.5),
        "transposed": torch.randn(3, 7, generator=generator),
        "uint8": torch.tensor(255, dtype=torch.uint8),
    }
    return network_of(
        tensors,
        kinds={"norm.running_var": "statistic", "norm.weight": "norm", "kernel.weight": "convolution"},
        tied={"embedding.weight": "decoder.weight"},
        transposed=("transposed",),
    )


def stack(layers: int = 3, *, rows: int = 24, cols: int = 16, seed: int = 0) -> Network:
    """An embedding and, in every layer, a query, a key, two matrices of kind `ffn_in`, and a bias: all noise."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {"embedding": torch.randn(3 * rows, cols, generator=generator)}
    kinds, places = {"embedding": "word_embedding"}, {}
    for layer in range(layers):
        for part, kind in (("query", "query"), ("key", "key"), ("up", "ffn_in"), ("gate", "ffn_in"), ("bias", "bias")):
            name = f"layer.{layer}.{part}"
            shape = (rows,) if kind == "bias" else (rows, cols)
            tensors[name] = torch.randn(shape, generator=generator) * 0.1 + 0.01
            kinds[name], places[name] = kind, layer
    return network_of(tensors, kinds=kinds, layers=places)
