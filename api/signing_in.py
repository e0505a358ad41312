"""What every way of signing in ends in: a session and its tokens."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, Field

from api.services import Services
from messages.users import UserNotFound
from storage import users as storage


class Method(StrEnum):
    """How a user proved who they are (RFC 8176's names where it has one)."""

    PASSWORD = "pwd"  # noqa: S105 - a name
    ONE_TIME_PASSWORD = "otp"  # noqa: S105
    PASSKEY = "hwk"
    RECOVERY_CODE = "recovery"
    GOOGLE = "google"
    APPLE = "apple"


class Session(BaseModel):
    """A signed-in session."""

    access_token: str = Field(description="Send it as `Authorization: Bearer …`.")
    token_type: str = Field(examples=["Bearer"])
    expires_at_ms: int = Field(description="Epoch milliseconds.")
    session_id: UUID
    user_id: UUID


async def first_factor_passed(
    services: Services, request: Request, user_id: str, method: Method
) -> Session:
    """The user proved `method`: a session, unless the account asks for more."""
    return await start_session(services, request, user_id, (method,))


async def start_session(
    services: Services, request: Request, user_id: str, methods: tuple[Method, ...]
) -> Session:
    """A new session of a user who proved all that the account asks for. Raises UserNotFound."""
    user = await storage.get_user(services.pool, user_id)
    if user is None:
        raise UserNotFound
    session_id, now_ms = services.new_id(), services.clock()
    tokens = services.tokens
    token = tokens.issue(user_id, session_id, services.new_id(), (user.role,), now_ms)
    return Session(
        access_token=token,
        token_type="Bearer",  # noqa: S106 - the scheme's name
        expires_at_ms=(now_ms // 1_000) * 1_000 + tokens.lifetime_ms,
        session_id=UUID(session_id),
        user_id=UUID(user_id),
    )
