"""The e-mail address of an account: changed once its new mailbox is shown to be read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from api.account_notices import tell
from api.auth import public
from api.inputs import Input
from api.openapi import problems
from api.services import ServicesDep
from api.step_up import step_up_for
from api.users import Text
from api.users_registration import MailToken
from domain import users as rules
from domain.users_accounts import HOUR_MS, POLICY
from domain.users_factors import Sensitive
from integrations import opaque_tokens
from integrations.tokens import Claims
from messages.mail import Template
from messages.users import UserNotFound
from messages.users_accounts import EmailChanged, LettersUsedUp, MailTokenUnknown
from storage import mail, users, users_accounts, users_events
from storage.database import Connection
from storage.users_accounts import EMAIL_CHANGE, RESET

router = APIRouter(tags=["users"])

Changer = Annotated[Claims, Depends(step_up_for(Sensitive.CHANGE_EMAIL))]


class ChangeEmail(Input):
    """The address to have."""

    email: Text


class EmailChangePending(BaseModel):
    """A change that waits for the token that was mailed to the new address."""

    expires_at_ms: int = Field(description="Epoch milliseconds.")


class ConfirmEmail(Input):
    """Proof that the new mailbox is read."""

    token: MailToken


@router.put("/api/v1/users/me/email", status_code=202, responses=problems(401, 403, 404, 429))
async def change_email(
    body: ChangeEmail, subject: Changer, services: ServicesDep
) -> EmailChangePending:
    """Ask for another address. A letter with a token goes there; until then all is as it was.

    If the address is another account's, its owner is told so and you are not.
    """
    email, at_ms, user_id = rules.check_email(body.email), services.clock(), subject.user_id
    token, token_hash = opaque_tokens.generate()
    expires_at_ms = at_ms + POLICY.email_change_ms
    kept = users_accounts.MailToken(token_hash, user_id, EMAIL_CHANGE, expires_at_ms, email)
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        user = await users.get_user(connection, user_id)
        if user is None:
            raise UserNotFound
        await users_accounts.put_token(connection, kept, at_ms)
        await _write(connection, user, email, token, at_ms)
    return EmailChangePending(expires_at_ms=expires_at_ms)


@router.post("/api/v1/email-changes/completion", status_code=204, responses=problems(404, 409))
@public
async def confirm_email(body: ConfirmEmail, services: ServicesDep) -> None:
    """Show the token that was mailed to the new address: it is the account's now.

    The old address is told, and what was mailed there to reset a password is worth nothing.
    """
    token_hash, at_ms = opaque_tokens.digest(body.token), services.clock()
    found = await users_accounts.find_token(services.pool, token_hash, EMAIL_CHANGE, at_ms)
    if found is None:
        raise MailTokenUnknown
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, found)
        row = await users_accounts.use_token(connection, token_hash, EMAIL_CHANGE, at_ms)
        user = await users.get_user(connection, found)
        if row is None or user is None:
            raise MailTokenUnknown
        # To the old address, so before it is gone.
        values = {"username": user.username}
        await mail.notify(connection, found, Template.EMAIL_CHANGED, values, at_ms)
        await users_accounts.set_email(connection, found, row["email"], at_ms)
        await users_accounts.drop_tokens(connection, found, RESET)
        await tell(connection, EmailChanged(found, at_ms))


async def _write(
    connection: Connection, user: users.User, email: str, token: str, at_ms: int
) -> None:
    """Queue the letter, or the one to the owner of the address."""
    owner = await users.find_by_email(connection, email)
    template = Template.EMAIL_CHANGE if owner is None else Template.ADDRESS_TAKEN
    written = await mail.count_since(connection, email, template, at_ms - HOUR_MS)
    if written >= POLICY.letters_an_hour:
        raise LettersUsedUp(retry_after_s=HOUR_MS // 1_000)
    hours = POLICY.email_change_ms // HOUR_MS
    values: dict[str, str | int] = {"username": user.username, "token": token, "hours": hours}
    await mail.queue(
        connection,
        to=email if owner is None else owner.email or email,
        template=template,
        locale=user.locale if owner is None else owner.locale,
        params=values if owner is None else {"username": owner.username},
        at_ms=at_ms,
        user_id=user.user_id if owner is None else owner.user_id,
        expires_at_ms=at_ms + POLICY.email_change_ms,
    )
