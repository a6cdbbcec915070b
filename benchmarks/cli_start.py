"""How long the command takes to say something: help and shell completion, beside an empty Python.

python benchmarks/cli_start.py
"""

import os
import subprocess
import sys
from collections.abc import Callable

from timing import arguments, interleaved, show

COMPLETE = {"_DNA_RAY_COMPLETE": "bash_complete", "COMP_WORDS": "dna-ray mi", "COMP_CWORD": "1"}
COMMAND = (sys.executable, "-m", "dna_ray")


def main() -> None:
    parser = arguments(__doc__, threads=False)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    cases = {
        "python -c pass": _process((sys.executable, "-c", "pass")),
        "dna-ray --help": _process((*COMMAND, "--help")),
        "dna-ray mine --help": _process((*COMMAND, "mine", "--help")),
        "completion of `dna-ray mi`": _process(COMMAND, COMPLETE),
    }
    seconds = interleaved(cases, rounds=2 if options.quick else options.rounds, warm_up=1)
    rows = [{"command": name, "seconds": each} for name, each in seconds.items()]
    show("Start of the command", rows, options.json)


def _process(words: tuple[str, ...], variables: dict[str, str] | None = None) -> Callable[[], object]:
    environment = {**os.environ, **(variables or {})}
    return lambda: subprocess.run(words, env=environment, check=True, capture_output=True)


if __name__ == "__main__":
    main()
