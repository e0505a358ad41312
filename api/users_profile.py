"""What an account is called and where it lives; letting it rest."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field

from api.account_notices import tell
from api.auth import Member
from api.inputs import Input
from api.openapi import problems
from api.services import ServicesDep
from api.users import Text, User, view
from domain import users as rules
from domain import users_accounts as domain
from messages.users import UsernameTaken, UserNotFound
from messages.users_accounts import AccountChanged, AccountDeactivated
from messages.users_sessions import Because
from storage import users, users_accounts, users_events, users_registrations, users_sessions
from storage.database import Connection

router = APIRouter(prefix="/api/v1/users/me", tags=["users"])


class ChangeProfile(Input):
    """What is to be different; what is absent stays."""

    username: Text | None = Field(None, description="3 to 30 of A-Z a-z 0-9 _ -.")
    time_zone: Text | None = Field(None, description="IANA name.")
    locale: Text | None = Field(None, description="en or es.")


@router.patch("", responses=problems(401, 403, 404, 409, 429))
async def change_profile(body: ChangeProfile, subject: Member, services: ServicesDep) -> User:
    """Change username, time zone or language.

    A username that is given up stays yours to take back for thirty days and is nobody else's; two
    can be kept so at once.
    """
    at_ms, user_id = services.clock(), subject.user_id
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        user = await users.get_user(connection, user_id)
        if user is None:
            raise UserNotFound
        username = user.username if body.username is None else body.username
        locale = user.locale if body.locale is None else body.locale
        time_zone = user.time_zone if body.time_zone is None else body.time_zone
        if (username, locale, time_zone) == (user.username, user.locale, user.time_zone):
            return view(user)
        rules.check_username(username)
        rules.check_place(locale, time_zone)
        if username.lower() != user.username.lower():
            await _change_name(connection, user, username, at_ms)
        await users_accounts.set_profile(connection, user_id, username, locale, time_zone)
        await tell(connection, AccountChanged(user_id, username, locale, time_zone, at_ms))
        changed = await users.get_user(connection, user_id)
    assert changed is not None, "just written"
    return view(changed)


@router.post("/deactivation", status_code=204, responses=problems(401, 404))
async def deactivate_account(subject: Member, services: ServicesDep) -> None:
    """Let the account rest. Every session ends; signing in again wakes it, nothing is lost."""
    at_ms, user_id = services.clock(), subject.user_id
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        if not await users_accounts.set_status(connection, user_id, "active", "deactivated"):
            raise UserNotFound
        await users_sessions.end_sessions(
            connection, user_id, Because.ACCOUNT_CLOSED, at_ms, actor=user_id
        )
        await tell(connection, AccountDeactivated(user_id, at_ms))


async def _change_name(connection: Connection, user: users.User, username: str, at_ms: int) -> None:
    if await users_registrations.is_taken(connection, username, at_ms, user_id=user.user_id):
        raise UsernameTaken
    await users_accounts.take_back_name(connection, username, user.user_id)
    domain.check_name_change(await users_accounts.count_names(connection, user.user_id, at_ms))
    until_ms = at_ms + domain.POLICY.name_kept_ms
    await users_accounts.retire_name(connection, user.username, user.user_id, until_ms)
