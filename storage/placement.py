"""Where partitions live, who owns them, and what the supervisor saw. The epoch is the fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from storage.database import Connection, Pool

SUPERVISOR_LOCK = 0x5669_6250

REGISTER = """
insert into runtime.hosts as h (name, incarnation, started_at_ms) values ($1, 1, $2)
on conflict (name) do update
set incarnation = h.incarnation + 1, started_at_ms = excluded.started_at_ms
returning incarnation"""

INCARNATION = "select incarnation from runtime.hosts where name = $1"

# Rows are locked in the order of their partitions, as each batch's fence does: no deadlocks.
ACQUIRE = """
with locked as (
    select kind, partition from runtime.partitions
    where kind = $1 and partition = any($2::integer[]) and host = $3
        and exists (select from runtime.hosts where name = $3 and incarnation = $4)
    order by partition
    for update
)
update runtime.partitions p
set epoch = p.epoch + 1, incarnation = $4, changed_at_ms = $5
from locked
where p.kind = locked.kind and p.partition = locked.partition
returning p.partition, p.epoch"""

READ = "select partition, host from runtime.partitions where kind = $1"

ENSURE = """
insert into runtime.partitions (kind, partition, host)
select $1, n.partition, n.host from unnest($2::integer[], $3::text[]) as n (partition, host)
order by n.partition
on conflict (kind, partition) do nothing"""

# The epoch rises with the move, so the owner before is fenced at once, not when it is replaced.
MOVE = """
with locked as (
    select p.kind, p.partition, m.host from runtime.partitions p
    join unnest($2::integer[], $3::text[]) as m (partition, host) on m.partition = p.partition
    where p.kind = $1 and p.host <> m.host
    order by p.partition
    for update of p
)
update runtime.partitions p
set host = locked.host, epoch = p.epoch + 1, changed_at_ms = $4
from locked
where p.kind = locked.kind and p.partition = locked.partition
returning p.partition"""

REPORT = """
insert into runtime.incidents (at_ms, host, what, partitions_moved, detail)
values ($1, $2, $3, $4, $5)"""

INCIDENTS = """
select at_ms, host, what, partitions_moved, detail from runtime.incidents
order by at_ms desc, id desc limit $1"""


class Incident(NamedTuple):
    """Something the supervisor saw: `lost`, `returned` or `restarted`, and the moves it caused."""

    at_ms: int
    host: str
    what: str
    partitions_moved: int
    detail: str = ""


async def register(connection: Connection | Pool, host: str, now_ms: int) -> int:
    """A new incarnation of the host's name. Whoever used the name before can acquire no more."""
    return int(await connection.fetchval(REGISTER, host, now_ms))


async def incarnation(connection: Connection | Pool, host: str) -> int:
    """The incarnation that the name stands for now; 0 if it never started."""
    return int(await connection.fetchval(INCARNATION, host) or 0)


async def acquire(
    connection: Connection,
    kind: str,
    partitions: Sequence[int],
    host: str,
    own_incarnation: int,
    now_ms: int,
) -> dict[int, int]:
    """Become the owner of those partitions that are placed on `host`: partition → new epoch.

    None are given to an incarnation that was replaced by a later one of the same name.
    """
    rows = await connection.fetch(ACQUIRE, kind, partitions, host, own_incarnation, now_ms)
    return dict(map(tuple, rows))


async def read(connection: Connection | Pool, kind: str) -> dict[int, str]:
    """Partition → host, for all partitions of a kind that are placed."""
    return dict(map(tuple, await connection.fetch(READ, kind)))


async def ensure(connection: Connection | Pool, kind: str, placement: Mapping[int, str]) -> None:
    """Place the partitions that have no place yet; the others stay where they are."""
    await connection.execute(ENSURE, kind, list(placement), list(placement.values()))


async def move(
    connection: Connection | Pool, kind: str, moves: Mapping[int, str], now_ms: int
) -> list[int]:
    """Put partitions elsewhere and fence their owners, in one statement. Those that moved."""
    rows = await connection.fetch(MOVE, kind, list(moves), list(moves.values()), now_ms)
    return sorted(row["partition"] for row in rows)


async def report(connection: Connection | Pool, incident: Incident) -> None:
    """Write an incident down."""
    await connection.execute(REPORT, *incident)


async def incidents(connection: Connection | Pool, limit: int) -> list[Incident]:
    """The latest incidents, newest first."""
    return [Incident(*row) for row in await connection.fetch(INCIDENTS, limit)]


async def try_lead(connection: Connection) -> bool:
    """Whether this connection is the one that supervises (it stays so until it closes)."""
    return bool(await connection.fetchval("select pg_try_advisory_lock($1)", SUPERVISOR_LOCK))
