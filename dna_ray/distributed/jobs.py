"""Jobs on a Ray cluster, through the Jobs API of its dashboard: submitted, followed, found again."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dna_ray.errors import UnreachableError

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
DIED = "JOB_SUPERVISOR_ACTOR_DIED"  # of the process that watches over the driver: its node is lost, or it was killed
_SHORTEST, _LONGEST = 1.0, 5.0  # seconds between two looks at a job
_PATIENCE = 60.0  # seconds that a head may be silent before it counts as lost


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What is submitted.

    Attributes:
        id: The same for the same job; a number of the attempt is its end.
        entrypoint: The command, for a shell.
        working_dir: A folder that is sent, unless the cluster has it already; the command starts there.
        metadata: Words about the job; everybody who may see the cluster sees them, and the rest.
    """

    id: str
    entrypoint: str
    working_dir: Path
    metadata: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """How a job is doing.

    Attributes:
        status: `PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED`, `STOPPED`, or `LOST`: the cluster knows it no more.
        exit_code: Of its command; None where nobody saw it end.
        message: What Ray says of it, on one line.
    """

    id: str
    status: str
    exit_code: int | None = None
    error: str | None = None
    message: str = ""

    @property
    def ended(self) -> bool:
        return self.status in (*ENDED, "LOST")

    @property
    def lost(self) -> bool:
        """Whether the driver was killed, or its node or the head went away: nothing that the job did itself."""
        if self.status == "FAILED":
            return self.error == DIED or (self.exit_code is not None and not 0 <= self.exit_code <= 128)
        return self.status == "LOST"


class Jobs:
    """The jobs of the cluster whose dashboard is at `url`.

    Raises:
        UnreachableError: From every method: the cluster does not answer.
    """

    def __init__(self, url: str, settings: Mapping[str, str]) -> None:
        os.environ.update(settings)  # Ray reads them when it is imported
        from ray.job_submission import JobSubmissionClient

        for talkative in ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging"):
            logging.getLogger(talkative).setLevel(logging.WARNING)
        self._url = url
        with self._answering():
            self._client = JobSubmissionClient(url)

    def submit(self, submission: Submission) -> None:
        with self._answering():
            self._client.submit_job(
                entrypoint=submission.entrypoint,
                submission_id=submission.id,
                runtime_env={"working_dir": str(submission.working_dir)},
                metadata=dict(submission.metadata),
            )

    def latest(self, name: str) -> tuple[int, State | None]:
        """The last of the jobs called `name-a1`, `name-a2` ... that the cluster knows, and its number; 0: none."""
        with self._answering():
            known = self._client.list_jobs()
        attempts = {attempt_of(job.submission_id or "", name): job for job in known}
        number = max(attempts, default=0)
        return number, _state(attempts[number]) if number else None

    def state(self, job: str) -> State:
        try:
            with self._answering():
                return _state(self._client.get_job_info(job))
        except KeyError:
            return State(id=job, status="LOST", message="the cluster does not know it any more; was its head replaced?")

    def follow(self, job: str, show: Callable[[str], None], *, within: float | None = None) -> State:
        """Shows the lines of the job's log, from its beginning, until it has ended.

        Ends with a job that is `LOST` where the head is silent for a minute.

        Args:
            within: Seconds after which it is left as it is.
        """
        log, began = Log(show), time.monotonic()
        heard = began
        while True:
            try:
                state = self.state(job)  # first: what is logged until it ended is in what comes next
                log.whole(self._logs(job))
                heard = time.monotonic()
            except UnreachableError:
                if time.monotonic() - heard > _PATIENCE:
                    return State(id=job, status="LOST", message=f"the head at {self._url} does not answer any more")
            else:
                if state.ended or (within and heard - began > within):
                    log.close()
                    return state
            time.sleep(log.pause)

    def delete(self, job: str) -> None:
        """Forgets a job that has ended, if that can be done."""
        with contextlib.suppress(UnreachableError, RuntimeError), self._answering():
            self._client.delete_job(job)

    def _logs(self, job: str) -> str:
        """All that the job has said. Empty where it has not begun, or its node took its log along."""
        with contextlib.suppress(KeyError), self._answering():
            try:
                return str(self._client.get_job_logs(job) or "")
            except RuntimeError:
                return ""
        return ""

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Turns what the client raises into our errors; KeyError: there is no such job."""
        from ray.exceptions import AuthenticationError

        try:
            yield
        except (OSError, AuthenticationError) as error:  # those of `requests` are OSErrors
            raise UnreachableError(
                f"Ray at {self._url} does not answer ({_first_line(error)}); is its head up?"
            ) from error
        except RuntimeError as error:
            if "status code 404" in str(error):
                raise KeyError(str(error)) from error
            raise UnreachableError(f"Ray at {self._url} refuses ({last_line(error)})") from error


class Log:
    """A log that comes whole again and again, and grows: shows every line of it once.

    Attributes:
        pause: Seconds until it is worth asking again: short while it grows.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self.pause = _SHORTEST
        self._show = show
        self._shown = 0
        self._rest = ""

    def whole(self, text: str) -> None:
        *lines, self._rest = text.split("\n")
        for line in lines[self._shown :]:
            self._show(line.rstrip("\r"))
        self.pause = _SHORTEST if len(lines) > self._shown else min(_LONGEST, 1.2 * self.pause)
        self._shown = max(self._shown, len(lines))

    def close(self) -> None:
        """The last line may lack its end."""
        if self._rest:
            self._show(self._rest)


def attempt_of(job: str, name: str) -> int:
    """The number of the attempt that `job` is of `name`, counted from 1; 0 where it is none."""
    number = job.removeprefix(f"{name}-a") if job.startswith(f"{name}-a") else ""
    return int(number) if number.isdecimal() else 0


def _state(job: Any) -> State:
    message = " ".join((job.message or "").split("last available logs")[0].split()).rstrip(" ,")
    status = str(getattr(job.status, "value", job.status))
    return State(
        id=job.submission_id, status=status, exit_code=job.driver_exit_code, error=job.error_type, message=message[:300]
    )


def _first_line(error: object) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def last_line(error: object) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if len(line.strip()) > 1), "no reason")[
        :200
    ]
