"""Whether anybody listens where MLflow should, asked without MLflow: to import that alone takes seconds."""

import socket
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from dna_ray.errors import UnreachableError
from dna_ray.tracking.store import public, without_secrets

_CONNECT = 3.0  # seconds for a connection to open
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}


def knock(uri: str, run: Path) -> None:
    """Returns if somebody listens there, or where that cannot be told, such as behind a proxy.

    Raises:
        UnreachableError: Nobody answers within seconds; MLflow itself would try for minutes.
    """
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    behind_proxy = scheme in getproxies() and not proxy_bypass(parts.hostname or "")
    if scheme in _PORTS and parts.hostname and not behind_proxy:
        try:
            socket.create_connection((parts.hostname, parts.port or _PORTS[scheme]), timeout=_CONNECT).close()
        except OSError as error:
            raise unreachable(uri, run, error) from error


def unreachable(uri: str, run: Path, error: Exception) -> UnreachableError:
    """What is said of an MLflow that failed a run in this way, in one line and without passwords."""
    reason = without_secrets(next(iter(str(error).splitlines()), "") or type(error).__name__, uri)
    return UnreachableError(
        f"{public(uri)}: MLflow does not answer or refuses ({reason[:200]}); the journal has everything, "
        f"and when it answers again: dna-ray track sync {run}"
    )
