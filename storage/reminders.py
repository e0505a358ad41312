"""Durable timers: which are due here, and what to do with one that its entity could not take.

Setting, cancelling and finishing a timer is part of the batch that causes it: `journal.write`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from storage.database import Connection, Pool

# By placement, not by what the host owns already: after a crash it owns nothing yet.
DUE = """
select r.entity_id, r.name, r.partition, r.due_at_ms
from runtime.reminders r
join runtime.partitions p on p.kind = r.kind and p.partition = r.partition
where r.kind = $1 and r.not_before_ms <= $2 and p.host = $3
order by r.not_before_ms
limit $4"""

STANDING = """
select r.entity_id, r.name, r.due_at_ms
from unnest($2::text[], $3::text[], $4::bigint[]) as d (entity_id, name, due_at_ms)
join runtime.reminders r
    on r.kind = $1 and r.entity_id = d.entity_id and r.name = d.name
    and r.due_at_ms = d.due_at_ms"""

POSTPONE = """
update runtime.reminders r
set failures = r.failures + 1,
    not_before_ms = $5::bigint + least($6 * 2 ^ least(r.failures, 30), $7)::bigint
from unnest($2::text[], $3::text[], $4::bigint[]) as d (entity_id, name, due_at_ms)
where r.kind = $1 and r.entity_id = d.entity_id and r.name = d.name
    and r.due_at_ms = d.due_at_ms"""

POSTPONE_FIRST_MS = 1_000
POSTPONE_MOST_MS = 3_600_000


class Due(NamedTuple):
    """A timer of an entity whose moment has come."""

    entity_id: str
    name: str
    partition: int
    due_at_ms: int


async def due(
    connection: Connection | Pool, kind: str, host: str, now_ms: int, limit: int
) -> list[Due]:
    """The timers that are due in the partitions placed on `host`, the longest due first."""
    rows = await connection.fetch(DUE, kind, now_ms, host, limit)
    return [Due(*row) for row in rows]


async def standing(
    connection: Connection, kind: str, timers: Collection[tuple[str, str, int]]
) -> set[tuple[str, str, int]]:
    """Those of (entity, name, due at ms) that are still set so."""
    return {tuple(row) for row in await connection.fetch(STANDING, kind, *_columns(timers))}


async def postpone(
    connection: Connection, kind: str, timers: Collection[tuple[str, str, int]], now_ms: int
) -> None:
    """Try timers again later, after a pause that doubles with each failure."""
    await connection.execute(
        POSTPONE, kind, *_columns(timers), now_ms, POSTPONE_FIRST_MS, POSTPONE_MOST_MS
    )


def _columns(timers: Collection[tuple[str, str, int]]) -> list[list[str | int]]:
    return [list(column) for column in zip(*timers, strict=True)] or [[], [], []]
