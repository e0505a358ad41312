"""The audit log read, sealed and checked: `audit.chain` over `audit.entries`.

Entries are sealed in the order of (xid, entry_id) once they are settled, that is, once every
transaction up to theirs is over (`storage/outbox.py` says why): none can then come before.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from domain.audit import Check, seal
from messages.audit import AuditEntry, AuditFault, Fault, Seal
from storage.database import Connection, Pool
from storage.rows import execute_rows

SEALS_AT_ONCE = 1_000
FAULTS_TOLD = 100
NEWEST = 2**63 - 1

_COLUMNS = "e.entry_id, e.xid, e.at_ms, e.action, e.actor, e.subject, e.detail::text"
# One sealer at a time, whoever runs it; the key of `number` would refuse a second one anyway.
LOCK = "select pg_advisory_xact_lock(hashtextextended('audit.chain', 0))"
HEAD = "select number, xid, entry_id, hash from audit.chain order by number desc limit 1"
AT = "select number, xid, entry_id, hash from audit.chain where number = $1"
SETTLED = f"""
select {_COLUMNS} from audit.entries e
where (e.xid, e.entry_id) > ($1, $2)
  and e.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
order by e.xid, e.entry_id limit $3"""  # noqa: S608 - constants
ADD = """
insert into audit.chain (number, xid, entry_id, hash)
select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[])"""
WHOLE = f"""
select c.number, c.xid as sealed_xid, c.entry_id as sealed_id, c.hash, {_COLUMNS}
from audit.chain c left join audit.entries e on e.entry_id = c.entry_id
order by c.number"""  # noqa: S608 - constants
UNSEALED = """
select e.entry_id from audit.entries e
where (e.xid, e.entry_id) <= ($1, $2)
  and not exists (select from audit.chain c where c.entry_id = e.entry_id)
order by e.entry_id limit $3"""
LIST = f"""
select {_COLUMNS}, c.number, c.hash
from audit.entries e left join audit.chain c on c.entry_id = e.entry_id
where e.entry_id < $1
  and ($2::text is null or e.subject = $2) and ($3::text is null or e.actor = $3)
  and ($4::text is null or e.action = $4 or starts_with(e.action, $4 || '.'))
  and ($5::bigint is null or e.at_ms >= $5) and ($6::bigint is null or e.at_ms < $6)
order by e.entry_id desc limit $7"""  # noqa: S608 - constants

TRAIL = f"""
select {_COLUMNS}, c.number, c.hash
from audit.entries e left join audit.chain c on c.entry_id = e.entry_id
where (e.subject = 'user:' || $1 or e.actor = $1) and e.entry_id < $2
order by e.entry_id desc limit $3"""  # noqa: S608 - constants


class SealedEntry(msgspec.Struct, frozen=True):
    """An entry with its place in the chain, if it has been sealed."""

    entry: AuditEntry
    number: int | None
    hash: bytes | None


class Filter(msgspec.Struct, frozen=True):
    """Which entries to list. `action` also names all that begin with it and a dot."""

    subject: str | None = None
    actor: str | None = None
    action: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


async def head(connection: Connection | Pool) -> Seal | None:
    """The last seal."""
    return _seal(await connection.fetchrow(HEAD))


async def seal_at(connection: Connection | Pool, number: int) -> Seal | None:
    """The seal of that number."""
    return _seal(await connection.fetchrow(AT, number))


async def seal_settled(pool: Pool, limit: int = SEALS_AT_ONCE) -> int:
    """Seal up to `limit` of the settled entries that have no seal. How many it was."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(LOCK)
        last = await head(connection)
        after = (last.xid, last.entry_id) if last else (0, 0)
        rows = await connection.fetch(SETTLED, *after, limit)
        sealed = seal(last, [_entry(row) for row in rows])
        await execute_rows(connection, ADD, [msgspec.structs.astuple(one) for one in sealed])
    return len(sealed)


async def entries(
    connection: Connection | Pool, wanted: Filter, before: int | None, limit: int
) -> list[SealedEntry]:
    """Entries with ids below `before`, newest first."""
    below = NEWEST if before is None else before
    rows = await connection.fetch(LIST, below, *msgspec.structs.astuple(wanted), limit)
    return [SealedEntry(_entry(row), row["number"], row["hash"]) for row in rows]


async def trail(
    connection: Connection | Pool, user_id: str, before: int | None, limit: int
) -> list[SealedEntry]:
    """What a user did and what was done to them, in ids below `before`, newest first."""
    below = NEWEST if before is None else before
    rows = await connection.fetch(TRAIL, user_id, below, limit)
    return [SealedEntry(_entry(row), row["number"], row["hash"]) for row in rows]


async def whole(connection: Connection) -> AsyncIterator[tuple[Seal, AuditEntry | None]]:
    """Every seal in order with its entry, if that is there. In a transaction."""
    async for row in connection.cursor(WHOLE, prefetch=SEALS_AT_ONCE):
        sealed = Seal(row["number"], row["sealed_xid"], row["sealed_id"], row["hash"])
        yield sealed, _entry(row) if row["entry_id"] is not None else None


async def faults(connection: Connection, pins: Sequence[Seal] = ()) -> list[AuditFault]:
    """What is wrong with the log, on one snapshot; everything goes on meanwhile.

    pins: numbers and hashes of seals as somebody noted them down before.
    """
    check = Check()
    noted = {pin.number: pin.hash for pin in pins}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("set local statement_timeout = 0")
        place = (0, 0)
        async for sealed, entry in whole(connection):
            check.take(sealed, entry)
            if sealed.number in noted:
                check.pinned(sealed.number, noted.pop(sealed.number))
            place = max(place, (sealed.xid, sealed.entry_id))
        for row in await connection.fetch(UNSEALED, *place, FAULTS_TOLD):
            check.inserted(row["entry_id"])
    cut = [AuditFault(Fault.REWRITTEN, number, 0) for number in sorted(noted)]
    return [*check.faults, *cut]


def _seal(row: Any) -> Seal | None:
    return None if row is None else Seal(**row)


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(
        row["entry_id"],
        row["xid"],
        row["at_ms"],
        row["action"],
        row["actor"],
        row["subject"],
        json.loads(row["detail"]),
    )
