"""Keeps MLflow up with a run from a process of its own, so that tracking can neither stop nor slow the run.

The process ends with its run: when the run closes it, or dies, the pipe between them ends.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import dna_ray
from dna_ray.errors import DnaRayError, LockedError, UnreachableError
from dna_ray.tracking import journal
from dna_ray.tracking.reach import knock
from dna_ray.tracking.store import tracking_uri
from dna_ray.tracking.synced import SyncReport, report, synced

_PATIENCE = 60.0  # seconds between two tries of a server that does not answer


class Writer:
    """Syncs the run folder `run` every few seconds until it is closed.

    Args:
        uri: Of the tracking server; None as in `mlflow.sync`.
        every: Seconds between two looks at the journal.
    """

    def __init__(self, run: Path, *, uri: str | None = None, every: float = 5.0) -> None:
        self._run = run.resolve()
        self._uri = uri or tracking_uri(self._run.parent)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `close` does
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self._run), str(every)],
            env=os.environ | {"MLFLOW_TRACKING_URI": self._uri, "PYTHONPATH": _python_path()},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is for the run; what it still records is to be sent
        )

    @property
    def backlog(self) -> int:
        """Entries of the journal that MLflow does not have yet."""
        return self._report().missing

    def close(self, *, timeout: float = 60.0) -> SyncReport:
        """Sends the rest and says how far MLflow is; after `timeout` seconds it is left where it is.

        Does not raise if MLflow does not answer: the report says what is missing, and why.
        """
        reason = None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            if self._process.wait(timeout):
                reason = self._last_words()
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            reason = f"MLflow took more than {timeout:g} s; to go on: dna-ray track sync {self._run}"
        self._errors.close()
        return self._report(reason)

    def _report(self, reason: str | None = None) -> SyncReport:
        entries = len(journal.read(self._run)) if (self._run / journal.FILE).exists() else 0
        return report(synced(self._run, self._uri), entries, reason=reason)

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"the process that writes to MLflow ended with code {self._process.returncode}"


def follow(run: Path, *, every: float) -> None:
    """Syncs whenever the journal has grown, until standard input ends, and then once more.

    Raises:
        DnaRayError: What the last sync raised.
    """
    seen, pause, closing = 0, 0.0, False
    while not closing:
        closing = bool(select.select([sys.stdin], [], [], pause)[0])
        size = _size(run / journal.FILE)
        if size and (closing or size != seen):
            try:
                knock(tracking_uri(run.parent), run)
                from dna_ray.tracking.mlflow import sync  # seconds, which are not spent in vain

                sync(run)
                seen, pause = size, every
            except (UnreachableError, LockedError):
                if closing:
                    raise
                pause = min(_PATIENCE, max(every, 2 * pause))
        else:
            pause = every


def main() -> None:
    os.nice(10)  # the run comes first
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    try:
        follow(Path(sys.argv[1]), every=float(sys.argv[2]))
    except DnaRayError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _python_path() -> str:
    """Where this package is, for a process that starts in another place than this one did."""
    return os.pathsep.join([str(Path(dna_ray.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])


if __name__ == "__main__":
    main()
