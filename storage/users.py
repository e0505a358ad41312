"""Users in PostgreSQL."""

from __future__ import annotations

import asyncpg
import msgspec

from domain.users import Registration
from messages.users import EmailTaken, Role, UsernameTaken
from storage.database import Connection, Pool

_ADD = """
insert into users.users
    (user_id, username, username_key, email, email_key, password_hash, time_zone, locale,
     created_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""
_COLUMNS = """
user_id::text, username, email, email_verified_at_ms is not null as email_verified, role, points,
time_zone, locale, created_at_ms"""
_GET = f"""
select {_COLUMNS} from users.users
where user_id = $1 and status <> 'deleted'"""  # noqa: S608 - a constant
_CREDENTIALS = """
select user_id::text, password_hash, role from users.users
where username_key = $1 or email_key = $1"""
_BY_EMAIL = f"select {_COLUMNS} from users.users where email_key = $1"  # noqa: S608
_VERIFIED = "update users.users set email_verified_at_ms = $2 where user_id = $1"
_SET_ROLE = "update users.users set role = $2 where user_id = $1"
_LOCK_ROLE = "select role from users.users where user_id = $1 for update"
_SET_HASH = "update users.users set password_hash = $3 where user_id = $1 and password_hash = $2"
_GRANT = "update users.users set role = $2 where username_key = $1 returning user_id::text"
_ADD_POINTS = "update users.users set points = points + $2 where username_key = $1 returning points"


class User(msgspec.Struct, frozen=True):
    """A user as stored, without the password's hash."""

    user_id: str
    username: str
    email: str | None
    email_verified: bool
    role: Role
    points: int
    time_zone: str
    locale: str
    created_at_ms: int


class Credentials(msgspec.Struct, frozen=True):
    """What a sign-in is checked against."""

    user_id: str
    password_hash: str
    role: Role


async def add_user(
    connection: Connection,
    user_id: str,
    registration: Registration,
    password_hash: str | None,
    at_ms: int,
) -> None:
    """Insert a user with role `user` and no points; without a hash, who signs in by other means.

    Raises UsernameTaken or EmailTaken.
    """
    r = registration
    try:
        await connection.execute(
            _ADD,
            user_id,
            r.username,
            r.username_key,
            r.email,
            r.email_key,
            password_hash,
            r.time_zone,
            r.locale,
            at_ms,
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "users_email_key_key":
            raise EmailTaken from None
        if error.constraint_name == "users_username_key_key":
            raise UsernameTaken from None
        raise


async def get_user(connection: Connection | Pool, user_id: str) -> User | None:
    """The user, if there is one that is not deleted."""
    return _user(await connection.fetchrow(_GET, user_id))


async def find_by_email(connection: Connection | Pool, email: str) -> User | None:
    """The user of an address, in any case."""
    return _user(await connection.fetchrow(_BY_EMAIL, email.lower()))


async def mark_verified(connection: Connection, user_id: str, at_ms: int) -> None:
    """The user has shown to read the mailbox of their address."""
    await connection.execute(_VERIFIED, user_id, at_ms)


async def find_credentials(connection: Connection | Pool, name: str) -> Credentials | None:
    """The credentials behind a username or an e-mail address, in any case."""
    row = await connection.fetchrow(_CREDENTIALS, name.lower())
    if row is None:
        return None
    return Credentials(row["user_id"], row["password_hash"], Role(row["role"]))


async def lock_role(connection: Connection, user_id: str) -> Role | None:
    """The user's role, which no other transaction changes until this one ends."""
    role = await connection.fetchval(_LOCK_ROLE, user_id)
    return None if role is None else Role(role)


async def set_role(connection: Connection, user_id: str, role: Role) -> None:
    """Give the user another role. Access tokens already given keep theirs until they expire."""
    await connection.execute(_SET_ROLE, user_id, role.value)


async def grant_role(connection: Connection | Pool, username: str, role: Role) -> str | None:
    """Give the user of that name a role (the operator's command). The user id, if there is one."""
    found: str | None = await connection.fetchval(_GRANT, username.lower(), role.value)
    return found


async def grant_points(connection: Connection | Pool, username: str, points: int) -> int | None:
    """Add to the points of the user of that name. The new total; None if there is no such user."""
    found: int | None = await connection.fetchval(_ADD_POINTS, username.lower(), points)
    return found


async def replace_hash(
    connection: Connection | Pool, user_id: str, old_hash: str, new_hash: str
) -> None:
    """Store the same password under newer hash parameters, unless it was changed meanwhile."""
    await connection.execute(_SET_HASH, user_id, old_hash, new_hash)


def _user(row: asyncpg.Record | None) -> User | None:
    return None if row is None else User(**{**row, "role": Role(row["role"])})
