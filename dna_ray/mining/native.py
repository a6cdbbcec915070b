"""The pointwise kernels in C++, compiled for this processor when they are first wanted, and kept.

A sine here is a polynomial in the same pass that adds the bias and takes the cosine. Compiling takes about a second
and needs a C++ compiler, `CXX` or c++; where there is none, `sine.EAGER` does the same in more passes.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from dna_ray.mining.sine import Kernels

SOURCE = Path(__file__).with_name("sine_kernels.cpp")
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd")
_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}

logger = logging.getLogger(__name__)


@cache
def kernels() -> Kernels | None:
    """The kernels for tensors on the CPU; None where they cannot be compiled."""
    try:
        library = ctypes.CDLL(str(_compiled()))
    except (OSError, subprocess.SubprocessError) as error:
        logger.info("no native kernels: %s", error)
        return None
    return _bind(library)


def folder() -> Path:
    """Where compiled kernels are kept: below `DNA_RAY_CACHE`, or ~/.cache/dna_ray."""
    return Path(os.environ.get("DNA_RAY_CACHE") or "~/.cache/dna_ray").expanduser() / "kernels"


def _compiled() -> Path:
    """The library of this source, these flags and this processor; another process may be making it, too."""
    compiler = shutil.which(os.environ.get("CXX") or "c++")
    if compiler is None:
        raise FileNotFoundError("there is no C++ compiler")
    wide = ["-mprefer-vector-width=512"] if torch.cpu.get_capabilities().get("avx512_f") else []
    command = [compiler, *FLAGS, *wide, "-shared", "-fPIC", str(SOURCE)]
    about = [*command, platform.machine(), str(sorted(torch.cpu.get_capabilities().items()))]
    name = hashlib.sha256("\n".join(about).encode() + SOURCE.read_bytes()).hexdigest()[:32]
    library = folder() / f"{name}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
            made = Path(scratch, library.name)
            subprocess.run([*command, "-o", str(made)], check=True, capture_output=True, timeout=120)
            made.replace(library)
    return library


def _bind(library: ctypes.CDLL) -> Kernels:
    sine, slope, weigh = (_kernel(library, name, 3, 3) for name in ("sine", "slope", "weigh"))
    weigh_slope = _kernel(library, "weigh_slope", 6, 3)
    outer, outer_slope = _kernel(library, "outer", 3, 4), _kernel(library, "outer_slope", 5, 4)
    return Kernels(
        sine=lambda z, bias, cos: sine(z, z, bias, cos),
        slope=lambda grad, cos, total: slope(grad, grad, cos, total),
        weigh=lambda x, weight, value: weigh(x, x, weight, value),
        weigh_slope=lambda grad, weight, sin, *rest: weigh_slope(sin, grad, weight, sin, *rest),
        outer=lambda row, col, sin: outer(sin, row, col, sin),
        outer_slope=lambda grad, row, col, *totals: outer_slope(grad, grad, row, col, *totals),
    )


def _kernel(library: ctypes.CDLL, name: str, tensors: int, dims: int) -> Callable[..., None]:
    """Calls `name` on that many tensors; the first argument gives the dtype, and the shape that is looped over."""
    functions = {dtype: getattr(library, f"{name}_{suffix}") for dtype, suffix in _NAMES.items()}
    for function in functions.values():
        function.argtypes = [ctypes.c_void_p] * tensors + [ctypes.c_int64] * dims
        function.restype = None

    def run(points: Tensor, *arguments: Tensor) -> None:
        if not all(tensor.is_contiguous() for tensor in arguments):
            raise ValueError(f"{name}: its tensors must be contiguous")
        functions[points.dtype](*(tensor.data_ptr() for tensor in arguments), *points.shape)

    return run
