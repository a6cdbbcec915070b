"""Is it whole? A DNA, a run with all its DNA, or a network."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import file_digest
from pathlib import Path
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.text import Text

from dna_ray.errors import ArtifactError, DnaRayError, NetworkError, UnreachableError
from dna_ray.mining import KINDS
from dna_ray.mining.dna import FILE_NAME
from dna_ray.mining.dna import verify as verify_dna
from dna_ray.networks import load
from dna_ray.tracking import journal
from dna_ray.tracking.store import home as default_home
from dna_ray.verbs import runs
from dna_ray.verbs.result import count
from dna_ray.verbs.subject import locate

State = Literal["good", "bad", "unknown"]
COLOURS = {"good": "green", "bad": "red", "unknown": "yellow"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked.

    Attributes:
        what: It was.
        state: `unknown` where it could not be checked.
        reason: Of a state that is not good; else what was seen.
    """

    what: str
    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class VerifyResult:
    findings: tuple[Finding, ...]

    @property
    def state(self) -> State:
        """The worst: what is bad stays bad, whatever could not be checked."""
        states = {finding.state for finding in self.findings}
        return "bad" if "bad" in states else "unknown" if "unknown" in states or not states else "good"

    @property
    def exit_code(self) -> int:
        codes = {"good": 0, "bad": ArtifactError.exit_code, "unknown": UnreachableError.exit_code}
        return codes[self.state]

    def to_json(self) -> dict[str, Any]:
        return {"state": self.state, "findings": [asdict(finding) for finding in self.findings]}

    def __rich__(self) -> RenderableType:
        lines = (
            Text.assemble(
                (f"{finding.state:8}", COLOURS[finding.state]),
                f"{finding.what}: {finding.reason}",
                no_wrap=True,
                overflow="ignore",
            )
            for finding in self.findings
        )
        return Group(*lines)


def verify(x: str, *, home: Path | None = None) -> VerifyResult:
    """Checks every byte of a DNA, and rebuilds it once; of a run its journal and all its DNA; of a network its tensors.

    Never raises for what is damaged: that is a finding.
    """
    subject = locate(x, home=home or default_home())
    if subject.sort == "run" and subject.path is not None:
        return VerifyResult(tuple(_run(subject.path)))
    if subject.sort == "dna" and subject.path is not None:
        return VerifyResult((_dna(subject.path),))
    return VerifyResult((_network(x),))


def _dna(path: Path) -> Finding:
    def check() -> str:
        dna = verify_dna(path, KINDS)
        return f"{dna.kind}, {dna.nbytes:,} bytes, {count(len(dna.anatomy.tensors), 'tensor')} rebuilt"

    return _check(f"dna {path}", path, check)


def _network(name: str) -> Finding:
    path = Path(name)

    def check() -> str:
        network = load(name)
        return f"{count(len(network.anatomy.tensors), 'tensor')} read, fingerprint {network.fingerprint[:12]}"

    return _check(f"network {name}", path if path.exists() else None, check)


def _run(path: Path) -> Iterator[Finding]:
    entries: list[dict[str, Any]] = []

    def check_journal() -> str:
        entries.extend(journal.read(path))
        started = next((entry for entry in entries if entry["event"] == "run"), None)
        if started is not None and started["identity"] != runs.read_run(path).identity:
            raise ArtifactError(f"{path}: recipe.yaml is not the recipe that the journal began with")
        return f"{len(entries)} entries"

    yield _check(f"journal {path / journal.FILE}", path / journal.FILE, check_journal)
    for made in {entry["id"]: entry for entry in entries if entry["event"] == "dna"}.values():
        folder = path / made["folder"]
        whole = _dna(folder)
        yield whole if whole.state != "good" else _check(f"dna {folder}", folder, partial(_same, path, made))


def _same(run: Path, made: dict[str, Any]) -> str:
    """Whether the DNA there is the one that the run made."""
    with (run / made["folder"] / FILE_NAME).open("rb") as file:
        found = file_digest(file, "sha256").hexdigest()
    if found != made["id"]:
        raise ArtifactError(f"is {found[:12]}, the journal says {made['id'][:12]}; another run has replaced it")
    return f"{made['kind']}, {made['bytes']:,} bytes, as the journal says"


def _check(what: str, path: Path | None, check: Callable[[], str]) -> Finding:
    """Bad is what was read and found wrong; what is not there, or may not be read, is unknown."""
    try:
        if path is None or path.exists():
            return Finding(what, "good", check())
        return Finding(what, "unknown", "is not there")
    except ArtifactError as error:
        unreadable = isinstance(error.__cause__, PermissionError)
        return Finding(what, "unknown" if unreadable else "bad", str(error))
    except NetworkError as error:
        return Finding(what, "unknown" if path is None else "bad", str(error))
    except (DnaRayError, OSError, MemoryError) as error:
        return Finding(what, "unknown", str(error))
