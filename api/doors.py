"""Before a route is looked for: where a request comes from, by which scheme, and how often."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from api.cors import Cors, Pairs
from api.problems import from_error, from_http
from api.rate_limits import Caller, Limiter
from domain.client_address import LOOPBACK, NOWHERE, Network, Origin, origin
from domain.rate_limits import factor_of
from integrations.tokens import Claims
from messages.doors import HttpsRequired, RateLimited

MAX_HEADERS = 100
REMEMBERED = 4_096  # clients whose address is known
MAX_HEADER_BYTES = 16 * 1_024
SANE_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?")
# Asked by probes on the inside, which speak no TLS.
PROBED = ("/health/", "/metrics")

Head = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """trusted_proxies: whose X-Forwarded-For and X-Forwarded-Proto are believed.  inner_proxies:
    from where the engine's own proxy connects, which says who asked and nothing of the scheme.
    https_only: plain requests are redirected or refused.  hsts_subdomains: HSTS names them, too."""

    trusted_proxies: tuple[Network, ...] = ()
    inner_proxies: tuple[Network, ...] = LOOPBACK
    allowed_origins: tuple[str, ...] = ()
    https_only: bool = False
    hsts_subdomains: bool = True


class Admission(NamedTuple):
    """refused: the answer, if the request goes no further.  headers: of whatever is answered."""

    refused: Response | None
    headers: Pairs


class Doors:
    """The gateway's."""

    def __init__(
        self,
        settings: DoorSettings,
        limiter: Limiter | None = None,
        who: Callable[[str], Claims | None] = lambda _authorization: None,
    ) -> None:
        """who: an Authorization header seems to speak for."""
        self._settings, self._limiter, self._who = settings, limiter, who
        self._cors = Cors(settings.allowed_origins)

        @lru_cache(REMEMBERED)
        def origin_of(peer: str, forwarded: tuple[str, ...]) -> Origin:
            return origin(peer, forwarded, settings.trusted_proxies, settings.inner_proxies)

        self._origin_of = origin_of
        subdomains = b"; includeSubDomains" if settings.hsts_subdomains else b""
        self._hsts = (b"strict-transport-security", b"max-age=31536000" + subdomains)

    async def admit(self, scope: Scope, head: Head) -> Admission:
        """Whether a request may look for its route."""
        came_from = self._origin(scope, head)
        state = scope.setdefault("state", {})
        state["client_address"], state["client_network"] = came_from[:2]
        headers = self._cors.headers(head)
        if self._scheme(scope, head, came_from) == "https":
            scope["scheme"] = "https"
            headers.append(self._hsts)
        elif self._settings.https_only and not scope["path"].startswith(PROBED):
            return Admission(_to_https(scope, head), headers)
        if _is_too_large(scope):
            return Admission(_too_large(scope), headers)
        allowed = self._cors.preflight(scope["method"], head)
        if allowed is not None:
            return Admission(Response(status_code=HTTPStatus.NO_CONTENT), allowed)
        if self._limiter is None:
            return Admission(None, headers)
        claims = self._who(head.get(b"authorization", b"").decode("latin-1"))
        caller = Caller("", came_from.network)
        if claims is not None:
            caller = Caller(claims.user_id, came_from.network, factor_of(claims.roles))
        verdict = await self._limiter.admit(scope["method"], scope["path"], caller)
        headers.extend(verdict.headers())
        if verdict.wait_ms:
            error = RateLimited(policy=verdict.limit.name, retry_after_ms=verdict.wait_ms)
            return Admission(from_error(scope, error), headers)
        return Admission(None, headers)

    def _origin(self, scope: Scope, head: Head) -> Origin:
        peer = scope["client"][0] if scope.get("client") else ""
        forwarded: tuple[str, ...] = ()
        if b"x-forwarded-for" in head:
            values = (value for key, value in scope["headers"] if key == b"x-forwarded-for")
            forwarded = tuple(value.decode("latin-1") for value in values)
        return self._origin_of(peer, forwarded)

    def _scheme(self, scope: Scope, head: Head, came_from: Origin) -> str:
        said = head.get(b"x-forwarded-proto")
        if came_from.vouched and said is not None:
            return said.rpartition(b",")[2].strip().decode("latin-1")
        return str(scope.get("scheme", "http"))


def client_address(request: Request) -> str:
    """The address that a request came from, proxies of the operator's aside."""
    return str(getattr(request.state, "client_address", NOWHERE))


def client_network(request: Request) -> str:
    """What is counted for that address: itself, or the /64 around an IPv6 address."""
    return str(getattr(request.state, "client_network", NOWHERE))


def _is_too_large(scope: Scope) -> bool:
    headers = scope["headers"]
    return (
        len(headers) > MAX_HEADERS
        or sum(len(key) + len(value) for key, value in headers) > MAX_HEADER_BYTES
    )


def _too_large(scope: Scope) -> Response:
    detail = f"At most {MAX_HEADERS} header fields of {MAX_HEADER_BYTES} bytes together."
    return from_http(scope, HTTPException(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail))


def _to_https(scope: Scope, head: Head) -> Response:
    """A redirect of what only reads. What it sent has been seen already, so nothing else moves on:
    a client that is redirected silently would go on sending secrets in the clear."""
    host = head.get(b"host", b"").decode("latin-1")
    if scope["method"] not in {"GET", "HEAD"} or not SANE_HOST.fullmatch(host):
        return from_error(scope, HttpsRequired())
    path = quote(scope["path"], safe="/:@!$&'()*+,;=~")
    query = scope.get("query_string", b"").decode("latin-1")
    place = f"https://{host.removesuffix(':80')}{path}{'?' if query else ''}{query}"
    return Response(status_code=HTTPStatus.PERMANENT_REDIRECT, headers={"location": place})
