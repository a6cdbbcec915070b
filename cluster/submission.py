"""Recipes submitted to a cluster of this machine, as a user would do it: by `dna-ray submit`."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from nodes import Nodes

Job = subprocess.Popen[bytes]

_LINES = 20  # of a log that are shown of a job that failed


@contextlib.contextmanager
def submitted(verb: str, *, what: Mapping[str, Any], how: Mapping[str, Any], cluster: Nodes) -> Iterator[Job]:
    """A job that is followed for the length of a block, at whose end it should be over.

    Args:
        how: Its `home` is the folder of its runs; recipe and log lie beside it.

    Raises:
        RuntimeError: After the block, with the last lines of its log: the job has failed.
    """
    home = Path(how["home"])
    recipe, log = home.with_suffix(".yaml"), home.with_suffix(".log")
    recipe.write_text(yaml.safe_dump({"verb": verb, "what": dict(what), "how": dict(how)}))
    command = [sys.executable, "-m", "dna_ray", "submit", str(recipe), "--address", cluster.dashboard]
    with log.open("wb") as said:
        job = subprocess.Popen(command, env=cluster.environment, stdout=said, stderr=said, start_new_session=True)
        try:
            yield job
        finally:
            job.kill()
            job.wait()
    if job.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-_LINES:])
        raise RuntimeError(f"{verb} ended with code {job.returncode}; the last lines of its log:\n{last}")
