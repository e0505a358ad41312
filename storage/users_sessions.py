"""Sessions in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from messages.users import Role
from messages.users_sessions import Method
from storage.database import Connection, Pool

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
