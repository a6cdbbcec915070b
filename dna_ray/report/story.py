"""What happened on the way to a coded DNA, in words, from its header."""

from collections.abc import Mapping
from typing import Any

from dna_ray.mining.coding.mean import read_means
from dna_ray.mining.kind import Payload
from dna_ray.networks import Anatomy


def story(payload: Payload, anatomy: Anatomy) -> tuple[str, ...]:
    """Lines about smoothness, calibration and healing."""
    params = payload.params
    smooth = [read_means(payload, anatomy.matrices).describe(anatomy.matrices)] if "smooth" in params else []
    return (*smooth, _calibration(params), *_healing(params))


def _calibration(params: Mapping[str, Any]) -> str:
    texts = params.get("calibrated")
    if not texts:
        return "data-free: all errors count the same; --calibrate agreement weighs them by what they do to the function"
    return f"calibrated: errors weighed by what they do to {texts['task']} on {texts['texts']:,} calibration texts"


def _healing(params: Mapping[str, Any]) -> list[str]:
    texts = params.get("healed")
    if not texts:
        return ["not healed; --heal agreement lets it learn again"] if params.get("calibrated") else []
    return [f"healed: {texts['steps']:,} steps of distillation on {texts['texts']:,} texts of the healing split"]
