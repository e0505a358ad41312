"""One's own sessions: refreshed, listed, ended."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request
from pydantic import BaseModel, Field

from api.auth import Member, UserManager, public
from api.inputs import Input
from api.openapi import problems
from api.refreshing import refresh
from api.services import ServicesDep
from api.session_cookies import (
    CSRF_HEADER,
    SessionDoor,
    check_csrf_token,
    check_same_origin,
    refresh_cookies,
)
from api.session_ends import end
from api.signing_in import Session
from api.step_up import recently_authenticated
from domain import users_sessions as domain
from integrations.tokens import Claims
from messages.users_sessions import Because, RefreshTokenInvalid, SessionNotFound
from storage import users_sessions as storage

router = APIRouter(tags=["sessions"])

Recent = Annotated[Claims, Depends(recently_authenticated)]
MAX_TOKEN = 100


class Refresh(Input):
    """A refresh token that the client keeps itself."""

    refresh_token: str = Field(max_length=MAX_TOKEN)


class SignedInDevice(BaseModel):
    """One of the user's sessions."""

    session_id: UUID
    device: str = Field(description="What it calls itself.", examples=["Firefox on Linux"])
    place: str = Field(description="Roughly where: a network, not an address.")
    methods: list[str] = Field(description="How the user proved who they are (RFC 8176).")
    created_at_ms: int = Field(description="Epoch milliseconds.")
    last_used_at_ms: int = Field(description="When it was last refreshed.")
    expires_at_ms: int = Field(description="When it ends at the latest.")
    current: bool = Field(description="Whether this is the session that asks.")


class SignedInDevices(BaseModel):
    """All sessions of a user, the one used last first."""

    sessions: list[SignedInDevice]


class EndedSessions(BaseModel):
    """What was ended."""

    ended: int


@router.post("/api/v1/sessions/refresh", responses=problems(401, 403))
@public
async def refresh_session(
    request: Request,
    services: ServicesDep,
    body: Refresh | None = None,
    csrf_token: Annotated[
        str | None,
        Header(alias=CSRF_HEADER, description="With a cookie: the session's `csrf_token`."),
    ] = None,
) -> Session:
    """A new access token and the next refresh token; without a body the cookie's.

    A token is good once. Shown again within seconds it gets the same answer: send it again if an
    answer was lost, and let every tab refresh when it likes. Shown later it ends the session,
    because two have it.
    """
    if body is not None:
        return await refresh(services, [body.refresh_token])
    given = refresh_cookies(request)
    if not given:
        raise RefreshTokenInvalid
    check_same_origin(request)
    return await refresh(
        services,
        given,
        door=SessionDoor(request, "cookie"),
        admit=lambda session_id: check_csrf_token(
            csrf_token, services.refresh_tokens.csrf_token(session_id)
        ),
    )


@router.delete("/api/v1/sessions/current", status_code=204, responses=problems(401, 403))
async def end_current_session(subject: Member, request: Request, services: ServicesDep) -> None:
    """Sign out: the session's tokens are void, its connections are closed."""
    if refresh_cookies(request):
        check_same_origin(request)
        SessionDoor(request, "cookie").forget()
    await end(
        services,
        subject.user_id,
        Because.SIGNED_OUT,
        actor=subject.user_id,
        only=subject.session_id,
    )


@router.get("/api/v1/users/me/sessions", responses=problems(401))
async def list_sessions(subject: Member, services: ServicesDep) -> SignedInDevices:
    """Where the user is signed in."""
    now_ms = services.clock()
    found = await storage.list_sessions(
        services.pool, subject.user_id, now_ms, now_ms - domain.POLICY.idle_ms
    )
    return SignedInDevices(sessions=[_view(session, subject) for session in found])


@router.delete("/api/v1/users/me/sessions", responses=problems(401, 403))
async def end_other_sessions(subject: Recent, services: ServicesDep) -> EndedSessions:
    """Sign out everywhere but here. Wants a recent proof of who you are."""
    user_id = subject.user_id
    ended = await end(services, user_id, Because.REVOKED, actor=user_id, keep=subject.session_id)
    return EndedSessions(ended=ended)


@router.delete(
    "/api/v1/users/me/sessions/{session_id}", status_code=204, responses=problems(401, 403, 404)
)
async def end_session(session_id: UUID, subject: Recent, services: ServicesDep) -> None:
    """Sign out one device. Wants a recent proof of who you are."""
    user_id = subject.user_id
    if not await end(services, user_id, Because.REVOKED, actor=user_id, only=str(session_id)):
        raise SessionNotFound


@router.delete("/api/v1/users/{user_id}/sessions", responses=problems(401, 403))
async def end_sessions_of_user(
    user_id: UUID, subject: UserManager, services: ServicesDep
) -> EndedSessions:
    """Sign a user out everywhere."""
    ended = await end(services, str(user_id), Because.REVOKED, actor=subject.user_id)
    return EndedSessions(ended=ended)


def _view(session: storage.LiveSession, subject: Claims) -> SignedInDevice:
    return SignedInDevice(
        session_id=UUID(session.session_id),
        device=session.device,
        place=session.place,
        methods=[method.value for method in session.methods],
        created_at_ms=session.created_at_ms,
        last_used_at_ms=session.last_used_at_ms,
        expires_at_ms=session.expires_at_ms,
        current=session.session_id == subject.session_id,
    )
