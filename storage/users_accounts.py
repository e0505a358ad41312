"""What an account's owner changes of it, in PostgreSQL.

Whoever changes something here holds the user's lock (`storage/users_events.py`).
"""

from __future__ import annotations

import asyncpg
import msgspec

from messages.users import EmailTaken, UsernameTaken
from storage.database import Connection, Pool
from storage.users_registrations import name_hash

PURGE_ROWS = 500
RESET, EMAIL_CHANGE = "password-reset", "email-change"  # what a mailed token is for

PUT_MAILED = """
insert into users.mail_tokens (token_hash, user_id, purpose, email, created_at_ms, expires_at_ms)
values ($1, $2, $3, $4, $5, $6)
on conflict (user_id, purpose) do update
set token_hash = excluded.token_hash, email = excluded.email,
    created_at_ms = excluded.created_at_ms, expires_at_ms = excluded.expires_at_ms"""
_LIVE = "token_hash = $1 and purpose = $2 and expires_at_ms > $3"
FIND_TOKEN = f"select user_id::text from users.mail_tokens where {_LIVE}"  # noqa: S608 - constants
USE_TOKEN = f"delete from users.mail_tokens where {_LIVE} returning email"  # noqa: S608
DROP_TOKENS = "delete from users.mail_tokens where user_id = $1 and purpose = $2"
PURGE_TOKENS = """
delete from users.mail_tokens where token_hash in (
    select token_hash from users.mail_tokens where expires_at_ms <= $1
    limit $2 for update skip locked)"""
SET_HASH = "update users.users set password_hash = $2 where user_id = $1"
SET_EMAIL = """
update users.users set email = $2, email_key = lower($2), email_verified_at_ms = $3
where user_id = $1"""
SET_PROFILE = """
update users.users set username = $2, username_key = lower($2), locale = $3, time_zone = $4
where user_id = $1"""
SET_STATUS = """
update users.users set status = $3 where user_id = $1 and status = $2 returning true"""
RETIRE_NAME = """
insert into users.retired_usernames (name_hash, user_id, until_ms) values ($1, $2, $3)
on conflict (name_hash) do update set user_id = excluded.user_id, until_ms = excluded.until_ms"""
TAKE_BACK_NAME = "delete from users.retired_usernames where name_hash = $1 and user_id = $2"
COUNT_NAMES = """
select count(*) from users.retired_usernames where user_id = $1 and until_ms > $2"""
PURGE_NAMES = """
delete from users.retired_usernames where name_hash in (
    select name_hash from users.retired_usernames where until_ms <= $1
    limit $2 for update skip locked)"""


class MailToken(msgspec.Struct, frozen=True):
    """A token to mail. `email`: the address that the account is to have, for EMAIL_CHANGE."""

    token_hash: bytes
    user_id: str
    purpose: str
    expires_at_ms: int
    email: str | None = None


async def put_token(connection: Connection, token: MailToken, at_ms: int) -> None:
    """Keep the token; an earlier one of its purpose is worth nothing now."""
    t = token
    await connection.execute(
        PUT_MAILED, t.token_hash, t.user_id, t.purpose, t.email, at_ms, t.expires_at_ms
    )


async def find_token(
    connection: Connection | Pool, token_hash: bytes, purpose: str, now_ms: int
) -> str | None:
    """Whose a token is, if it is good."""
    found: str | None = await connection.fetchval(FIND_TOKEN, token_hash, purpose, now_ms)
    return found


async def use_token(
    connection: Connection, token_hash: bytes, purpose: str, now_ms: int
) -> asyncpg.Record | None:
    """Use a good token up; its row (`email`), or None if it is not good (any more)."""
    return await connection.fetchrow(USE_TOKEN, token_hash, purpose, now_ms)


async def drop_tokens(connection: Connection, user_id: str, purpose: str) -> None:
    """What was mailed for a purpose is worth nothing now."""
    await connection.execute(DROP_TOKENS, user_id, purpose)


async def set_password(connection: Connection, user_id: str, password_hash: str) -> None:
    """Another password."""
    await connection.execute(SET_HASH, user_id, password_hash)


async def set_email(connection: Connection, user_id: str, email: str, at_ms: int) -> None:
    """Another address, whose mailbox the user has shown to read. Raises EmailTaken."""
    try:
        await connection.execute(SET_EMAIL, user_id, email, at_ms)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "users_email_key_key":
            raise EmailTaken from None
        raise


async def set_profile(
    connection: Connection, user_id: str, username: str, locale: str, time_zone: str
) -> None:
    """What the account is called, its language, where its days begin. Raises UsernameTaken."""
    try:
        await connection.execute(SET_PROFILE, user_id, username, locale, time_zone)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "users_username_key_key":
            raise UsernameTaken from None
        raise


async def set_status(connection: Connection, user_id: str, before: str, after: str) -> bool:
    """Move the account from one status to another; False if it was not in the first."""
    return bool(await connection.fetchval(SET_STATUS, user_id, before, after))


async def retire_name(
    connection: Connection, username: str, user_id: str | None, until_ms: int
) -> None:
    """Keep a username that is given up from everybody but `user_id` until a moment."""
    await connection.execute(RETIRE_NAME, name_hash(username), user_id, until_ms)


async def take_back_name(connection: Connection, username: str, user_id: str) -> None:
    """A user has one of their earlier names again."""
    await connection.execute(TAKE_BACK_NAME, name_hash(username), user_id)


async def count_names(connection: Connection, user_id: str, now_ms: int) -> int:
    """How many names a user gave up that are still kept for them."""
    return int(await connection.fetchval(COUNT_NAMES, user_id, now_ms))


async def purge(connection: Connection | Pool, now_ms: int) -> int:
    """Forget some tokens and names that are over; how many."""
    done = [await connection.execute(s, now_ms, PURGE_ROWS) for s in (PURGE_TOKENS, PURGE_NAMES)]
    return sum(int(tag.rsplit(" ", 1)[1]) for tag in done)
