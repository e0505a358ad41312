"""The inbox: how far each consumer group's effects are committed, stream by stream.

Events come in one total order (storage/outbox.py), so one position says all that a row per event
would: what is at or below it was handled. It moves in the transaction of the effects (`advance`),
and only from the position that the consumer believed in, so of two that think they are the active
one a single one commits.
"""

from __future__ import annotations

from collections.abc import Sequence

from messages.bus import GroupLag, GroupPosition, Position
from storage.database import Connection, Pool

# Counting stops here: beyond it the exact number tells an operator nothing more.
COUNT_LIMIT = 100_000

REGISTER = """
insert into bus.inbox (group_name, stream, xid, id, registered_at_ms, moved_at_ms)
values ($1, $2, $3, $4, $5, $5) on conflict do nothing"""
UNREGISTER = "delete from bus.inbox where group_name = $1"
POSITION = "select xid, id from bus.inbox where group_name = $1 and stream = $2"
ADVANCE = """
update bus.inbox set xid = $5, id = $6, handled = handled + $7, moved_at_ms = $8
where group_name = $1 and stream = $2 and xid = $3 and id = $4"""
GROUPS = """
select group_name, xid, id from bus.inbox where stream = $1 order by group_name"""
STREAMS = """
select distinct stream from bus.inbox order by stream"""
LAGS = """
select i.group_name, i.stream, i.xid, i.id, i.handled,
    (select count(*) from (
        select from bus.outbox o
        where o.stream = i.stream and (o.xid, o.id) > (i.xid, i.id) limit $2) as few) as unhandled,
    (select o.at_ms from bus.outbox o
        where o.stream = i.stream and (o.xid, o.id) > (i.xid, i.id)
        order by o.xid, o.id limit 1) as oldest_at_ms,
    (select count(*) from bus.dead_letters d
        where d.group_name = i.group_name and d.stream = i.stream and d.state <> 'done') as dead
from bus.inbox i where i.stream = any($1::text[]) order by i.stream, i.group_name"""
COUNT_AFTER = """
select count(*) from (
    select from bus.outbox where stream = $1 and (xid, id) > ($2, $3) limit $4) as few"""


async def register(
    connection: Connection | Pool, group: str, stream: str, start: Position, now_ms: int
) -> None:
    """Make the group known, to begin after `start`. A group that is known keeps its position."""
    await connection.execute(REGISTER, group, stream, *start, now_ms)


async def unregister(connection: Connection | Pool, group: str) -> int:
    """Forget a group, so that it holds back no trimming. Returns how many streams it followed."""
    return int((await connection.execute(UNREGISTER, group)).rsplit(" ", 1)[1])


async def position(connection: Connection | Pool, group: str, stream: str) -> Position | None:
    """Up to where the group's effects are committed; None if it is not registered."""
    row = await connection.fetchrow(POSITION, group, stream)
    return Position(*row) if row else None


async def advance(
    connection: Connection | Pool,
    group: str,
    stream: str,
    step: tuple[Position, Position],
    handled: int,
    now_ms: int,
) -> bool:
    """Move the group from `step[0]` to `step[1]`. False if it is elsewhere: do not commit."""
    before, after = step
    assert before < after, "a group's position only moves forward"
    status = await connection.execute(ADVANCE, group, stream, *before, *after, handled, now_ms)
    return bool(status == "UPDATE 1")


async def groups(connection: Connection | Pool, stream: str) -> list[GroupPosition]:
    """The groups registered for a stream."""
    rows = await connection.fetch(GROUPS, stream)
    return [GroupPosition(name, Position(xid, number)) for name, xid, number in rows]


async def streams(connection: Connection | Pool) -> list[str]:
    """The streams that some group is registered for."""
    return [row["stream"] for row in await connection.fetch(STREAMS)]


async def lags(connection: Connection | Pool, names: Sequence[str]) -> list[GroupLag]:
    """What each group of the streams has yet to handle."""
    rows = await connection.fetch(LAGS, list(names), COUNT_LIMIT)
    return [
        GroupLag(
            row["group_name"],
            row["stream"],
            Position(row["xid"], row["id"]),
            row["handled"],
            row["unhandled"],
            row["oldest_at_ms"],
            row["dead"],
        )
        for row in rows
    ]


async def count_after(connection: Connection | Pool, stream: str, after: Position) -> int:
    """Committed events after a position, at most COUNT_LIMIT."""
    return int(await connection.fetchval(COUNT_AFTER, stream, *after, COUNT_LIMIT))
