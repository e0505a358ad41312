"""Events that a consumer group gave up on: listed, shown, handed to it again.

A letter is written in the transaction that moves its group past the event, so an event is handled,
parked or still to come, and never two of these. A replay marks it; the group's active consumer, who
alone handles events of the group, takes marked letters in the order of their positions, each in a
transaction that closes the letter together with the effect: a replay takes effect once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from messages.bus import DeadLetter, parse_position
from messages.envelope import Event
from storage.database import Connection, Pool
from storage.outbox import event_of

MAX_LIST = 1_000
MAX_ERROR = 4_000

PARK = """
insert into bus.dead_letters
    (group_name, stream, xid, row_id, event_id, type, entity_id, sequence, at_ms, channels, body,
     error, attempts, parked_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"""
_EVENT = """
    stream, xid, row_id, event_id::text as event_id, type, entity_id, sequence, at_ms, channels,
    body"""
_LETTER = (
    f"select {_EVENT}, id, group_name, error, attempts, parked_at_ms, state from bus.dead_letters"  # noqa: S608
)
LIST = f"{_LETTER} where state <> 'done' order by id limit $1"
SHOW = f"{_LETTER} where id = $1"
REPLAYS = f"""
{_LETTER} where group_name = $1 and stream = $2 and state = 'replay'
order by xid, row_id limit $3"""
REPLAY = """
with marked as (
    update bus.dead_letters set state = 'replay' where id = any($1::bigint[]) and state = 'parked'
    returning stream)
select count(*), pg_notify('outbox', coalesce(string_agg(distinct stream, ','), '')) from marked"""
CLOSE = "update bus.dead_letters set state = 'done' where id = $1 and state = 'replay'"
PARK_AGAIN = """
update bus.dead_letters set state = 'parked', error = $2, attempts = attempts + 1, parked_at_ms = $3
where id = $1 and state = 'replay'"""
PURGE = "delete from bus.dead_letters where state = 'done' and parked_at_ms < $1"


async def park(
    connection: Connection, group: str, event: Event, error: str, attempts: int, now_ms: int
) -> None:
    """Record that the group gave up on the event, in the transaction that moves it on."""
    await connection.execute(
        PARK,
        group,
        event.stream,
        *parse_position(event.position),
        event.event_id,
        event.type,
        event.entity_id,
        event.sequence,
        event.at_ms,
        list(event.channels),
        event.body,
        error[:MAX_ERROR],
        attempts,
        now_ms,
    )


async def list_dead(connection: Connection | Pool, limit: int = 100) -> list[DeadLetter]:
    """Letters that are not done, oldest first."""
    rows = await connection.fetch(LIST, min(limit, MAX_LIST))
    return [_letter(tuple(row)) for row in rows]


async def show_dead(connection: Connection | Pool, letter_id: int) -> DeadLetter | None:
    """One letter, done or not."""
    row = await connection.fetchrow(SHOW, letter_id)
    return _letter(tuple(row)) if row else None


async def replay_dead(connection: Connection | Pool, letter_ids: Sequence[int]) -> int:
    """Have parked letters handed to their groups again; how many were parked."""
    return int(await connection.fetchval(REPLAY, list(letter_ids)))


async def replays(
    connection: Connection | Pool, group: str, stream: str, limit: int
) -> list[DeadLetter]:
    """The group's letters to handle again, in the order of their positions."""
    return [_letter(tuple(row)) for row in await connection.fetch(REPLAYS, group, stream, limit)]


async def close(connection: Connection, letter_id: int) -> bool:
    """Close a letter in the transaction of its effect. False if it was closed before."""
    return bool(await connection.execute(CLOSE, letter_id) == "UPDATE 1")


async def park_again(
    connection: Connection | Pool, letter_id: int, error: str, now_ms: int
) -> None:
    """The replay failed as well."""
    await connection.execute(PARK_AGAIN, letter_id, error[:MAX_ERROR], now_ms)


async def purge(connection: Connection | Pool, before_ms: int) -> int:
    """Delete letters that are done and older."""
    return int((await connection.execute(PURGE, before_ms)).rsplit(" ", 1)[1])


def _letter(row: Sequence[Any]) -> DeadLetter:
    letter_id, group, error, attempts, parked_at_ms, state = row[10:]
    return DeadLetter(letter_id, group, event_of(row[:10]), error, attempts, parked_at_ms, state)
