"""The read models of rewards: pools, what payees were credited, streaks."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from messages.rewards import (
    ArtistShareAccrued,
    ListenerEvent,
    PayeeCredited,
    PayeeEvent,
    PayeeKind,
    PoolDrawn,
    PoolEpochStarted,
    PoolEvent,
    PoolStatus,
    RewardPaid,
    RewardPaidOut,
    RewardPoolClosed,
    RewardPoolDepleted,
    RewardPoolFunded,
    RewardPoolFundingReturned,
    RewardPoolOpened,
    StreakBroken,
    StreakExtended,
    payee_id,
)
from storage.database import Connection, Pool
from storage.rows import execute_rows

ADD_POOLS = """
insert into rewards.pools
    (pool_id, name, status, balance_minor, epoch, epoch_started_at_ms, epoch_ms, budget_minor,
     spent_minor, opened_at_ms)
select p.pool_id, p.name, 'open', 0, 0, p.at_ms, p.epoch_ms, 0, 0, p.at_ms
from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[])
    as p (pool_id, name, epoch_ms, at_ms)"""
SET_POOLS = """
update rewards.pools p
set status = coalesce(c.status, p.status),
    balance_minor = coalesce(c.balance_minor, p.balance_minor),
    epoch = coalesce(c.epoch, p.epoch),
    epoch_started_at_ms = coalesce(c.epoch_started_at_ms, p.epoch_started_at_ms),
    budget_minor = coalesce(c.budget_minor, p.budget_minor),
    spent_minor = coalesce(c.spent_minor, p.spent_minor)
from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
            $7::bigint[])
    as c (pool_id, status, balance_minor, epoch, epoch_started_at_ms, budget_minor, spent_minor)
where p.pool_id = c.pool_id"""
ADD_CREDITS = """
insert into rewards.credits (payee_id, credit_id, pool_id, song_id, claims, amount_minor, at_ms)
select * from unnest($1::text[], $2::uuid[], $3::uuid[], $4::uuid[], $5::integer[], $6::bigint[],
    $7::bigint[])"""
SET_PAYOUT = """
update rewards.credits c set payout = e.payout
from unnest($1::text[], $2::uuid[], $3::bigint[]) as e (payee_id, credit_id, payout)
where c.payee_id = e.payee_id and c.credit_id = e.credit_id"""
SET_PAID_OUT = """
update rewards.credits c set paid_at_ms = e.at_ms
from unnest($1::text[], $2::bigint[], $3::bigint[]) as e (payee_id, payout, at_ms)
where c.payee_id = e.payee_id and c.payout = e.payout and c.paid_at_ms is null"""
SET_STREAKS = """
insert into rewards.streaks (user_id, days, longest_days, last_day)
select * from unnest($1::uuid[], $2::integer[], $3::integer[], $4::integer[])
on conflict (user_id) do update
set days = excluded.days, last_day = excluded.last_day,
    longest_days = greatest(streaks.longest_days, excluded.longest_days)"""
_POOL_COLUMNS = """
    pool_id::text, name, status, balance_minor, epoch, epoch_started_at_ms, epoch_ms, budget_minor,
    spent_minor, opened_at_ms
    from rewards.pools"""
NEWEST_POOLS = f"""
select {_POOL_COLUMNS}
where (opened_at_ms, pool_id) < ($1, $2)
order by opened_at_ms desc, pool_id desc limit $3"""
DEFAULT_POOL = """
select pool_id::text from rewards.pools where status = 'open'
order by opened_at_ms, pool_id limit 1"""
NEWEST_CREDITS = """
select credit_id::text, pool_id::text, song_id::text, claims, amount_minor, at_ms, paid_at_ms
from rewards.credits
where payee_id = $1 and (at_ms, credit_id) < ($2, $3)
order by at_ms desc, credit_id desc limit $4"""

EARNED_BY_SONG = """
select coalesce(sum(amount_minor), 0)::bigint from rewards.credits
where payee_id = $1 and song_id = $2"""


class PoolRow(msgspec.Struct, frozen=True):
    """A pool as its last fact left it; its epoch may be over by now."""

    pool_id: str
    name: str
    status: PoolStatus
    balance_minor: int
    epoch: int
    epoch_started_at_ms: int
    epoch_ms: int
    budget_minor: int
    spent_minor: int
    opened_at_ms: int


class CreditRow(msgspec.Struct, frozen=True):
    """What a payee was credited: a payment of claims, or a share, which is of a song.

    Paid out once `paid_at_ms` is set.
    """

    credit_id: str
    pool_id: str
    song_id: str | None
    claims: int
    amount_minor: int
    at_ms: int
    paid_at_ms: int | None


class _Change(msgspec.Struct):
    """What a batch leaves of a pool; None where it changed nothing."""

    status: str | None = None
    balance_minor: int | None = None
    epoch: int | None = None
    epoch_started_at_ms: int | None = None
    budget_minor: int | None = None
    spent_minor: int | None = None


async def write_pools(connection: Connection, events: Sequence[PoolEvent]) -> None:
    """Bring pools and credits up to a batch of facts, in the batch's transaction."""
    opened = [
        (e.pool_id, e.name, e.epoch_ms, e.at_ms) for e in events if isinstance(e, RewardPoolOpened)
    ]
    await execute_rows(connection, ADD_POOLS, opened)
    changes: dict[str, _Change] = {}
    for event in events:
        _note(changes.setdefault(event.pool_id, _Change()), event)
    changed = [
        (pool_id, *msgspec.structs.astuple(change))
        for pool_id, change in changes.items()
        if change != _Change()
    ]
    await execute_rows(connection, SET_POOLS, changed)
    await execute_rows(connection, ADD_CREDITS, [row for e in events if (row := _credit(e))])


