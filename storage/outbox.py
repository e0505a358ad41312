"""The transactional outbox: events written with the change that they tell of, read in order.

An event's position is (xid, id): the transaction that wrote it, then the order within it. A row is
*settled* when its xid is below the xmin of the reader's snapshot: every transaction up to it is
over, so nothing can appear at or below its position any more. Only settled rows are read, which is
why a reader that remembers the last position can neither skip nor reorder an event, however late
some transaction commits (docs/decisions/0003-event-positions.md).

The one rule for writers: the next event of an entity is written by a transaction that *began to
write* after the one before had committed. The owner of an entity commits its batches one after
another, so it holds by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from messages.bus import Position, parse_position
from messages.envelope import Event
from storage.database import Connection, Pool
from storage.rows import integers

NOTIFY_CHANNEL = "outbox"
MAX_READ = 5_000
MAX_CHANNELS = 64
# Joins an event's channels into one text, as PostgreSQL has no arrays of ragged arrays.
_SEPARATOR = "\x1f"

APPEND = """
with added as (
    insert into bus.outbox
        (stream, event_id, type, entity_id, sequence, at_ms, channels, body)
    select e.stream, e.event_id, e.type, e.entity_id, e.sequence, e.at_ms,
           string_to_array(e.channels, chr(31)), e.body
    from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text::bigint[],
                $6::text::bigint[], $7::text[], $8::text[])
         with ordinality
         as e (stream, event_id, type, entity_id, sequence, at_ms, channels, body, n)
    order by e.n)
select pg_notify('outbox', $9)"""

_SETTLED = "xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_COLUMNS = """
    stream, xid, id, event_id::text as event_id, type, entity_id, sequence, at_ms, channels, body"""

READ_SETTLED = f"""
select {_COLUMNS} from bus.outbox
where stream = $1 and (xid, id) > ($2, $3) and {_SETTLED}
order by xid, id limit $4"""  # noqa: S608 - constants
NEWEST_SETTLED = f"""
select xid, id from bus.outbox where stream = $1 and {_SETTLED}
order by xid desc, id desc limit 1"""  # noqa: S608 - constants
READ_TYPES = f"""
select {_COLUMNS} from bus.outbox
where stream = $1 and (xid, id) > ($2, $3) and (xid, id) <= ($4, $5) and type = any($6::text[])
order by xid, id limit $7"""  # noqa: S608 - constants
READ_CHANNELS = f"""
select {_COLUMNS} from bus.outbox
where channels && $1::text[] and xid >= $2 and (xid, id) > ($2, $3) and {_SETTLED}
order by xid, id limit $4"""  # noqa: S608 - constants
HAS_AFTER = """
select exists (select from bus.outbox where stream = $1 and (xid, id) > ($2, $3))"""
SETTLED_POSITION = "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1"
NEXT_XID = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
NTH_NEWEST = """
select xid, id from bus.outbox where stream = $1 order by xid desc, id desc offset $2 limit 1"""
# Looks at the oldest rows only, so that a round costs the same whether or not any may go.
PURGE = """
with oldest as (
    select xid, id, at_ms from bus.outbox
    where stream = $1 and (xid, id) <= ($2, $3) order by xid, id limit $5),
gone as (
    delete from bus.outbox o using oldest
    where o.stream = $1 and o.xid = oldest.xid and o.id = oldest.id and oldest.at_ms < $4
    returning o.xid, o.id),
horizon as (
    insert into bus.purged as p (stream, xid, id)
    select $1, xid, id from gone order by xid desc, id desc limit 1
    on conflict (stream) do update set xid = excluded.xid, id = excluded.id
    where (excluded.xid, excluded.id) > (p.xid, p.id))
select count(*) from gone"""

LAST_OF_ALL = 2**63 - 1


async def append(connection: Connection, events: Sequence[Event]) -> None:
    """Write events in the caller's transaction, in order, and wake their relays at its commit.

    One statement whatever the number. `position` of the events is ignored: the database gives it.
    """
    if not events:
        return
    assert all(_joinable(event.channels) for event in events), "too many channels, or a bad name"
    await connection.execute(
        APPEND,
        [event.stream for event in events],
        [event.event_id for event in events],
        [event.type for event in events],
        [event.entity_id for event in events],
        integers([event.sequence for event in events]),
        integers([event.at_ms for event in events]),
        [_SEPARATOR.join(event.channels) for event in events],
        [event.body for event in events],
        ",".join(sorted({event.stream for event in events})),
    )


async def read_settled(
    connection: Connection | Pool, stream: str, after_position: str, limit: int
) -> list[Event]:
    """The stream's next settled events after a position (`""`: from the first), in order."""
    after = parse_position(after_position)
    rows = await connection.fetch(READ_SETTLED, stream, *after, min(limit, MAX_READ))
    return [event_of(tuple(row)) for row in rows]


async def newest_settled(connection: Connection | Pool, stream: str) -> Position | None:
    """The stream's last settled position; None if it has no events."""
    row = await connection.fetchrow(NEWEST_SETTLED, stream)
    return Position(*row) if row else None


async def read_types(
    connection: Connection | Pool,
    stream: str,
    between: tuple[Position, Position],
    types: Sequence[str],
    limit: int,
) -> list[Event]:
    """The stream's events of some types above a position, up to a settled one, in order."""
    after, up_to = between
    rows = await connection.fetch(READ_TYPES, stream, *after, *up_to, list(types), limit)
    return [event_of(tuple(row)) for row in rows]


async def read_channels(
    connection: Connection | Pool, channels: Sequence[str], after_position: str, limit: int
) -> list[Event]:
    """Settled events of any stream shown on any of the channels after a position, in order."""
    after = parse_position(after_position)
    rows = await connection.fetch(READ_CHANNELS, list(channels), *after, min(limit, MAX_READ))
    return [event_of(tuple(row)) for row in rows]


async def has_after(connection: Connection | Pool, stream: str, after: Position) -> bool:
    """Whether committed events stand after the position, settled or not."""
    return bool(await connection.fetchval(HAS_AFTER, stream, *after))


async def settled_position(connection: Connection | Pool) -> Position:
    """The end of the settled past: everything at or below it is there, nothing more will come."""
    return Position(await connection.fetchval(SETTLED_POSITION), LAST_OF_ALL)


async def next_xid(connection: Connection | Pool) -> int:
    """The transaction id that this database has not reached yet."""
    return int(await connection.fetchval(NEXT_XID))


async def nth_newest(connection: Connection | Pool, stream: str, n: int) -> Position | None:
    """The position that exactly `n` events stand above; None if there are not more than `n`."""
    row = await connection.fetchrow(NTH_NEWEST, stream, n)
    return Position(*row) if row else None


async def purge(
    connection: Connection | Pool, stream: str, up_to: Position, before_ms: int, limit: int
) -> int:
    """Delete up to `limit` of the oldest events at or below `up_to` and older than `before_ms`."""
    return int(await connection.fetchval(PURGE, stream, *up_to, before_ms, limit))


def event_of(row: Sequence[Any]) -> Event:
    """The event of a row that has the outbox's columns in their order."""
    stream, xid, number, event_id, type_, entity_id, sequence, at_ms, channels, body = row
    return Event(
        event_id,
        stream,
        type_,
        entity_id,
        sequence,
        at_ms,
        tuple(channels),
        body,
        f"{xid}-{number}",
    )


def _joinable(channels: tuple[str, ...]) -> bool:
    return len(channels) <= MAX_CHANNELS and all(c and _SEPARATOR not in c for c in channels)
