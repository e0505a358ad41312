"""Sign-ins that wait for a second factor, in PostgreSQL."""

from __future__ import annotations

import msgspec

from storage.database import Connection, Pool

PURGE_ROWS = 4  # expired sign-ins that leave with each new one

_PURGE = """
delete from users.pending_sign_ins where pending_hash in (
    select pending_hash from users.pending_sign_ins where expires_at_ms <= $1
    order by expires_at_ms limit $2 for update skip locked)"""
_BEGIN = """
insert into users.pending_sign_ins (pending_hash, user_id, method, client, expires_at_ms)
values ($1, $2, $3, $4, $5)"""
_FIND = """
select user_id::text, method from users.pending_sign_ins
where pending_hash = $1 and client = $2 and expires_at_ms > $3 and attempts < $4"""
_ATTEMPT = """
update users.pending_sign_ins set attempts = attempts + 1
where pending_hash = $1 and client = $2 and expires_at_ms > $3 and attempts < $4
returning user_id::text, method"""
_COMPLETE = "delete from users.pending_sign_ins where pending_hash = $1 returning true"


class Pending(msgspec.Struct, frozen=True):
    """Who signs in, and the first factor they showed."""

    user_id: str
    method: str


async def begin(
    connection: Connection | Pool,
    pending_hash: bytes,
    pending: Pending,
    client: bytes,
    *,
    now_ms: int,
    expires_at_ms: int,
) -> None:
    """Keep a sign-in until its second factor is shown; forget a few that are too old."""
    await connection.execute(_PURGE, now_ms, PURGE_ROWS)
    await connection.execute(
        _BEGIN, pending_hash, pending.user_id, pending.method, client, expires_at_ms
    )


async def find(
    connection: Connection | Pool, pending_hash: bytes, client: bytes, now_ms: int, attempts: int
) -> Pending | None:
    """The sign-in of that client, if it is not over."""
    row = await connection.fetchrow(_FIND, pending_hash, client, now_ms, attempts)
    return None if row is None else Pending(**row)


async def attempt(
    connection: Connection | Pool, pending_hash: bytes, client: bytes, now_ms: int, attempts: int
) -> Pending | None:
    """The same, and one of its attempts is used up."""
    row = await connection.fetchrow(_ATTEMPT, pending_hash, client, now_ms, attempts)
    return None if row is None else Pending(**row)


async def complete(connection: Connection | Pool, pending_hash: bytes) -> bool:
    """End a sign-in; False if somebody else did first."""
    return bool(await connection.fetchval(_COMPLETE, pending_hash))
