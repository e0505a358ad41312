"""The password: changed by who knows it, or chosen anew by who reads the account's mailbox."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from api.account_notices import tell
from api.auth import public
from api.inputs import Input
from api.openapi import problems
from api.proofs import check_password
from api.services import Services, ServicesDep
from api.step_up import step_up_for
from api.users import Text
from api.users_registration import MailToken
from domain import users as rules
from domain.users_accounts import POLICY
from domain.users_factors import Sensitive
from integrations import opaque_tokens
from integrations.tokens import Claims
from messages.users import UserNotFound, WrongCredentials
from messages.users_accounts import MailTokenUnknown, PasswordChanged
from messages.users_sessions import Because
from storage import users, users_accounts, users_events, users_factors, users_resets, users_sessions
from storage.users_accounts import RESET

router = APIRouter(tags=["users"])

Changer = Annotated[Claims, Depends(step_up_for(Sensitive.CHANGE_PASSWORD))]
NewPassword = Annotated[
    str, Field(max_length=1_024, description="12 to 128 characters that are not easily guessed.")
]


class ChangePassword(Input):
    """Another password. An account that has none yet gets its first."""

    current_password: str | None = Field(None, max_length=1_024)
    password: NewPassword


class AskForReset(Input):
    """Whose password is forgotten."""

    email: Text


class ResetAsked(BaseModel):
    """The same answer whether or not an account has the address."""

    token_lifetime_ms: int = Field(description="How long the token of the letter will be good.")


class ResetPassword(Input):
    """The token of the letter, and the password to have."""

    token: MailToken
    password: NewPassword


@router.put("/api/v1/users/me/password", status_code=204, responses=problems(401, 403, 404, 429))
async def change_password(body: ChangePassword, subject: Changer, services: ServicesDep) -> None:
    """Change the password. Every other session ends, and the user is told by mail."""
    user_id = subject.user_id
    password_hash = await _hash(services, user_id, body.password)
    if await users_factors.get_password_hash(services.pool, user_id) is not None:
        if body.current_password is None:
            raise WrongCredentials
        await check_password(services, user_id, body.current_password)
    at_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        if await users.get_user(connection, user_id) is None:
            raise UserNotFound
        await users_accounts.set_password(connection, user_id, password_hash)
        await users_accounts.drop_tokens(connection, user_id, RESET)
        await users_sessions.end_sessions(
            connection, user_id, Because.PASSWORD_CHANGED, at_ms,
            actor=user_id, keep=subject.session_id,
        )  # fmt: skip
        await tell(connection, PasswordChanged(user_id, by_mail=False, at_ms=at_ms))


@router.post("/api/v1/password-resets", status_code=202, responses=problems())
@public
async def ask_for_password_reset(body: AskForReset, services: ServicesDep) -> ResetAsked:
    """Have a letter sent to choose a new password. Says nothing about the address.

    It only writes the wish down; who has the address is looked up later and elsewhere, so that the
    time this takes says nothing either.
    """
    email = rules.check_email(body.email)
    await users_resets.ask(services.pool, email, services.clock())
    return ResetAsked(token_lifetime_ms=POLICY.reset_ms)


@router.post("/api/v1/password-resets/completion", status_code=204, responses=problems(404))
@public
async def reset_password(body: ResetPassword, services: ServicesDep) -> None:
    """Choose a new password with the token of the letter, once. Every session ends.

    It signs nobody in: a second factor stays asked for. A password that is refused leaves the
    token good.
    """
    token_hash = opaque_tokens.digest(body.token)
    found = await users_accounts.find_token(services.pool, token_hash, RESET, services.clock())
    if found is None:
        raise MailTokenUnknown
    password_hash = await _hash(services, found, body.password)
    at_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, found)
        if await users_accounts.use_token(connection, token_hash, RESET, at_ms) is None:
            raise MailTokenUnknown
        await users_accounts.set_password(connection, found, password_hash)
        await users.mark_verified(connection, found, at_ms)
        await users_sessions.end_sessions(
            connection, found, Because.PASSWORD_CHANGED, at_ms, actor=found
        )
        await tell(connection, PasswordChanged(found, by_mail=True, at_ms=at_ms))


async def _hash(services: Services, user_id: str, password: str) -> str:
    """The hash of a password that this user may have. Raises what `rules.check_password` does."""
    user = await users.get_user(services.pool, user_id)
    if user is None:
        raise UserNotFound
    words = (user.username, *(user.email or "").split("@", 1))
    return await services.passwords.hash(rules.check_password(password, words))
