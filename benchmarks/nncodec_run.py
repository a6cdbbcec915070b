"""One network through nncodec and back; runs in the environment that `make bench-nncodec` sets up, not in ours.

    build/nncodec-venv/bin/python benchmarks/nncodec_run.py weights.npz out --qp -16

reads arrays of float32 and int32 by name, writes out/network.nnc and out/decoded.npz, and prints one line of JSON.
"""

import argparse
import importlib
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(";")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--qp", type=int, required=True, help="step of the matrices: 2^(1/4) a unit")
    parser.add_argument("--vector-qp", type=int, default=-75, help="step of the vectors [default: -75, nncodec's own]")
    parser.add_argument("--lambda-scale", type=float, default=0.0, help="weight of the rate in the trellis")
    options = parser.parse_args()
    nnc = _coder()
    with np.load(options.weights) as file:
        weights = dict(file)
    coded = options.out / "network.nnc"
    start = time.process_time()
    nnc.compress(
        weights,
        bitstream_path=str(coded),
        qp=options.qp,
        nonweight_qp=options.vector_qp,
        lambda_scale=options.lambda_scale,
        use_dq=True,
        row_skipping=True,
    )
    encoded = time.process_time()
    decoded = nnc.decompress(bytearray(coded.read_bytes()))
    seconds = {"encode_s": encoded - start, "decode_s": time.process_time() - encoded}
    np.savez(options.out / "decoded.npz", **decoded)
    print(json.dumps({"version": version("nncodec"), "file_bytes": coded.stat().st_size, **seconds}))


def _coder() -> ModuleType:
    """nncodec's coder, which is numpy and C++.

    It imports its bindings to torch, torchvision, tensorflow and OpenCV, and calls none of them for a dict of arrays:
    empty modules stand in for them, and none of those needs to be installed.
    """
    bindings = ModuleType("nncodec.framework")
    sys.modules[bindings.__name__] = bindings
    for name in ("pytorch_model", "tensorflow_model", "use_case_init"):
        empty = ModuleType(f"{bindings.__name__}.{name}")
        sys.modules[empty.__name__] = empty
        setattr(bindings, name, empty)
    return importlib.import_module("nncodec.nnc")


if __name__ == "__main__":
    main()
