"""Which route a request is for, without asking all of them.

Starlette asks its routes one after the other, at about a microsecond each: the last of two hundred
waited longer for its turn than for its answer. Here those that begin alike stand together, and a
request is only shown to those.
"""

from __future__ import annotations

from collections import defaultdict

from fastapi import APIRouter
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

PREFIX = "/api/v1/"


def index(router: APIRouter) -> None:
    """Have a router find its routes by how their paths begin. Its routes are all there by now."""
    router.middleware_stack = _Index(router)


class _Index:
    """Routers by the beginning of a path, each with the routes of that beginning, in order."""

    def __init__(self, router: APIRouter) -> None:
        self._all = router.app
        groups: defaultdict[str, list[BaseRoute]] = defaultdict(list)
        for route in router.routes:
            path = getattr(route, "path", "{")
            groups["" if "{" in _beginning(path) else _beginning(path)].append(route)
        anywhere = groups.pop("", [])
        assert not anywhere, f"routes that may begin with anything: {anywhere}"
        self._groups = {
            beginning: APIRouter(routes=routes, redirect_slashes=False, default=router.default).app
            for beginning, routes in groups.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        found = self._all
        if scope["type"] == "http":
            found = self._groups.get(_beginning(scope["path"]), found)
        await found(scope, receive, send)


def _beginning(path: str) -> str:
    """`songs` of `/api/v1/songs/7`; of another path its first part with the slash."""
    if path.startswith(PREFIX):
        return path[len(PREFIX) :].partition("/")[0]
    return "/" + path[1:].partition("/")[0]
