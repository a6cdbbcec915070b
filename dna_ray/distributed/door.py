"""What the front door of a cluster, its dashboard with the Jobs API, says to who knocks. Imports no Ray."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener, getproxies, proxy_bypass

from dna_ray.distributed.access import token

_MODE = "/api/authentication_mode"  # the one thing that Ray tells everybody
PATIENCE = 5.0  # seconds that the dashboard gets for an answer

Answer = Literal["ray", "nothing", "stranger", "proxy"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """What was found.

    Attributes:
        url: Of the dashboard.
        answer: Who answers: Ray, nobody, something else, or a proxy that does not lead there.
        said: What it said, where it is not Ray.
        mode: `token`, or `disabled`: everybody may come in.
        admitted: Whether the token of this process opens; None where none is needed.
        ray: Version of Ray, where it let us see it.
    """

    url: str
    answer: Answer
    said: str = ""
    mode: str = ""
    admitted: bool | None = None
    ray: str | None = None


def is_url(address: str) -> bool:
    """Whether an address is that of a dashboard, as opposed to `auto` or Ray's own HOST:PORT."""
    return urlsplit(address).scheme in ("http", "https")


def knock(url: str) -> Door:
    """Asks the dashboard at `url` what it wants to see, and for its version."""
    url = url.rstrip("/")
    try:
        status, body = _get(url, _MODE, proxies=_proxied(url))
    except HTTPException:
        return Door(url=url, answer="stranger", said="it speaks no HTTP")
    except (OSError, ValueError) as error:
        return Door(
            url=url, answer="proxy" if _proxied(url) and _opens_directly(url) else "nothing", said=_reason(error)
        )
    if "authentication_mode" not in body:
        return Door(
            url=url, answer="proxy" if _proxied(url) and _opens_directly(url) else "stranger", said=f"HTTP {status}"
        )
    return _let_in(url, str(body["authentication_mode"]))


def _opens_directly(url: str) -> bool:
    """Whether Ray is there for who goes past the proxy."""
    try:
        return "authentication_mode" in _get(url, _MODE, proxies=False)[1]
    except (OSError, ValueError, HTTPException):
        return False


def _let_in(url: str, mode: str) -> Door:
    ours = token() if mode == "token" else None
    headers = {"Authorization": f"Bearer {ours}"} if ours else {}
    try:
        status, body = _get(url, "/api/version", proxies=_proxied(url), headers=headers)
    except (OSError, ValueError, HTTPException) as error:
        return Door(url=url, answer="nothing", said=_reason(error))
    version = body.get("ray_version")
    return Door(url=url, answer="ray", mode=mode, admitted=status == 200 if mode == "token" else None, ray=version)


def _get(
    url: str, path: str, *, proxies: bool, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, Any]]:
    """The status and the JSON object of an answer; an empty one where it is none."""
    opener = build_opener() if proxies else build_opener(ProxyHandler({}))
    try:
        with opener.open(Request(url + path, headers=dict(headers or {})), timeout=PATIENCE) as answer:
            status, text = answer.status, answer.read(100_000)
    except HTTPError as error:
        status, text = error.code, error.read(100_000)
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    return status, body if isinstance(body, dict) else {}


def _proxied(url: str) -> bool:
    """Whether the environment sends requests for `url` through a proxy, as the Jobs API does, too."""
    parts = urlsplit(url)
    return parts.scheme in getproxies() and not proxy_bypass(parts.hostname or "")


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    return getattr(inner, "strerror", None) or str(inner) or type(error).__name__
