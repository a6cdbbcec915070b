"""Runs a recipe as a job of a Ray cluster: looks first, submits or attaches, follows, submits again what was lost."""

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType

from dna_ray import __version__
from dna_ray.distributed.access import MODE, authentication
from dna_ray.distributed.door import is_url
from dna_ray.errors import InputError, LockedError, ResourceError
from dna_ray.recipe import AnyRecipe, EvaluateRecipe, default_of
from dna_ray.verbs.check import as_error, failing
from dna_ray.verbs.cluster_checks import examine, open_jobs
from dna_ray.verbs.door_checks import at_the_door
from dna_ray.verbs.node_checks import Survey, Wanted
from dna_ray.verbs.progress import Progress, Silent
from dna_ray.verbs.result import plain
from dna_ray.verbs.stage import RECIPE, cache_folder, name_of, stage, subject_of

if TYPE_CHECKING:
    from dna_ray.distributed.jobs import Jobs, State

_LEASE = 15.0  # seconds for the lock of a driver that was lost with its node to end on shared storage
_DETACHED, _STOPPED = 130, 143  # exit codes, as of signals

Show = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitResult:
    """How a job ended, or that it goes on.

    Attributes:
        job: Its id at the cluster; ends in the number of the attempt.
        status: Of Ray, or `LOST`.
        exit_code: That of the job's own command, as far as there is one; 0 where it goes on unwatched as asked.
        message: What Ray says of it.
        command: The same submission by hand.
        follow, stop: Commands for a job that goes on.
        result: The JSON that the job's verb printed, where that was asked for.
    """

    job: str
    attempt: int
    status: str
    exit_code: int
    message: str
    command: str
    follow: str
    stop: str
    result: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __rich__(self) -> RenderableType:
        lines = [f"job      {self.job}: {self.status}{f' ({self.message})' if self.message else ''}"]
        if self.status in ("PENDING", "RUNNING"):
            lines += ["follow   the same command again, or", f"         {self.follow}", f"stop     {self.stop}"]
        return plain("\n".join(lines))


def submit(
    recipe: AnyRecipe,
    *,
    address: str,
    working_dir: Path | None = None,
    retries: int = 2,
    wait: bool = True,
    as_json: bool = False,
    insecure: bool = False,
    show: Show | None = None,
    progress: Progress | None = None,
) -> SubmitResult:
    """Submits `recipe`, or attaches to its job where that is at work already, and follows it to its end.

    A job whose driver was killed, or whose node or head went away, is submitted again; the run goes on from its
    journal. Ctrl-C leaves the job alone.

    Args:
        address: URL of the dashboard of the cluster's head.
        working_dir: A folder of own code that the job needs, such as the module of a task.
        retries: How often a job that was lost is submitted again.
        wait: Follow the job, instead of leaving it once it is submitted.
        as_json: Have the job print JSON, and return it.
        insecure: Also use a cluster that others can reach and that no token guards.
        show: Takes the lines of the job's log.

    Raises:
        DnaRayError: What is wrong with the cluster, all faults in one line, with the class of the first.
    """
    if not is_url(address):
        raise InputError(f"--address {address}: give the URL of the head's dashboard, such as http://HEAD:8265")
    errand = _Errand(recipe, address.rstrip("/"), working_dir, as_json, insecure, progress or Silent())
    faults = failing(at_the_door(errand.url, insecure=insecure))
    if faults:
        raise as_error(faults)
    errand.jobs = open_jobs(errand.url, insecure=insecure)
    attempt, state = errand.jobs.latest(errand.name)
    if state is None or state.ended:
        attempt += 1
        state = errand.launch(attempt)
        known = ""
    else:
        known = f"{state.id} is at work already"
    if not wait:
        if known:
            errand.progress.note(known)
        return errand.result(state, attempt, 0)
    return _followed(errand, state, attempt, retries, show or (lambda line: None), known)


def _followed(errand: "_Errand", state: "State", attempt: int, retries: int, show: Show, known: str) -> SubmitResult:
    printed = _Printed(show)
    was_lost = False
    try:
        if known:
            errand.progress.note(f"{known}: following it")  # from here on Ctrl-C only leaves it
        while True:
            state = errand.jobs.follow(state.id, printed)
            was_lost = was_lost or state.lost
            held = was_lost and state.exit_code == LockedError.exit_code
            if retries < 1 or not (state.lost or held):
                return errand.result(state, attempt, exit_code(state), printed.json)
            errand.progress.note(f"{state.id} was lost ({state.message}); submitted again, the run goes on")
            if held:
                time.sleep(_LEASE)
            retries, attempt = retries - 1, attempt + 1
            state = errand.launch(attempt)
    except KeyboardInterrupt:
        return errand.result(errand.jobs.state(state.id), attempt, _DETACHED)


