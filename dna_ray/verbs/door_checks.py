"""The front door of a cluster, seen from here: who answers, whether we may enter, and whether others may, too."""

from collections.abc import Iterator
from importlib import metadata

from dna_ray.distributed.access import MODE, authentication, host_of, is_loopback, silence, token, token_file, too_open
from dna_ray.distributed.door import Door, is_url, knock
from dna_ray.errors import DnaRayError
from dna_ray.verbs.check import Check


def at_the_door(address: str, *, insecure: bool) -> Iterator[Check]:
    """What can be said without going in: who answers, whether we may enter, and whether others may."""
    path = token_file()
    if (mode := too_open(path)) is not None:
        yield Check("token", "fail", f"{path} has mode {mode:04o}, others can read it", f"run `chmod 600 {path}`", 3)
    if is_url(address):
        yield from _at_the_dashboard(knock(address), insecure=insecure)
        return
    if address != "auto" and (reason := silence(address)):
        fix = "is the head up (`ray status` there), and is this the port of `ray start --head --port`, 6379 by default?"
        yield Check("ray cluster", "fail", f"{address} does not answer ({reason})", fix, 9)
        return
    try:
        guarded = authentication(address, insecure=insecure)[MODE] == "token"
    except DnaRayError as error:
        yield Check("token", "fail", str(error), exit_code=error.exit_code)
    else:
        yield Check("token", "ok", "will be shown") if guarded else _unguarded("fine on loopback only")


def _at_the_dashboard(door: Door, *, insecure: bool) -> Iterator[Check]:
    name, host = "ray cluster", host_of(door.url)
    if door.answer == "nothing":
        fix = "is the head up (`ray status` there), and is this the port of its dashboard, 8265 by default?"
        yield Check(name, "fail", f"{door.url} does not answer ({door.said})", fix, 9)
    elif door.answer == "stranger":
        fix = (
            "give the URL of the dashboard, port 8265 by default; Ray's own port (6379) and MLflow's (5000) are others"
        )
        yield Check(name, "fail", f"{door.url} answers, but is no Ray dashboard ({door.said})", fix, 9)
    elif door.answer == "proxy":
        found = f"{door.url} is there, but a proxy of the environment does not lead to it ({door.said})"
        yield Check(name, "fail", found, f"add {host} to NO_PROXY", 9)
    elif door.mode == "token" and door.admitted:
        yield Check(name, "ok", f"{door.url} takes our token")
        yield from _ray_version(door)
    elif door.mode == "token" and token() is None:
        fix = f"copy the head's token into {token_file()} with mode 0600, or set RAY_AUTH_TOKEN"
        yield Check("token", "fail", f"{door.url} wants a token, and there is none here", fix, 9)
    elif door.mode == "token":
        fix = f"copy the head's into {token_file()} with mode 0600; RAY_AUTH_TOKEN, if set, wins over the file"
        yield Check("token", "fail", f"{door.url} does not take the token that is here", fix, 9)
    elif insecure or is_loopback(host):
        yield Check(name, "ok", f"{door.url} answers")
        yield _unguarded("fine where nobody else can reach it")
        yield from _ray_version(door)
    else:
        fix = "start its head with RAY_AUTH_MODE=token and a token, or say --insecure"
        yield Check("token", "fail", f"{door.url} lets everybody in, and who is in can run code", fix, 3)


def _unguarded(fine: str) -> Check:
    return Check(
        "token", "warn", "none guards this cluster", f"{fine}; otherwise start its head with RAY_AUTH_MODE=token"
    )


def _ray_version(door: Door) -> Iterator[Check]:
    ours = metadata.version("ray")
    if door.ray == ours:
        yield Check("ray", "ok", f"{ours}, here and there")
    else:
        yield Check("ray", "fail", f"{ours} here, {door.ray} there", f'run `pip install "ray[default]=={door.ray}"`', 8)