async def write_payees(connection: Connection, events: Sequence[PayeeEvent]) -> None:
    """Bring credits up to a batch of facts. Their rows are there: payment comes before credit."""
    credited = [(e.payee_id, e.credit_id, e.payout) for e in events if isinstance(e, PayeeCredited)]
    await execute_rows(connection, SET_PAYOUT, credited)
    paid = [(e.payee_id, e.payout, e.at_ms) for e in events if isinstance(e, RewardPaidOut)]
    await execute_rows(connection, SET_PAID_OUT, paid)


async def write_streaks(connection: Connection, events: Sequence[ListenerEvent]) -> None:
    """Bring streaks up to a batch of facts: each user's last one counts, the longest of all."""
    rows: dict[str, tuple[str, int, int, int]] = {}
    for event in events:
        if isinstance(event, StreakExtended):
            rows[event.user_id] = (event.user_id, event.days, event.longest_days, event.day)
        elif isinstance(event, StreakBroken):
            rows[event.user_id] = (event.user_id, 0, event.days, event.last_day)
    await execute_rows(connection, SET_STREAKS, list(rows.values()))


async def newest_pools(pool: Pool, before: tuple[int, str], limit: int) -> list[PoolRow]:
    """Pools opened before a cursor, newest first."""
    return [_pool_row(row) for row in await pool.fetch(NEWEST_POOLS, *before, limit)]


async def default_pool(pool: Pool) -> str | None:
    """The pool that was opened first of those that are open."""
    found: str | None = await pool.fetchval(DEFAULT_POOL)
    return found


async def newest_credits(
    pool: Pool, payee: str, before: tuple[int, str], limit: int
) -> list[CreditRow]:
    """A payee's credits before a cursor, newest first."""
    rows = await pool.fetch(NEWEST_CREDITS, payee, *before, limit)
    return [CreditRow(**row) for row in rows]


async def earned_by_song(pool: Pool, payee: str, song_id: str) -> int:
    """All that a song brought its artist: the shares of its listens. Reads the artist's credits."""
    earned: int = await pool.fetchval(EARNED_BY_SONG, payee, song_id)
    return earned


def _pool_row(row: object) -> PoolRow:
    return msgspec.convert(dict(row), PoolRow)  # type: ignore[call-overload]


def _note(change: _Change, event: PoolEvent) -> None:
    match event:
        case PoolEpochStarted():
            change.epoch, change.epoch_started_at_ms = event.epoch, event.started_at_ms
            change.budget_minor, change.spent_minor = event.budget_minor, 0
        case RewardPoolFundingReturned():
            change.balance_minor, change.budget_minor = event.balance_minor, event.budget_minor
        case RewardPoolFunded():
            change.status = PoolStatus.OPEN.value
            change.balance_minor, change.budget_minor = event.balance_minor, event.budget_minor
        case PoolDrawn():
            change.balance_minor, change.spent_minor = event.balance_minor, event.spent_minor
        case RewardPoolDepleted():
            change.status = PoolStatus.DEPLETED.value
        case RewardPoolClosed():
            change.status, change.balance_minor = PoolStatus.CLOSED.value, 0


def _credit(event: PoolEvent) -> tuple[object, ...] | None:
    if isinstance(event, RewardPaid):
        payee, claims = payee_id(PayeeKind.USER, event.user_id), len(event.claims)
        amount = event.reward_minor
        return (payee, event.payment_id, event.pool_id, None, claims, amount, event.at_ms)
    if isinstance(event, ArtistShareAccrued):
        payee = payee_id(PayeeKind.ARTIST, event.artist_id)
        share = event.share_minor
        return (payee, event.share_id, event.pool_id, event.song_id, 0, share, event.at_ms)
    return None
