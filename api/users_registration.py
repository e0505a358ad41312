"""Register, and confirm the address. Nobody learns here whether an address has an account.

A free address and a taken one get the same answer after the same work: only the letter differs,
and that goes to whoever reads the mailbox.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.auth import public
from api.idempotency import ANONYMOUS, KeyHeader, attempt, command_key, once, replay
from api.inputs import Input
from api.openapi import problems
from api.services import ServicesDep
from api.users import Text, User, view
from domain import users as rules
from domain import users_accounts as domain
from integrations import opaque_tokens
from messages.mail import Template
from messages.users import UserRegistered
from messages.users_accounts import EmailVerified, MailTokenUnknown, RegistrationNotFound
from storage import audit, mail, users, users_events
from storage import users_registrations as storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1/users", tags=["users"])

REGISTER = "POST /api/v1/users"

MailToken = Annotated[
    str, Field(min_length=1, max_length=128, description="What was mailed, from after the # sign.")
]


class RegisterUser(Input):
    """A new user."""

    username: Text = Field(description="3 to 30 of A-Z a-z 0-9 _ -, no - at either end.")
    email: Text = Field(description="At most 254 characters; a letter goes there.")
    password: Text = Field(description="12 to 128 characters that are not easily guessed.")
    time_zone: Text = Field("UTC", description="IANA name; its midnight ends a streak's day.")
    locale: Text = Field("en", description="Language for mail and messages: en or es.")


class PendingRegistration(BaseModel):
    """A registration that waits for the token that was mailed."""

    registration_id: UUID
    expires_at_ms: int = Field(description="Epoch milliseconds. The username is reserved so long.")


class Verification(Input):
    """Proof that a mailbox is read."""

    token: MailToken


@router.post(
    "", status_code=202, response_model=PendingRegistration, responses=problems(409, replayed=True)
)
@public
async def register_user(body: RegisterUser, key: KeyHeader, services: ServicesDep) -> Response:
    """Register. A letter with a token goes to the address; `POST …/verification` ends it.

    The answer says nothing about the address: if it is an account's already, its owner is told by
    mail and no account is made. A username that is taken is said to be: usernames are public.
    """
    registration = rules.register(
        body.username, body.email, body.password, body.time_zone, body.locale
    )
    made = attempt(
        command_key(ANONYMOUS, REGISTER, key),
        services.settings.fingerprint_secret,
        *msgspec.structs.astuple(registration),
    )
    if (answered := await replay(services.pool, made)) is not None:
        return answered
    password_hash = await services.passwords.hash(registration.password)
    registration_id, at_ms = services.new_id(), services.clock()
    expires_at_ms = at_ms + domain.POLICY.registration_ms
    token, token_hash = opaque_tokens.generate()

    async def change(connection: Connection) -> PendingRegistration:
        await storage.add(
            connection, registration_id, token_hash, registration, password_hash, at_ms,
            expires_at_ms,
        )  # fmt: skip
        letter = _Letter(registration.username, registration.email, registration.locale, token)
        await _send(connection, letter, at_ms, expires_at_ms)
        return PendingRegistration(
            registration_id=UUID(registration_id), expires_at_ms=expires_at_ms
        )

    return await once(services.pool, made, at_ms, 202, change)


@router.post(
    "/registrations/{registration_id}/letters", status_code=202, responses=problems(404, 429)
)
@public
async def send_registration_again(
    registration_id: UUID, services: ServicesDep
) -> PendingRegistration:
    """Send another letter, whose token replaces the one before. A few, a minute apart."""
    at_ms, name = services.clock(), str(registration_id)
    token, token_hash = opaque_tokens.generate()
    async with services.pool.acquire() as connection, connection.transaction():
        waiting = await storage.lock(connection, name)
        if waiting is None or not domain.is_pending(waiting.expires_at_ms, at_ms):
            raise RegistrationNotFound
        if waiting.email is None:  # it is completed
            raise RegistrationNotFound
        domain.check_letter(waiting.letters, waiting.last_letter_at_ms, at_ms)
        await storage.renew(connection, name, token_hash, at_ms)
        letter = _Letter(waiting.username, waiting.email, waiting.locale, token)
        await _send(connection, letter, at_ms, waiting.expires_at_ms)
    return PendingRegistration(registration_id=registration_id, expires_at_ms=waiting.expires_at_ms)


@router.post("/verification", status_code=201, responses=problems(404, 409))
@public
async def verify_registration(body: Verification, services: ServicesDep) -> User:
    """Show the token that was mailed: the account exists from now on.

    Once. Sent again within ten minutes it gets the same answer, and makes nothing.
    """
    at_ms, token_hash = services.clock(), opaque_tokens.digest(body.token)
    async with services.pool.acquire() as connection, connection.transaction():
        waiting = await storage.lock_by_token(connection, token_hash)
        if waiting is None or not domain.is_pending(waiting.expires_at_ms, at_ms):
            raise MailTokenUnknown
        if waiting.completed_at_ms is None:
            user_id = services.new_id()
            await _create(connection, waiting, user_id, at_ms)
        elif domain.is_answered(waiting.completed_at_ms, at_ms):
            user_id = str(waiting.user_id)
        else:
            raise MailTokenUnknown
        user = await users.get_user(connection, user_id)
    if user is None:
        raise MailTokenUnknown
    return view(user)


class _Letter(msgspec.Struct, frozen=True):
    """What a registration writes to its address, if the address is free."""

    username: str
    email: str
    locale: str
    token: str


async def _send(connection: Connection, letter: _Letter, at_ms: int, expires_at_ms: int) -> None:
    """Queue the letter, or the one to the owner of the address. The same work either way."""
    owner = await users.find_by_email(connection, letter.email)
    template = Template.VERIFICATION if owner is None else Template.ADDRESS_TAKEN
    since_ms = at_ms - domain.HOUR_MS
    if await mail.count_since(connection, letter.email, template, since_ms) >= (
        domain.POLICY.letters_an_hour
    ):
        return
    hours = domain.POLICY.registration_ms // domain.HOUR_MS
    values: dict[str, str | int] = {
        "username": letter.username,
        "token": letter.token,
        "hours": hours,
    }
    await mail.queue(
        connection,
        to=letter.email if owner is None else owner.email or letter.email,
        template=template,
        locale=letter.locale if owner is None else owner.locale,
        params=values if owner is None else {"username": owner.username},
        at_ms=at_ms,
        user_id=None if owner is None else owner.user_id,
        expires_at_ms=expires_at_ms,
    )


async def _create(
    connection: Connection, waiting: storage.Waiting, user_id: str, at_ms: int
) -> None:
    assert waiting.email is not None, "not completed"
    assert waiting.password_hash is not None, "not completed"
    registration = rules.Registration(
        waiting.username, waiting.email, "", waiting.time_zone, waiting.locale
    )
    await users.add_user(connection, user_id, registration, waiting.password_hash, at_ms)
    fact = UserRegistered(user_id, waiting.username, waiting.locale, waiting.time_zone, at_ms)
    await users_events.tell_registered(connection, fact)
    await users.mark_verified(connection, user_id, at_ms)
    await users_events.tell(connection, user_id, [EmailVerified(user_id, at_ms)], at_ms)
    await audit.record(
        connection, "user.registered", actor=user_id, subject=f"user:{user_id}", at_ms=at_ms
    )
    await storage.complete(connection, waiting.registration_id, user_id, at_ms)
