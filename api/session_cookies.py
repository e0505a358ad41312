"""Sessions of web pages: the refresh token in a cookie that no script can read.

A page asks for it with `Session-Mode: cookie`. As browsers send cookies by themselves, what one
allows needs two proofs that the page is our own (OWASP's CSRF cheat sheet): where the browser says
the request comes from, and a token bound to the session that only a page of this site can read.

Each token has a cookie of its own, named by its number; an answer removes those that its request
showed. Under one name a slow answer would put a token back that another tab has replaced meanwhile,
and the session would end at the next refresh.
"""

from __future__ import annotations

import hmac
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import Header, Request

from api.edge import COOKIES
from messages.users_sessions import CrossSiteRequest

REFRESH = "vibestream_refresh_"
MOST = 8  # of a session there are one or two
CSRF = "vibestream_csrf"
HOST_PREFIX = "__Host-"  # a browser takes it over HTTPS alone, from this very host alone
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
CSRF_HEADER = "X-CSRF-Token"
NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)

Mode = Literal["bearer", "cookie"]


class SessionDoor:
    """How a request wants its session, and where cookies are set."""

    def __init__(self, request: Request, mode: Mode) -> None:
        self._request, self.mode = request, mode

    def give(self, refresh_token: str, number: int, csrf_token: str, max_age_s: int) -> None:
        """Put a session's token of that number into the browser's keeping."""
        prefix = _prefix(self._request)
        self._remove(_names(self._request) - {f"{prefix}{REFRESH}{number}"})
        self._set(f"{prefix}{REFRESH}{number}", refresh_token, max_age_s, "HttpOnly")
        self._set(prefix + CSRF, csrf_token, max_age_s)

    def forget(self) -> None:
        """Take it back."""
        self._remove({*_names(self._request), _prefix(self._request) + CSRF})

    def _remove(self, names: set[str]) -> None:
        for name in sorted(names):
            self._set(name, "", 0, "HttpOnly")

    def _set(self, name: str, value: str, max_age_s: int, *attributes: str) -> None:
        parts = [
            f"{name}={value}",
            "Path=/",  # HOST_PREFIX demands it
            f"Max-Age={max_age_s}",
            "SameSite=Strict",
            *(("Secure",) if name.startswith(HOST_PREFIX) else ()),
            *attributes,
        ]
        cookies = self._request.scope["state"].setdefault(COOKIES, [])
        cookies.append("; ".join(parts).encode())


async def session_door(
    request: Request,
    mode: Annotated[
        Mode,
        Header(
            alias="Session-Mode",
            description="`bearer`: the refresh token comes in the body. `cookie`: in a cookie that "
            "no script can read, for web pages of this origin.",
        ),
    ] = "bearer",
) -> SessionDoor:
    """For routes that begin a session. Raises CrossSiteRequest if another site wants a cookie."""
    door = SessionDoor(request, mode)
    if mode == "cookie":
        check_same_origin(request)
    request.state.session_door = door
    return door


def door_of(request: Request) -> SessionDoor | None:
    """The door of a request whose route asked for one."""
    door: SessionDoor | None = getattr(request.state, "session_door", None)
    return door


def refresh_cookies(request: Request) -> list[str]:
    """The refresh tokens that the browser keeps, those of the highest numbers."""
    numbered = sorted(_names(request), key=lambda name: (len(name), name), reverse=True)
    return [request.cookies[name] for name in numbered[:MOST]]


def _names(request: Request) -> set[str]:
    wanted = _prefix(request) + REFRESH
    return {
        name
        for name in request.cookies
        if name.startswith(wanted) and NUMBER.fullmatch(name[len(wanted) :])
    }


def _prefix(request: Request) -> str:
    """Browsers take no secure cookie over HTTP from this machine.

    From anywhere else a cookie is only good over HTTPS, whether it ends here or at a proxy.
    """
    plain = request.url.scheme == "http" and (request.url.hostname or "") in LOOPBACK
    return "" if plain else HOST_PREFIX


def check_same_origin(request: Request) -> None:
    """Raise CrossSiteRequest unless the browser says that a page of this origin asks."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise CrossSiteRequest
        return
    origin = request.headers.get("origin", "")
    if not origin or urlsplit(origin).netloc != request.headers.get("host"):
        raise CrossSiteRequest


def check_csrf_token(given: str | None, expected: str) -> None:
    """Raise CrossSiteRequest unless the page repeats its session's token."""
    if given is None or not hmac.compare_digest(given.encode(), expected.encode()):
        raise CrossSiteRequest
