"""Sessions in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from messages.users import Role
from messages.users_sessions import Because, Method, SessionClosed
from storage import audit, users_events
from storage.database import Connection, Pool

NOTIFY_CHANNEL = "sessions_ended"
KEEP_ENDED_MS = 30 * 86_400_000  # so long a session that is over is still known as such

_ADD = """
insert into users.sessions
    (session_id, user_id, created_at_ms, last_used_at_ms, expires_at_ms, methods,
     authenticated_at_ms, device, address, place)
values ($1, $2, $3, $3, $4, $5, $3, $6, $7, $8)"""
_LOCK = """
select s.methods, u.role from users.sessions s join users.users u using (user_id)
where s.session_id = $1 and s.ended_at_ms is null and s.expires_at_ms > $2
for update of s"""
_RENEW = """
update users.sessions set methods = $2, authenticated_at_ms = $3 where session_id = $1"""
_LIVE = "ended_at_ms is null and expires_at_ms > $2 and last_used_at_ms > $3"
_LIST = f"""
select session_id::text, created_at_ms, last_used_at_ms, expires_at_ms, methods, device, address,
       place
from users.sessions where user_id = $1 and {_LIVE}
order by last_used_at_ms desc, session_id"""  # noqa: S608 - constants
_LEAST_USED = f"""
select session_id::text from users.sessions where user_id = $1 and {_LIVE}
order by last_used_at_ms desc, session_id offset $4"""  # noqa: S608 - constants
_IS_STRANGE = """
select count(*) > 0 and count(*) filter (where device = $2) = 0
from users.sessions where user_id = $1"""
_FORGET = """
delete from users.sessions where user_id = $1 and (ended_at_ms < $2 or expires_at_ms < $2)"""
_END = """
update users.sessions set ended_at_ms = $2, ended_because = $3
where user_id = $1 and ended_at_ms is null
  and ($4::uuid[] is null or session_id = any($4)) and session_id is distinct from $5::uuid
returning session_id::text"""
_SIGNED_IN = """
select u.user_id::text from users.users u
where case when $1::text is null
      then exists (select from users.sessions s where s.user_id = u.user_id
                   and s.ended_at_ms is null and s.expires_at_ms > $2)
      else u.username_key = $1 end"""
_ANNOUNCE = f"select pg_notify('{NOTIFY_CHANNEL}', id) from unnest($1::text[]) as id"  # noqa: S608
_ENDED_SINCE = """
select session_id::text, ended_at_ms from users.sessions where ended_at_ms > $1"""


class NewSession(msgspec.Struct, frozen=True):
    """A session that begins."""

    session_id: str
    user_id: str
    created_at_ms: int
    expires_at_ms: int
    methods: tuple[Method, ...]
    device: str
    address: str
    place: str


class LiveSession(msgspec.Struct, frozen=True):
    """A session as its user sees it."""

    session_id: str
    created_at_ms: int
    last_used_at_ms: int
    expires_at_ms: int
    methods: tuple[Method, ...]
    device: str
    address: str
    place: str


class Standing(msgspec.Struct, frozen=True):
    """What an access token takes from its session and its user as they stand now."""

    methods: tuple[Method, ...]
    role: Role


async def add_session(connection: Connection, session: NewSession) -> None:
    """Insert a session whose user just proved who they are."""
    s = session
    await connection.execute(
        _ADD,
        s.session_id,
        s.user_id,
        s.created_at_ms,
        s.expires_at_ms,
        [method.value for method in s.methods],
        s.device,
        s.address,
        s.place,
    )


async def is_strange(connection: Connection, user_id: str, device: str) -> bool:
    """Whether a user has had sessions lately, and none on such a device."""
    return bool(await connection.fetchval(_IS_STRANGE, user_id, device))


async def lock_session(
    connection: Connection | Pool, session_id: str, now_ms: int
) -> Standing | None:
    """A session that has not ended, which nobody else changes until the transaction ends."""
    row = await connection.fetchrow(_LOCK, session_id, now_ms)
    if row is None:
        return None
    return Standing(tuple(Method(name) for name in row["methods"]), Role(row["role"]))


async def renew_authentication(
    connection: Connection, session_id: str, methods: Sequence[Method], at_ms: int
) -> None:
    """The user of a locked session proved again who they are."""
    await connection.execute(_RENEW, session_id, [method.value for method in methods], at_ms)


async def list_sessions(
    connection: Connection | Pool, user_id: str, now_ms: int, idle_since_ms: int
) -> list[LiveSession]:
    """A user's sessions that can still be refreshed, the one used last first."""
    rows = await connection.fetch(_LIST, user_id, now_ms, idle_since_ms)
    return [
        LiveSession(**{**row, "methods": tuple(Method(name) for name in row["methods"])})
        for row in rows
    ]


async def least_used(
    connection: Connection, user_id: str, now_ms: int, idle_since_ms: int, most: int
) -> list[str]:
    """The sessions beyond the `most` that were used last."""
    rows = await connection.fetch(_LEAST_USED, user_id, now_ms, idle_since_ms, most)
    return [row["session_id"] for row in rows]


async def forget_old(connection: Connection, user_id: str, now_ms: int) -> None:
    """Delete a user's sessions that were over long ago, and their tokens."""
    await connection.execute(_FORGET, user_id, now_ms - KEEP_ENDED_MS)


async def end_sessions(
    connection: Connection,
    user_id: str,
    because: Because,
    at_ms: int,
    *,
    actor: str,
    only: Sequence[str] | None = None,
    keep: str | None = None,
) -> list[str]:
    """End sessions of a locked user: all, or `only` some, but never `keep`. The ids of those ended.

    The user is told, the audit log has it, and every replica hears of it when the transaction
    commits: from then on it refuses their access tokens and closes their connections.
    """
    rows = await connection.fetch(_END, user_id, at_ms, because.value, only, keep)
    ended = [row["session_id"] for row in rows]
    if not ended:
        return []
    await connection.execute(_ANNOUNCE, ended)
    facts = [SessionClosed(user_id, session_id, because, at_ms) for session_id in ended]
    await users_events.tell(connection, user_id, facts, at_ms)
    for session_id in ended:
        await audit.record(
            connection,
            "session.ended",
            actor=actor,
            subject=f"session:{session_id}",
            at_ms=at_ms,
            detail={"because": because.value},
        )
    return ended


async def sign_out(connection: Connection, username: str | None, at_ms: int) -> int | None:
    """End every session of a user, or of all (None), by the operator. None: no such user.

    A transaction a user: it takes a lock on each, and nobody waits for all of them.
    """
    key = None if username is None else username.lower()
    users = [row["user_id"] for row in await connection.fetch(_SIGNED_IN, key, at_ms)]
    if username is not None and not users:
        return None
    ended = 0
    for user_id in users:
        async with connection.transaction():
            await users_events.lock(connection, user_id)
            ended += len(
                await end_sessions(
                    connection, user_id, Because.REVOKED, at_ms, actor=audit.PLATFORM
                )
            )
    return ended


async def ended_since(connection: Connection | Pool, since_ms: int) -> dict[str, int]:
    """The sessions that ended after a moment before their time, and when each did."""
    rows = await connection.fetch(_ENDED_SINCE, since_ms)
    return {row["session_id"]: row["ended_at_ms"] for row in rows}
