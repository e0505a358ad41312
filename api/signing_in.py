"""What every way of signing in ends in: a session and its tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api import pending_sign_ins
from api.account_notices import tell
from api.doors import client_address
from api.openapi import Responses
from api.pending_sign_ins import SecondFactorRequired
from api.services import Services
from api.session_cookies import SessionDoor, door_of, refresh_cookies
from api.session_ends import end_former
from api.throttle import remember_device
from domain import users_sessions as domain
from integrations.devices import device_label
from integrations.refresh_tokens import digest
from integrations.tokens import Claims, Grant
from messages.mail import Template
from messages.moderation import AccountSuspended
from messages.users import UserNotFound
from messages.users_accounts import AccountReactivated
from messages.users_sessions import Because, Method, SessionEnded
from storage import (
    audit,
    mail,
    users_accounts,
    users_events,
    users_factors,
    users_people,
    users_refresh,
)
from storage import users as storage
from storage import users_sessions as sessions
from storage.database import Connection

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
    expires_at_ms: int = Field(description="Of the access token, epoch milliseconds.")
    session_id: UUID
    user_id: UUID
    refresh_token: str | None = Field(
        None, description="For one `POST /api/v1/sessions/refresh`. Null if a cookie has it."
    )
    csrf_token: str | None = Field(
        None, description="With a cookie: what the page repeats in `X-CSRF-Token`."
    )


class Live(NamedTuple):
    """The live refresh token of a session, and its number."""

    token: str
    number: int


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
    """A new session of a user who proved all that the account asks for.

    It wakes an account that rests. Raises UserNotFound, AccountSuspended.
    """
    now_ms, door = services.clock(), door_of(request)
    if door is not None and door.mode == "cookie":
        await end_former(services, refresh_cookies(request))
    session = await _new_session(services, request, user_id, methods, now_ms)
    refresh_token = services.refresh_tokens.first()
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        user = await storage.get_user(connection, user_id)
        if user is None:
            raise UserNotFound
        if await users_people.status_of(connection, user_id) == "suspended":
            raise AccountSuspended
        if await users_accounts.set_status(connection, user_id, "deactivated", "active"):
            await tell(connection, AccountReactivated(user_id, now_ms))
        await _make_room(connection, user_id, now_ms)
        if await sessions.is_strange(connection, user_id, session.device):
            where = {"device": session.device, "place": session.place}
            await mail.notify(connection, user_id, Template.NEW_DEVICE, where, now_ms)
        await sessions.add_session(connection, session)
        await users_refresh.add_first(connection, digest(refresh_token), session.session_id, now_ms)
        await audit.record(
            connection,
            "session.started",
            actor=user_id,
            subject=f"session:{session.session_id}",
            at_ms=now_ms,
            detail={"methods": " ".join(methods)},
        )
    remember_device(services, request, user_id)
    grant = Grant(user_id, session.session_id, (user.role,), methods, now_ms)
    return signed_in(services, grant, now_ms, Live(refresh_token, 0), door)


async def renew_session(
    services: Services, subject: Claims, proved: Sequence[Method] = ()
) -> Session:
    """The user of a session proved again who they are: an access token that says so.

    The session's refresh token stays as it is. Raises SessionEnded.
    """
    now_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        standing = await sessions.lock_session(connection, subject.session_id, now_ms)
        if standing is None:
            raise SessionEnded
        methods = domain.joined(standing.methods, proved)
        await sessions.renew_authentication(connection, subject.session_id, methods, now_ms)
    grant = Grant(subject.user_id, subject.session_id, (standing.role,), methods, now_ms)
    return signed_in(services, grant, now_ms)


def signed_in(
    services: Services,
    grant: Grant,
    now_ms: int,
    live: Live | None = None,
    door: SessionDoor | None = None,
) -> Session:
    """What the client is told; the refresh token goes where the client wants it."""
    tokens = services.tokens
    refresh_token, csrf_token = live.token if live else None, None
    if live and door and door.mode == "cookie":
        refresh_token, csrf_token = None, services.refresh_tokens.csrf_token(grant.session_id)
        door.give(*live, csrf_token, domain.POLICY.idle_ms // 1_000)
    return Session(
        access_token=tokens.issue(grant, services.new_id(), now_ms),
        token_type="Bearer",  # noqa: S106 - the scheme's name
        expires_at_ms=(now_ms // 1_000) * 1_000 + tokens.lifetime_ms,
        session_id=UUID(grant.session_id),
        user_id=UUID(grant.user_id),
        refresh_token=refresh_token,
        csrf_token=csrf_token,
    )


async def _new_session(
    services: Services,
    request: Request,
    user_id: str,
    methods: tuple[Method, ...],
    now_ms: int,
) -> sessions.NewSession:
    address = client_address(request)
    return sessions.NewSession(
        session_id=services.new_id(),
        user_id=user_id,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + domain.POLICY.lifetime_ms,
        methods=methods,
        device=await asyncio.to_thread(device_label, request.headers.get("user-agent", "")),
        address=address,
        place=domain.place_of(address),
    )


async def _make_room(connection: Connection, user_id: str, now_ms: int) -> None:
    """Keep a user's sessions few: forget what was over long ago, end what nobody uses."""
    policy = domain.POLICY
    await sessions.forget_old(connection, user_id, now_ms)
    idle = now_ms - policy.idle_ms
    beyond = await sessions.least_used(connection, user_id, now_ms, idle, policy.most - 1)
    if beyond:
        await sessions.end_sessions(
            connection, user_id, Because.DISPLACED, now_ms, actor=audit.PLATFORM, only=beyond
        )
