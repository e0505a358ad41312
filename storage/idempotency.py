"""The recorded answers of requests that changed something, written in the change's transaction."""

from __future__ import annotations

import msgspec

from storage.database import Connection, Pool

KEEP_MS = 48 * 3_600_000  # a client that retries after two days has lost its state anyway
PURGE_ROWS = 4  # more than one a request, so that the table shrinks while it is used

_FIND = "select fingerprint, status, body from api.idempotency where key = $1"
_CLAIM = """
insert into api.idempotency (key, fingerprint, at_ms) values ($1, $2, $3)
on conflict (key) do nothing returning true"""
_COMPLETE = "update api.idempotency set status = $2, body = $3 where key = $1"
_PURGE = """
delete from api.idempotency where key in (
    select key from api.idempotency where at_ms < $1 order by at_ms limit $2
    for update skip locked)"""


class Recorded(msgspec.Struct, frozen=True):
    """An answer as it was given. `body` is JSON."""

    fingerprint: bytes
    status: int
    body: bytes


async def find(connection: Connection | Pool, key: bytes) -> Recorded | None:
    """The answer recorded for `key`."""
    row = await connection.fetchrow(_FIND, key)
    return None if row is None else Recorded(row["fingerprint"], row["status"], row["body"])


async def claim(connection: Connection, key: bytes, fingerprint: bytes, at_ms: int) -> bool:
    """Take `key` for the caller's transaction; False if another transaction has committed it.

    Waits for another transaction that holds the key. Forgets a few answers that are past keeping.
    """
    await connection.execute(_PURGE, at_ms - KEEP_MS, PURGE_ROWS)
    return bool(await connection.fetchval(_CLAIM, key, fingerprint, at_ms))


async def complete(connection: Connection, key: bytes, status: int, body: bytes) -> None:
    """Record the answer of a claimed key, in the same transaction."""
    await connection.execute(_COMPLETE, key, status, body)
