"""Epochs, leaves, roots and spent nullifiers: what claims are checked against.

Written by the pools' owners in the transaction of their facts, read by them before they decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from messages.rewards import (
    ListenAdded,
    PoolEpochStarted,
    PoolEvent,
    RewardPaid,
    RewardPoolOpened,
)
from storage.database import Connection, Pool
from storage.rows import execute_rows

# One statement a fact each, in the order of the facts: an epoch ends when the next begins.
END_EPOCHS = """
update rewards.epochs e set ended_at_ms = n.started_at_ms
from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as n (pool_id, epoch, started_at_ms)
where e.pool_id = n.pool_id and e.epoch < n.epoch and e.ended_at_ms is null"""
ADD_EPOCHS = """
insert into rewards.epochs (pool_id, epoch, started_at_ms)
select * from unnest($1::uuid[], $2::bigint[], $3::bigint[])"""
ADD_LEAVES = """
insert into rewards.leaves (pool_id, epoch, index, leaf)
select * from unnest($1::uuid[], $2::bigint[], $3::integer[], $4::text[])"""
ADD_ROOTS = """
insert into rewards.roots (pool_id, epoch, leaves, root)
select * from unnest($1::uuid[], $2::bigint[], $3::integer[], $4::text[])"""
ADD_NULLIFIERS = """
insert into rewards.nullifiers (nullifier, pool_id, payment_id)
select * from unnest($1::text[], $2::uuid[], $3::uuid[])"""
# A row for each claim that was asked about, in the order asked.
FIND = """
select n.nullifier is not null as spent, e.epoch is not null as epoch_known,
    r.root is not null as root_known, e.ended_at_ms
from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) with ordinality
    as c (pool_id, epoch, root, nullifier, place)
left join rewards.nullifiers n on n.nullifier = c.nullifier
left join rewards.epochs e on e.pool_id = c.pool_id and e.epoch = c.epoch
left join lateral (
    select root from rewards.roots
    where pool_id = c.pool_id and epoch = c.epoch and root = c.root
    limit 1
) r on true
order by c.place"""
GET_EPOCH = """
select e.epoch, e.started_at_ms, e.ended_at_ms, coalesce(r.leaves, 0) as leaves, r.root
from rewards.epochs e
left join lateral (
    select leaves, root from rewards.roots
    where pool_id = e.pool_id and epoch = e.epoch
    order by leaves desc limit 1
) r on true
where e.pool_id = $1 and e.epoch = $2"""
LEAVES = """
select leaf from rewards.leaves
where pool_id = $1 and epoch = $2 and index >= $3
order by index limit $4"""
MAX_EPOCH = 2**63 - 1


class Asked(NamedTuple):
    """What a claim says, decimal texts."""

    pool_id: str
    epoch: int
    root: str
    nullifier: str


class Found(NamedTuple):
    """What the tables know of it."""

    spent: bool
    epoch_known: bool
    root_known: bool
    epoch_ended_at_ms: int | None


class EpochRow(msgspec.Struct, frozen=True):
    """An epoch of a pool, with its present root, which is None while there are no leaves."""

    epoch: int
    started_at_ms: int
    ended_at_ms: int | None
    leaves: int
    root: str | None


async def write(connection: Connection, events: Sequence[PoolEvent]) -> None:
    """Bring the tables up to a batch of facts, in the batch's transaction."""
    for event in events:  # rare, and their order counts
        if isinstance(event, RewardPoolOpened):
            await execute_rows(connection, ADD_EPOCHS, [(event.pool_id, 0, event.at_ms)])
        elif isinstance(event, PoolEpochStarted):
            begun = [(event.pool_id, event.epoch, event.started_at_ms)]
            await execute_rows(connection, END_EPOCHS, begun)
            await execute_rows(connection, ADD_EPOCHS, begun)
    grown = [e for e in events if isinstance(e, ListenAdded) and e.leaves]
    leaves = [
        (e.pool_id, e.epoch, e.first_index + place, leaf)
        for e in grown
        for place, leaf in enumerate(e.leaves)
    ]
    await execute_rows(connection, ADD_LEAVES, leaves)
    roots = [(e.pool_id, e.epoch, e.first_index + len(e.leaves), e.root) for e in grown]
    await execute_rows(connection, ADD_ROOTS, roots)
    spent = [
        (claim.nullifier, e.pool_id, e.payment_id)
        for e in events
        if isinstance(e, RewardPaid)
        for claim in e.claims
    ]
    await execute_rows(connection, ADD_NULLIFIERS, spent)


async def find(connection: Connection, asked: Sequence[Asked]) -> list[Found]:
    """What is known of each claim. Epochs beyond 63 bits are of no pool."""
    known = [claim if claim.epoch <= MAX_EPOCH else claim._replace(epoch=-1) for claim in asked]
    rows = await connection.fetch(FIND, *map(list, zip(*known, strict=True))) if known else []
    return [Found(*row) for row in rows]


async def get_epoch(pool: Pool, pool_id: str, epoch: int) -> EpochRow | None:
    """An epoch of a pool, if it had it."""
    row = await pool.fetchrow(GET_EPOCH, pool_id, epoch)
    return EpochRow(**row) if row else None


async def leaves_from(pool: Pool, pool_id: str, epoch: int, first: int, limit: int) -> list[str]:
    """Leaves in order, from the one of index `first`."""
    return [row["leaf"] for row in await pool.fetch(LEAVES, pool_id, epoch, first, limit)]
