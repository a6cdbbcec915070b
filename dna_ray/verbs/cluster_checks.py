"""Is a cluster fit? First its front door is looked at from here, then its nodes tell of themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dna_ray.distributed.access import authentication
from dna_ray.distributed.door import is_url
from dna_ray.errors import DnaRayError, InputError
from dna_ray.tracking.store import public
from dna_ray.verbs.check import Check, failing
from dna_ray.verbs.door_checks import at_the_door
from dna_ray.verbs.node_checks import SHARED, Survey, Wanted, of_nodes
from dna_ray.verbs.progress import Progress, Silent

if TYPE_CHECKING:
    from dna_ray.distributed.jobs import Jobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """What was found.

    Attributes:
        checks: In the order in which they were made; where one at the door fails, no node was asked.
        survey: What the nodes said; None where they were not asked.
    """

    checks: tuple[Check, ...]
    survey: Survey | None = None


def examine(
    address: str,
    *,
    home: Path | None = None,
    wanted: Wanted | None = None,
    insecure: bool = False,
    progress: Progress | None = None,
) -> Examined:
    """Looks at the cluster at `address`: the URL of its dashboard, Ray's own HOST:PORT, or `auto`.

    Args:
        home: Folder of the runs; None: DNA_RAY_HOME of the nodes.
        insecure: Go on where nothing protects a cluster that others can reach.
    """
    progress, wanted = progress or Silent(), wanted or Wanted()
    relative = home is not None and not home.is_absolute()
    checks = tuple(at_the_door(address, insecure=insecure))
    shut = failing(checks)
    if relative:
        found = f"{home} is relative, and a job's folder goes with the job"
        checks = (*checks, Check("runs", "fail", found, SHARED, InputError.exit_code))
    if shut:
        return Examined(checks=checks)
    tracking = wanted.tracking and public(wanted.tracking)
    asked = {"home": None if relative else home and str(home), "paths": list(wanted.paths), "tracking": tracking}
    try:
        with progress.stage("survey"):
            survey = _survey(address, asked, insecure=insecure)
    except DnaRayError as error:
        return Examined(checks=(*checks, Check("ray cluster", "fail", str(error), exit_code=error.exit_code)))
    told = of_nodes(survey, wanted, insecure=insecure, home_given=home is not None)
    return Examined(checks=(*checks, *told), survey=survey)


def open_jobs(url: str, *, insecure: bool) -> "Jobs":
    """The Jobs API at `url`."""
    from dna_ray.distributed.jobs import Jobs

    return Jobs(url.rstrip("/"), authentication(url, insecure=insecure))


def _survey(address: str, asked: Mapping[str, Any], *, insecure: bool) -> Survey:
    from dna_ray.distributed.surveyor import survey_by_job, survey_from_here

    if is_url(address):
        return survey_by_job(open_jobs(address, insecure=insecure), asked)
    return survey_from_here(address, asked, insecure=insecure)
