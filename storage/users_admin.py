"""Users as admins see and change them, in PostgreSQL. No hash or secret is ever read here."""

from __future__ import annotations

from typing import Any

import msgspec

from messages.users import Role
from storage.database import Connection, Pool

# One change of roles at a time: each of two admins who demote each other counts the other.
LOCK_ROLES = "select pg_advisory_xact_lock(hashtextextended('users.roles', 0))"
OTHER_ADMINS = """
select count(*) from users.users where role = 'admin' and status = 'active' and user_id <> $1"""
_COLUMNS = """
user_id::text, username, email, role, status, points, time_zone, locale, created_at_ms"""
GET = f"select {_COLUMNS} from users.users where user_id = $1"  # noqa: S608 - a constant
SEARCH = f"""
select {_COLUMNS} from users.users
where ($1::text is null or username_key like $1 || '%')
  and ($2::text is null or email_key = $2)
  and ($3::text is null or status = $3) and ($4::text is null or role = $4)
  and (created_at_ms, user_id) < ($5, $6)
order by created_at_ms desc, user_id desc limit $7"""  # noqa: S608 - constants
LIVE_SESSIONS = """
select count(*) from users.sessions
where user_id = $1 and ended_at_ms is null and expires_at_ms > $2"""


class AdminView(msgspec.Struct, frozen=True):
    """A user as admins see them."""

    user_id: str
    username: str
    email: str | None
    role: Role
    status: str
    points: int
    time_zone: str
    locale: str
    created_at_ms: int


class Search(msgspec.Struct, frozen=True):
    """Which users to find: all that is given holds."""

    name_prefix: str | None = None
    email: str | None = None
    status: str | None = None
    role: Role | None = None


async def lock_roles(connection: Connection) -> None:
    """Be the only one to change roles until the transaction ends. Before its first write."""
    await connection.execute(LOCK_ROLES)


async def other_admins(connection: Connection, user_id: str) -> int:
    """Active admins beside a user."""
    return int(await connection.fetchval(OTHER_ADMINS, user_id))


async def get(connection: Connection | Pool, user_id: str) -> AdminView | None:
    """The user, whatever their status."""
    row = await connection.fetchrow(GET, user_id)
    return None if row is None else _view(row)


async def search(
    connection: Connection | Pool, wanted: Search, before: tuple[int, str], limit: int
) -> list[AdminView]:
    """Users, newest first."""
    w = wanted
    prefix = None if w.name_prefix is None else _literal(w.name_prefix.lower())
    email = None if w.email is None else w.email.lower()
    role = None if w.role is None else w.role.value
    rows = await connection.fetch(SEARCH, prefix, email, w.status, role, *before, limit)
    return [_view(row) for row in rows]


async def count_sessions(connection: Connection | Pool, user_id: str, now_ms: int) -> int:
    """Sessions of a user that go on."""
    return int(await connection.fetchval(LIVE_SESSIONS, user_id, now_ms))


def _literal(prefix: str) -> str:
    """A prefix that LIKE takes for itself: names may have an underscore."""
    return prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _view(row: Any) -> AdminView:
    return AdminView(**{**row, "role": Role(row["role"])})
