"""Who is asking, and may they? Bearer access tokens and the permissions of roles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import structlog
from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.services import Services, ServicesDep
from domain.users import Permission, permits
from integrations.tokens import Claims
from messages.errors import Unauthenticated
from messages.users import PermissionMissing
from storage import users as storage

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
PUBLIC = "is_public"

bearer = HTTPBearer(
    scheme_name="accessToken",
    bearerFormat="JWT",
    description="An access token from `POST /api/v1/sessions`.",
    auto_error=False,
)


async def current_subject(
    services: ServicesDep,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Claims:
    """The claims of the request's access token. Raises Unauthenticated or a leaf of it."""
    if given is None:
        raise Unauthenticated
    claims = services.tokens.verify(given.credentials, services.clock())
    structlog.contextvars.bind_contextvars(user_id=claims.user_id)
    return claims


Subject = Annotated[Claims, Depends(current_subject)]


def require(permission: Permission) -> Callable[..., Awaitable[Claims]]:
    """A dependency: the subject, if its role has `permission`. Raises PermissionMissing."""

    async def permitted(subject: Subject, services: ServicesDep) -> Claims:
        await check_permission(services, subject, permission)
        return subject

    return permitted


def public(endpoint: Endpoint) -> Endpoint:
    """Declare that anybody may call a route. One that declares nothing fails a test."""
    endpoint.__dict__[PUBLIC] = True
    return endpoint


async def check_permission(services: Services, subject: Claims, permission: Permission) -> None:
    """Raise PermissionMissing unless the subject's role has the permission.

    A token that lacks it may be older than the role: then the present role decides.
    """
    if permits(subject.roles, permission):
        return
    user = await storage.get_user(services.pool, subject.user_id)
    if user is None or not permits((user.role,), permission):
        raise PermissionMissing(permission=permission.value)
