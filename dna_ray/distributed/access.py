"""Who may talk to a Ray cluster: its token, and what stands open without one. Imports no Ray: it decides its settings.

Ray runs the code of whoever reaches it. Its authentication is by a token that both sides hold; Ray looks for it in
RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, and in ~/.ray/auth_token.
"""

import ipaddress
import os
import socket
import stat
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from dna_ray.errors import InputError

MODE = "RAY_AUTH_MODE"
_CONNECT_SECONDS = 5.0
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def token_file() -> Path:
    """The file in which Ray looks for a token; it need not be there."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def token() -> str | None:
    """The token that Ray would use, None where there is none."""
    if given := os.environ.get("RAY_AUTH_TOKEN"):
        return given
    try:
        return token_file().read_text().strip() or None
    except OSError:
        return None


def too_open(path: Path) -> int | None:
    """The mode of a file that others than its owner may read or change, None where it is private or missing."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    return mode if mode & OTHERS else None


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine and nothing else."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return _resolves_to_loopback(host)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def host_of(address: str) -> str:
    """The host of `HOST:PORT`, `ray://HOST:PORT` or `http://HOST:PORT`; empty where it names none."""
    return _parts(address).hostname or ""


def authentication(address: str, *, insecure: bool) -> dict[str, str]:
    """The setting with which Ray is to talk to the cluster at `address`; it must stand before Ray is imported.

    Args:
        insecure: Go on where nothing protects a cluster that others can reach.

    Raises:
        InputError: There is no token, and others than this machine can reach the cluster.
    """
    if os.environ.get(MODE, "token").lower() == "token" and token():
        return {MODE: "token"}
    if address in ("auto", "local") or is_loopback(host_of(address)) or insecure:
        return {MODE: "disabled"}
    raise InputError(
        f"Ray at {address}: would be used without a token, and whoever reaches it can run code on it; put its token "
        f"into {token_file()} (mode 0600) or RAY_AUTH_TOKEN, or say --insecure"
    )


def loopback_only(address: str) -> dict[str, str]:
    """The setting for a cluster whose head listens on loopback only: Ray would look at this machine's other address."""
    host, port = host_of(address), _parts(address).port
    if not host or not port or not is_loopback(host) or not silence(f"{own_address()}:{port}"):
        return {}
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def silence(address: str) -> str | None:
    """Why nothing listens at `HOST:PORT`; None where something does. Ray itself would wait for minutes."""
    try:
        parts = _parts(address)
        if not parts.hostname or not parts.port:
            return "it is no HOST:PORT"
        socket.create_connection((parts.hostname, parts.port), timeout=_CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


def own_address() -> str:
    """The address by which others reach this machine, as Ray finds it; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as aimed:
        try:
            aimed.connect(("192.0.2.1", 9))  # nobody's, by RFC 5737: only the way there counts
            return str(aimed.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _parts(address: str) -> SplitResult:
    return urlsplit(address if "//" in address else f"//{address}")


def _resolves_to_loopback(host: str) -> bool:
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(each.partition("%")[0]).is_loopback for each in found)
