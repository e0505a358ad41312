"""Which permission each route asks for, read off the routes themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fastapi import APIRouter
from fastapi.routing import APIRoute

from api.auth import PERMISSION, PUBLIC
from domain.access import Permission


class RouteAccess(NamedTuple):
    """A route and who may call it. `permission` None: anybody."""

    method: str
    path: str
    permission: Permission | None


class UndeclaredAccess(Exception):  # noqa: N818
    """A route that says neither `@public` nor which permission it asks for, or says both."""


def declared(routers: Iterable[APIRouter]) -> Iterator[RouteAccess]:
    """Every operation of the routers, in their order. Raises UndeclaredAccess."""
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute), "contexts mount plain operations"
            permission = _permission_of(route)
            for method in sorted(route.methods or ()):
                yield RouteAccess(method, route.path, permission)


def _permission_of(route: APIRoute) -> Permission | None:
    asked = [
        dependency.call.__dict__[PERMISSION]
        for dependency in route.dependant.dependencies
        if PERMISSION in getattr(dependency.call, "__dict__", {})
    ]
    if (len(asked) == 1) == hasattr(route.endpoint, PUBLIC):
        raise UndeclaredAccess(f"{sorted(route.methods or ())} {route.path}")
    return asked[0] if asked else None
