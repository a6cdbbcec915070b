"""The nodes of a cluster, as they tell of themselves in a survey: are they fit, safe, and do they share storage?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from dna_ray import __version__
from dna_ray.verbs.check import Check, State, disk_check
from dna_ray.verbs.result import count, size

SHARED = "set DNA_RAY_HOME or how.home to an absolute path on storage that all nodes see"

Survey = Mapping[str, Any]
Node = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What a run would ask of a cluster.

    Attributes:
        workers: At the same time.
        use_gpu: Whether each needs a GPU.
        paths: What every node must see, beside the folder of the runs.
        tracking: URI of the tracking server; None: the one that the nodes are set up with.
    """

    workers: int = 0
    use_gpu: bool = False
    paths: tuple[str, ...] = ()
    tracking: str | None = None


def of_nodes(survey: Survey, wanted: Wanted, *, insecure: bool, home_given: bool = True) -> Iterator[Check]:
    """What the nodes said."""
    nodes = survey["nodes"]
    lost = [node for node in nodes if not node["alive"]]
    silent = [node for node in nodes if node["alive"] and node["answer"] is None]
    answered = [n for n in nodes if n["answer"]]
    yield Check("nodes", "ok", f"{count(len(answered), 'node')} of {_resources(survey)}")
    if lost:
        names = ", ".join(node["address"] for node in lost[:5])
        fix = "fine if you took them away; their work is done again elsewhere"
        yield Check("nodes", "warn", f"{count(len(lost), 'node')} lost or gone ({names})", fix)
    fix = "look at its raylet.err, and whether a firewall is between the nodes"
    for node in silent:
        yield _at(node, "nodes", "alive, but does not answer", fix, code=9)
    yield from _enough(survey, wanted)
    yield from _versions(answered)
    yield from _safe(answered, insecure=insecure)
    yield from _memory(answered)
    for node in answered:
        answer = node["answer"]
        name = f"disk of {node['name']} {node['address']}"
        fix = "Ray stops using it at 95 %; free some, or start Ray there with --temp-dir on a larger disk"
        yield disk_check(name, answer["disk_at"], answer["disk_free"], fix)
    yield from _storage(survey, answered, home_given=home_given)
    yield from _paths(answered)
    yield _tracking(survey)


def _enough(survey: Survey, wanted: Wanted) -> Iterator[Check]:
    for name in ("CPU", "GPU") if wanted.use_gpu else ("CPU",):
        found = survey["resources"].get(name, 0)
        if found < wanted.workers:
            fix = f"set how.workers to {found:g} or fewer, or add nodes"
            yield Check("workers", "fail", f"{wanted.workers} need {wanted.workers} {name}s, there are {found:g}", fix)


def _versions(nodes: Sequence[Node]) -> Iterator[Check]:
    ours = metadata.version("torch")
    for node in nodes:
        versions = node["answer"]["versions"]
        theirs = versions["dna-ray"]
        if versions["torch"] is None:
            fix = "install the packages of requirements.lock in its image or environment"
            yield _at(node, "packages", "torch is missing", fix)
        elif versions["torch"].partition("+")[0] != ours.partition("+")[0]:
            yield _at(
                node, "packages", f"torch {versions['torch']}, here {ours}", "same bytes only with the same", "warn"
            )
        if theirs != __version__:
            found = f"dna-ray {theirs or 'is missing'}, here {__version__}"
            fix = "install the same there; until then `dna-ray submit` sends its own"
            yield _at(node, "dna-ray", found, fix, "warn")


def _safe(nodes: Sequence[Node], *, insecure: bool) -> Iterator[Check]:
    for node in nodes:
        answer = node["answer"]
        if answer["token_mode"]:
            path, mode = answer["token_mode"].rsplit(" ", 1)
            yield _at(
                node, "token", f"{path} has mode {mode}, others there can read it", f"run `chmod 600 {path}`", code=3
            )
        if answer["open"] and answer["auth"] != "token":
            first, more = answer["open"][0], len(answer["open"]) - 1
            found = f"{first}{f' and {more} more' if more else ''} listens beyond loopback, and no token guards it"
            fix = "start Ray there with RAY_AUTH_MODE=token and a token, or say --insecure"
            yield _at(node, "ports", found, fix, "warn" if insecure else "fail", code=3)


def _memory(nodes: Sequence[Node]) -> Iterator[Check]:
    for node in nodes:
        answer = node["answer"]
        total = answer["shared_memory"]
        if total is None:
            continue
        if answer["store_in"] != "/dev/shm":
            fix = "start Ray without --plasma-directory, with a container's --shm-size above its object store"
            yield _at(
                node, "shared memory", f"the object store lies in {answer['store_in']}, on disk: slow", fix, "warn"
            )
        elif total < node["store"]:
            fix = "start the container with a larger --shm-size, or Ray with a smaller --object-store-memory"
            yield _at(node, "shared memory", f"{size(total)}, the object store wants {size(node['store'])}", fix)


def _storage(survey: Survey, nodes: Sequence[Node], *, home_given: bool) -> Iterator[Check]:
    home, head = survey["home"], survey["home_trouble"]
    if home is None:
        if not home_given:
            yield Check("runs", "fail", "nobody said where they lie, and a job's folder goes with the job", SHARED, 3)
        return
    if head is not None:
        fix = "mount the storage there, or choose another DNA_RAY_HOME"
        yield Check("runs", "fail", f"{home} cannot be made or written by the head's node ({head})", fix, 3)
        return
    bad = [node for node in nodes if node["answer"]["home_trouble"]]
    for node in bad:
        fix = "mount the same storage there"
        yield _at(node, "runs", f"{home} {node['answer']['home_trouble']}", fix, code=3)
    if not bad:
        yield Check("runs", "ok", f"{home} is seen and written by {count(len(nodes), 'node')}")
        free = min(node["answer"]["home_free"] for node in nodes) if nodes else 0
        yield disk_check("runs", home, free, "free some, or set DNA_RAY_HOME to a larger disk")


def _paths(nodes: Sequence[Node]) -> Iterator[Check]:
    for node in nodes:
        for path in node["answer"]["missing"]:
            fix = "put it on storage that all nodes see, and name it by its absolute path"
            yield _at(node, "inputs", f"{path} is not there", fix, code=3)


def _tracking(survey: Survey) -> Check:
    uri, trouble = survey["tracking"], survey["tracking_trouble"]
    if uri is None:
        return Check("tracking", "ok", "the database beside the runs")
    if trouble is None:
        return Check("tracking", "ok", f"{uri} is reached from the head's node")
    fix = "start it, or mend MLFLOW_TRACKING_URI; runs go on without it and `dna-ray track sync` completes them"
    return Check("tracking", "warn", f"{uri} {trouble}, from the head's node", fix)


def _at(node: Node, name: str, found: str, fix: str, state: State = "fail", code: int = 8) -> Check:
    return Check(name, state, f"{node['name']} {node['address']}: {found}", fix, code)


def _resources(survey: Survey) -> str:
    found = survey["resources"]
    gpus = f" and {found['GPU']:g} GPUs" if found.get("GPU") else ""
    return f"{found.get('CPU', 0):g} CPUs{gpus} in all"
