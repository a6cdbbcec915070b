"""How many bytes, and how many seconds, does the coded kind take beside nncodec at the same error?

Encoding is to a given step, with 32 states and threads for all cores: analysis, transforms, one pass over a sample, one
over everything, and the streams; without the search for the step that meets a budget, and without the sine mean, since
nncodec has neither. Seconds are on the wall, after a first run that loads compiled code; nncodec, of one thread, is
given the seconds of its processor, in a process of its own for each point.

    make bench-nncodec ARGS=--quick && python benchmarks/coding_speed.py
"""

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nncodec_yardstick import INTERPRETER, SETTINGS, decoded, exported, run_nncodec
from numpy.typing import NDArray
from team_processes import toy
from timing import arguments, show

from dna_ray.mining.coded import decode, fit
from dna_ray.mining.coding.analysis import untransformed, with_transforms
from dna_ray.mining.coding.encoder import Encoder
from dna_ray.mining.coding.passes import Here
from dna_ray.mining.config import MineConfig
from dna_ray.mining.dna import file_size
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.kind import Payload
from dna_ray.mining.measure import measure
from dna_ray.mining.vectors import encode_vectors
from dna_ray.networks import load

STATES = 32
POINTS = ("default:-20", "default:-18", "default:-14", "tuned:-21", "tuned:-19", "tuned:-17", "tuned:-16")


def main() -> None:
    parser = arguments(__doc__, threads=False)
    parser.add_argument("--network", default="sample:minilm")
    parser.add_argument("--point", action="append", metavar="SETTING:QP", help="of nncodec; may be repeated")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if not INTERPRETER.exists():
        parser.error("nncodec is not set up; run: make bench-nncodec")
    network = toy() if options.quick else load(options.network)
    field, rows = read_field(network), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "weights.npz", **exported(network))
        for point in options.point or POINTS:
            setting, qp = point.split(":")
            theirs = [run_nncodec(folder, f"--qp={qp}", *SETTINGS[setting]) for _ in range(options.rounds)]
            size = theirs[0]["file_bytes"]
            tensors = decoded(network, folder / "decoded.npz")
            r2 = measure(field, tensors, file_bytes=size, sections={}).achieved.r2
            config = MineConfig(kind="coded", r2=r2, effort=STATES)
            ours = fit(field, None, config)
            step = float(ours.params["step"])
            encoding = [_timed(partial(at_step, field, step, STATES)) for _ in range(options.rounds)]
            decoding = [_timed(partial(_decoded, ours, field)) for _ in range(options.rounds)]
            rows.append(
                {
                    "nncodec": f"{setting}, qp {qp}",
                    "r2": r2,
                    "bytes, nncodec": size,
                    "bytes": (own := file_size(network=network, kind="coded", payload=ours)),
                    "fewer": 1 - own / size,
                    **_beside("encode s", min(encoding), min(each["encode_s"] for each in theirs)),
                    **_beside("decode s", min(decoding), min(each["decode_s"] for each in theirs)),
                }
            )
    show(f"Speed of coding {network.name}, best of {options.rounds}", rows, options.json)


def at_step(field: Field, step: float, states: int) -> int:
    """The bytes of the network coded at one step, however many that are."""

    def read(name: str) -> NDArray[np.float32]:
        return field.matrix(name).numpy()

    matrices = field.anatomy.matrices
    side = with_transforms(read, matrices, untransformed(read, matrices, {}), {}, step)
    encoder = Encoder(read, matrices, side, lambda _: None, states, (step, step), step, Here())
    found = encoder.within_bytes(1)
    sections = encode_vectors(field) | side.sections() | found.learned.sections()
    return sum(each.nbytes for each in [*sections.values(), *encoder.streams(found)])


def _decoded(ours: Payload, field: Field) -> None:
    for _ in decode(ours, field.anatomy):
        pass


def _beside(what: str, ours: float, theirs: float) -> dict[str, float]:
    return {what: ours, f"{what}, nncodec": theirs, f"{what}, ratio": ours / theirs}


def _timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
