"""A small network, its measures with a little noise, and a curve."""

import math
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from dna_ray.mining.field import Field, read_field
from dna_ray.mining.measure import measure
from dna_ray.mining.measures import Measures
from dna_ray.networks import from_state_dict
from dna_ray.report.findings import Point

NAMES = ("attention.self.query", "attention.self.key", "intermediate.dense", "output.dense")


def small_field(layers: int = 2) -> Field:
    generator = torch.Generator().manual_seed(0)
    state = {
        f"encoder.layer.{layer}.{name}.weight": torch.randn(24, 16, generator=generator)
        for layer in range(layers)
        for name in NAMES
    }
    state["embeddings.word_embeddings.weight"] = torch.randn(50, 16, generator=generator)
    state["embeddings.LayerNorm.weight"] = torch.ones(16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return read_field(from_state_dict(state, name="small", config={"model_type": "bert"}))


def rebuilt(field: Field, noise: float) -> Iterator[tuple[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    for info in field.anatomy:
        yield info.name, field.read(info.name) + noise * torch.randn(info.shape, generator=generator)


def small_measures(noise: float = 0.3, *, layers: int = 2) -> Measures:
    field = small_field(layers)
    sections = {"places": 300, "functions": 150, "vectors": 16}
    return measure(field, rebuilt(field, noise), file_bytes=700, sections=sections)


def curve() -> list[Point]:
    steps = range(10, 110, 10)
    return [{"step": s, "time": 1e12 + 90 * s, "loss": math.exp(-s / 40), "r2": 1 - math.exp(-s / 40)} for s in steps]
