"""A small network, its measures with a little noise, and a curve."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from dna_ray.mining.field import Field, read_field
from dna_ray.mining.measure import measure
from dna_ray.mining.measures import Measures
from dna_ray.mining.structure import Saved, Structure
from dna_ray.networks import from_state_dict
from dna_ray.report.findings import Compared, Point
from dna_ray.report.rate_points import Origin, RatePoint, rate_point
from dna_ray.tasks.score import Measured, Score

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


def small_measures(noise: float = 0.3, *, layers: int = 2, file_bytes: int = 700) -> Measures:
    field = small_field(layers)
    sections = {"places": 300, "functions": 150, "vectors": 16}
    return measure(field, rebuilt(field, noise), file_bytes=file_bytes, sections=sections)


def small_structure(measures: Measures, *last: str, mean: bool = False) -> Structure:
    """Bits that each part might have saved of `measures`; each kind saves less than the one before.

    Args:
        last: Name of the last part; "coder" if none is given.
    """
    kinds = []
    for i, kind in enumerate(measures.kinds):
        weights = kind.achieved.weights
        parts = {"mean": 0.3 / 3**i} if mean else {}
        parts |= {"scales": 0.07, "transform": 0.2 - 0.1 * i, (last or ("coder",))[0]: -0.1}
        saved = {part: bits * weights for part, bits in parts.items()}
        iid = 1.5 * weights
        file = iid - sum(saved.values())
        kinds.append(Saved(kind=kind.kind, tensors=kind.tensors, weights=weights, iid=iid, file=file, parts=saved))
    return Structure(kinds=tuple(kinds))


def small_sweep(*, scored: bool = True) -> list[RatePoint]:
    """Two kinds at 22x and 11x, worse first; two roundings, one of them judged; and a point measured elsewhere."""
    figures = {"cosine": Measured(0.95, 0.002), "rank_correlation": Measured(0.91, 0.01)}
    score = Score(task="agreement", subject="ab", n=10, metrics=figures, notes=("10 texts.",)) if scored else None
    noises = {("svd", 22.0): 0.6, ("coded", 22.0): 0.35, ("svd", 11.0): 0.3, ("coded", 11.0): 0.1}
    points = []
    for (kind, asked), noise in noises.items():
        measures = small_measures(noise, file_bytes=int(small_measures().fp32_bytes / asked))
        points.append(rate_point(Compared(kind=kind, asked=asked, measures=measures, score=score)))
    for bits, judged in ((4, score), (2, None)):
        measures = small_measures(0.7 ** (2 * bits), file_bytes=400 * bits)
        row = Compared(kind=f"round to nearest, int{bits}, groups of 64", measures=measures, score=judged)
        points.append(rate_point(row, origin=Origin.YARDSTICK, label=f"int{bits}"))
    name = "nncodec 2.1.3 (tuned), measured elsewhere"
    return [*points, replace(points[1], name=name, label="nncodec (tuned)", origin=Origin.ELSEWHERE, asked=None)]


def curve() -> list[Point]:
    steps = range(10, 110, 10)
    return [{"step": s, "time": 1e12 + 90 * s, "loss": math.exp(-s / 40), "r2": 1 - math.exp(-s / 40)} for s in steps]
