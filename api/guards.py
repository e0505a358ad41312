"""A route's permission is asked for before its request is read, and without FastAPI's dependencies.

FastAPI solves a dependency in some 30 microseconds, which was a third of what a route that does
nothing costs in all (benchmarks/auth). Routes still name their permission by one, as `subject:
Member`, and `declared` reads it there; `guard` takes it out of what FastAPI solves and asks first.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, get_args, get_origin

from fastapi import APIRouter, Request
from fastapi.params import Depends
from fastapi.routing import APIRoute, request_response
from starlette.responses import Response

from api.auth import PERMISSION

GUARDED, PERMIT = "guarded", "permit"
SUBJECT, REQUEST = "vibestream_subject", "vibestream_request"

NOT_OPTIONS = {"self", "path", "endpoint", "generate_unique_id_function"}

Permit = Callable[[Request], Awaitable[Any]]


def guard(router: APIRouter) -> APIRouter:
    """Have each route of a context ask its permission first. Done twice it is done once."""
    for route in router.routes:
        if isinstance(route, APIRoute) and not route.__dict__.get(GUARDED):
            route.__dict__[GUARDED] = True
            _guard(route)
    return router


def own(route: APIRoute, operation_id: Callable[[APIRoute], str]) -> APIRoute:
    """An application's own route of a guarded one, which FastAPI makes by including its router.

    A FastRoute asks its permission by itself.
    """
    if type(route) is not APIRoute:
        route.unique_id = operation_id(route)
        return route
    names = inspect.signature(APIRoute.__init__).parameters.keys() - NOT_OPTIONS
    options = {name: getattr(route, name) for name in names}
    made = APIRoute(route.path, route.endpoint, generate_unique_id_function=operation_id, **options)
    permit = route.__dict__.get(PERMIT)
    if permit is not None:
        made.app = request_response(_asking_first(made.get_route_handler, permit)())
    return made


def _guard(route: APIRoute) -> None:
    signature = inspect.signature(route.endpoint, eval_str=True)
    for parameter in signature.parameters.values():
        permit = _permit_of(parameter.annotation)
        if permit is not None:
            route.__dict__[PERMIT] = permit
            route.endpoint = _without(route.endpoint, signature, parameter)
            route.__dict__["get_route_handler"] = _asking_first(route.get_route_handler, permit)
            return


def _permit_of(annotation: Any) -> Permit | None:
    """The dependency of `Annotated[Claims, Depends(require(…))]`."""
    if get_origin(annotation) is not Annotated:
        return None
    for part in get_args(annotation)[1:]:
        if isinstance(part, Depends) and PERMISSION in getattr(part.dependency, "__dict__", {}):
            permit: Permit | None = part.dependency
            return permit
    return None


def _without(
    endpoint: Callable[..., Awaitable[Any]],
    signature: inspect.Signature,
    subject: inspect.Parameter,
) -> Callable[..., Awaitable[Any]]:
    """The endpoint for FastAPI's eyes: with the request in place of the subject, which is there."""

    keyword = inspect.Parameter.KEYWORD_ONLY
    kept = [p.replace(kind=keyword) for p in signature.parameters.values() if p is not subject]
    # FastAPI hands a request to one parameter only.
    own = next((p.name for p in kept if p.annotation is Request), None)
    if own is None:
        kept.append(inspect.Parameter(REQUEST, keyword, annotation=Request))

    @functools.wraps(endpoint)
    async def called(**values: Any) -> Any:
        request: Request = values.pop(REQUEST) if own is None else values[own]
        values[subject.name] = request.scope[SUBJECT]
        return await endpoint(**values)

    called.__dict__["__signature__"] = signature.replace(parameters=kept)
    return called


def _asking_first(
    make: Callable[[], Callable[[Request], Awaitable[Response]]], permit: Permit
) -> Callable[[], Callable[[Request], Awaitable[Response]]]:
    def get_route_handler() -> Callable[[Request], Awaitable[Response]]:
        handler = make()

        async def handle(request: Request) -> Response:
            request.scope[SUBJECT] = await permit(request)
            return await handler(request)

        return handle

    return get_route_handler
