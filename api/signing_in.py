"""What every way of signing in ends in: a session and its tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api import pending_sign_ins
from api.doors import client_address
from api.openapi import Responses
from api.pending_sign_ins import SecondFactorRequired
from api.services import Services
from api.throttle import remember_device
from domain import users_sessions as domain
from integrations.devices import device_label
from integrations.tokens import Claims, Grant
from messages.users import UserNotFound
from messages.users_sessions import Method, SessionEnded
from storage import audit, users_factors
from storage import users as storage
from storage import users_sessions as sessions

__all__ = [
    "SECOND_FACTOR",
    "Method",
    "Session",
    "first_factor_passed",
    "renew_session",
    "sign_in_answer",
    "start_session",
]

# What a route that ends in `sign_in_answer` declares beside its 201.
SECOND_FACTOR: Responses = {
    200: {"model": SecondFactorRequired, "description": SecondFactorRequired.__doc__}
}


class Session(BaseModel):
    """A signed-in session."""

    access_token: str = Field(description="Send it as `Authorization: Bearer …`.")
    token_type: str = Field(examples=["Bearer"])
    expires_at_ms: int = Field(description="Epoch milliseconds.")
    session_id: UUID
    user_id: UUID


async def first_factor_passed(
    services: Services, request: Request, user_id: str, method: Method
) -> Session | SecondFactorRequired:
    """The user proved `method`: a session, unless the account asks for more."""
    factors = await users_factors.get_factors(services.pool, user_id)
    if factors.any:
        return await pending_sign_ins.begin(services, request, user_id, method, factors)
    return await start_session(services, request, user_id, (method,))


def sign_in_answer(found: Session | SecondFactorRequired) -> Session | JSONResponse:
    """The same, as a route with status 201 and `SECOND_FACTOR` answers it."""
    if isinstance(found, Session):
        return found
    return JSONResponse(found.model_dump(mode="json"))


async def start_session(
    services: Services, request: Request, user_id: str, methods: tuple[Method, ...]
) -> Session:
    """A new session of a user who proved all that the account asks for. Raises UserNotFound."""
    user = await storage.get_user(services.pool, user_id)
    if user is None:
        raise UserNotFound
    session_id, now_ms = services.new_id(), services.clock()
    device = await asyncio.to_thread(device_label, request.headers.get("user-agent", ""))
    address = client_address(request)
    session = sessions.NewSession(
        session_id=session_id,
        user_id=user_id,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + domain.POLICY.lifetime_ms,
        methods=methods,
        device=device,
        address=address,
        place=domain.place_of(address),
    )
    async with services.pool.acquire() as connection, connection.transaction():
        await sessions.add_session(connection, session)
        await audit.record(
            connection,
            "session.started",
            actor=user_id,
            subject=f"session:{session_id}",
            at_ms=now_ms,
            detail={"methods": " ".join(methods)},
        )
    remember_device(services, request, user_id)
    return _signed_in(services, Grant(user_id, session_id, (user.role,), methods, now_ms), now_ms)


async def renew_session(
    services: Services, subject: Claims, proved: Sequence[Method] = ()
) -> Session:
    """The user of a session proved again who they are: a token that says so.

    Raises SessionEnded.
    """
    now_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        standing = await sessions.lock_session(connection, subject.session_id, now_ms)
        if standing is None:
            raise SessionEnded
        methods = domain.joined(standing.methods, proved)
        await sessions.renew_authentication(connection, subject.session_id, methods, now_ms)
    grant = Grant(subject.user_id, subject.session_id, (standing.role,), methods, now_ms)
    return _signed_in(services, grant, now_ms)


def _signed_in(services: Services, grant: Grant, now_ms: int) -> Session:
    tokens = services.tokens
    return Session(
        access_token=tokens.issue(grant, services.new_id(), now_ms),
        token_type="Bearer",  # noqa: S106 - the scheme's name
        expires_at_ms=(now_ms // 1_000) * 1_000 + tokens.lifetime_ms,
        session_id=UUID(grant.session_id),
        user_id=UUID(grant.user_id),
    )