def exit_code(state: "State") -> int:
    """The exit code of `dna-ray` for a job that has ended: its own, where its command had one."""
    if state.status == "SUCCEEDED":
        return 0
    if state.status == "STOPPED":
        return _STOPPED
    if state.lost or not state.exit_code:
        return ResourceError.exit_code
    return state.exit_code


class _Errand:
    """One recipe and one cluster.

    Attributes:
        url: Of the dashboard.
        name: Of the job, without the number of an attempt.
        jobs: The Jobs API at `url`.
    """

    jobs: "Jobs"

    def __init__(
        self,
        recipe: AnyRecipe,
        url: str,
        working_dir: Path | None,
        as_json: bool,
        insecure: bool,
        progress: Progress,
    ) -> None:
        self.url, self.progress = url, progress
        self.name = name_of(recipe)
        self._recipe, self._working_dir = recipe, working_dir
        self._as_json, self._insecure = as_json, insecure
        self._with_code: bool | None = None

    def launch(self, attempt: int) -> "State":
        """Looks at the cluster if nobody has, and submits."""
        from dna_ray.distributed.jobs import State, Submission

        if self._with_code is None:
            self._with_code = self._examined()
        folder = cache_folder(self.name)
        with self.progress.stage("submit"):
            stage(
                self._recipe,
                folder,
                working_dir=self._working_dir,
                with_code=self._with_code,
                insecure=self._insecure,
            )
            self.jobs.submit(
                Submission(
                    id=f"{self.name}-a{attempt}",
                    entrypoint=self._entrypoint(),
                    working_dir=folder,
                    metadata={"dna_ray": __version__, "verb": self._recipe.verb, "subject": subject_of(self._recipe)},
                )
            )
        self.progress.note(f"by hand: {self._command(attempt)}")
        return State(id=f"{self.name}-a{attempt}", status="PENDING")

    def result(self, state: "State", attempt: int, code: int, printed: dict[str, Any] | None = None) -> SubmitResult:
        return SubmitResult(
            job=state.id,
            attempt=attempt,
            status=state.status,
            exit_code=code,
            message="" if state.status in ("SUCCEEDED", "PENDING", "RUNNING") else state.message,
            command=self._command(attempt),
            follow=f"{self._mode()} ray job logs --follow --address {self.url} {state.id}",
            stop=f"{self._mode()} ray job stop --address {self.url} {state.id}",
            result=printed,
        )

    def _examined(self) -> bool:
        """Whether the cluster needs our code.

        Raises:
            DnaRayError: What keeps it from running the recipe.
        """
        examined = examine(
            self.url,
            home=_chosen_home(self._recipe),
            wanted=_wanted(self._recipe),
            insecure=self._insecure,
            progress=self.progress,
        )
        faults = failing(examined.checks)
        for check in examined.checks:
            if check.state == "warn" or len(faults) > 1 and check in faults:
                self.progress.note(f"{check.state}: {check.line()}")
        if faults or examined.survey is None:
            raise as_error(faults)
        return _lacks_code(examined.survey)

    def _entrypoint(self) -> str:
        words = ["python", "-m", "dna_ray", "run", RECIPE]
        home = _chosen_home(self._recipe)
        words += ["--set", f"how.home={home}"] if home else []  # over DNA_RAY_HOME of the nodes
        return shlex.join(words + (["--json"] if self._as_json else []))

    def _command(self, attempt: int) -> str:
        folder = shlex.quote(str(cache_folder(self.name)))
        return (
            f"{self._mode()} ray job submit --address {self.url} --submission-id {self.name}-a{attempt} "
            f"--working-dir {folder} -- {self._entrypoint()}"
        )

    def _mode(self) -> str:
        return f"{MODE}={authentication(self.url, insecure=True)[MODE]}"


class _Printed:
    """Shows the lines of a log, and keeps the JSON among them: what the verb printed last."""

    def __init__(self, show: Show) -> None:
        self.json: dict[str, Any] | None = None
        self._show = show

    def __call__(self, line: str) -> None:
        if line.startswith('{"schema"'):
            try:
                self.json = json.loads(line)
            except ValueError:
                pass
            else:
                return
        self._show(line)


def _chosen_home(recipe: AnyRecipe) -> Path | None:
    """The folder of the runs that the recipe or this environment names; None: as the nodes are set up."""
    return None if recipe.how.home == default_of(type(recipe.how), "home") else Path(recipe.how.home)


def _wanted(recipe: AnyRecipe) -> Wanted:
    what = recipe.what
    named = [subject_of(recipe), what.texts or ""]
    paths = tuple(path for path in named if path.startswith("/"))
    if isinstance(recipe, EvaluateRecipe):
        return Wanted(paths=paths)
    how = recipe.how
    gpu = how.device.startswith("cuda")
    return Wanted(workers=how.workers, use_gpu=gpu, paths=paths, tracking=how.tracking)


def _lacks_code(survey: Survey) -> bool:
    answers = [node["answer"] for node in survey["nodes"] if node["answer"]]
    return any(answer["versions"]["dna-ray"] != __version__ for answer in answers)
