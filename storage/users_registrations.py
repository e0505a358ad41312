"""Registrations that wait for their address to be confirmed, in PostgreSQL."""

from __future__ import annotations

import hashlib

import asyncpg
import msgspec

from domain.users import Registration
from messages.users import UsernameTaken
from storage.database import Connection, Pool

PURGE_ROWS = 500

DROP_EXPIRED = """
delete from users.registrations
where username_key = $1 and expires_at_ms <= $2 and user_id is null"""
ADD = """
insert into users.registrations
    (registration_id, token_hash, username, username_key, email, email_key, password_hash,
     time_zone, locale, last_letter_at_ms, created_at_ms, expires_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)"""
IS_TAKEN = """
select exists (select from users.users where username_key = $1 and user_id is distinct from $3)
    or exists (
        select from users.retired_usernames
        where name_hash = $2 and until_ms > $4
            and (user_id is null or user_id is distinct from $3))
    or exists (
        select from users.registrations
        where username_key = $1 and user_id is null and expires_at_ms > $4
            and registration_id is distinct from $5)"""
_COLUMNS = """
registration_id::text, username, email, password_hash, time_zone, locale, letters,
last_letter_at_ms, expires_at_ms, user_id::text, completed_at_ms"""
LOCK = f"select {_COLUMNS} from users.registrations where registration_id = $1 for update"  # noqa: S608
LOCK_BY_TOKEN = f"select {_COLUMNS} from users.registrations where token_hash = $1 for update"  # noqa: S608
RENEW = """
update users.registrations
set token_hash = $2, letters = letters + 1, last_letter_at_ms = $3 where registration_id = $1"""
COMPLETE = """
update users.registrations
set user_id = $2, completed_at_ms = $3, email = null, email_key = null, password_hash = null
where registration_id = $1"""
PURGE = """
delete from users.registrations where registration_id in (
    select registration_id from users.registrations where expires_at_ms <= $1
    limit $2 for update skip locked)"""


class Waiting(msgspec.Struct, frozen=True):
    """A registration. Its address and hash are None once it became the account `user_id`."""

    registration_id: str
    username: str
    email: str | None
    password_hash: str | None
    time_zone: str
    locale: str
    letters: int
    last_letter_at_ms: int
    expires_at_ms: int
    user_id: str | None
    completed_at_ms: int | None


def name_hash(username: str) -> bytes:
    """What is kept of a name that was given up."""
    return hashlib.sha256(username.lower().encode()).digest()


async def add(
    connection: Connection,
    registration_id: str,
    token_hash: bytes,
    registration: Registration,
    password_hash: str,
    at_ms: int,
    expires_at_ms: int,
) -> None:
    """Insert a registration, which reserves its username. Raises UsernameTaken."""
    r = registration
    await connection.execute(DROP_EXPIRED, r.username_key, at_ms)
    try:
        await connection.execute(
            ADD,
            registration_id,
            token_hash,
            r.username,
            r.username_key,
            r.email,
            r.email_key,
            password_hash,
            r.time_zone,
            r.locale,
            at_ms,
            expires_at_ms,
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "registrations_username":
            raise UsernameTaken from None
        raise
    # After the insert, which waits for a registration of this name that is just being completed.
    if await is_taken(connection, r.username, at_ms, registration_id=registration_id):
        raise UsernameTaken


async def is_taken(
    connection: Connection | Pool,
    username: str,
    at_ms: int,
    *,
    user_id: str | None = None,
    registration_id: str | None = None,
) -> bool:
    """Whether a name is a user's, reserved, or was given up not long ago.

    user_id, registration_id: who asks for themselves, and does not stand in their own way.
    """
    key = username.lower()
    asked = (key, name_hash(key), user_id, at_ms, registration_id)
    return bool(await connection.fetchval(IS_TAKEN, *asked))


async def lock(connection: Connection, registration_id: str) -> Waiting | None:
    """A registration, which nobody else changes until the transaction ends."""
    return _waiting(await connection.fetchrow(LOCK, registration_id))


async def lock_by_token(connection: Connection, token_hash: bytes) -> Waiting | None:
    """The same, by what was mailed."""
    return _waiting(await connection.fetchrow(LOCK_BY_TOKEN, token_hash))


async def renew(
    connection: Connection, registration_id: str, token_hash: bytes, at_ms: int
) -> None:
    """Another letter, another token: the earlier one is worth nothing now."""
    await connection.execute(RENEW, registration_id, token_hash, at_ms)


async def complete(connection: Connection, registration_id: str, user_id: str, at_ms: int) -> None:
    """It became an account; its address and hash are erased here."""
    await connection.execute(COMPLETE, registration_id, user_id, at_ms)


async def purge(connection: Connection | Pool, now_ms: int) -> int:
    """Forget some that are over; how many."""
    done = await connection.execute(PURGE, now_ms, PURGE_ROWS)
    return int(done.rsplit(" ", 1)[1])


def _waiting(row: asyncpg.Record | None) -> Waiting | None:
    return None if row is None else Waiting(**row)
