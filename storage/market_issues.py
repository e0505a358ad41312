"""The read models of share issues: terms, holdings, purchases, locks, distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from domain.market.advance import TradesMet
from messages.market import (
    HoldingChanged,
    IssueActivated,
    IssueDrafted,
    IssuePaused,
    IssueResumed,
    IssueSoldOut,
    IssueStatus,
    IssueTerminated,
    MarketEvent,
    RevenueDistributed,
    RevenuePaid,
    RevenueReceived,
    SharesBought,
    SharesSold,
    SharesUnlocked,
    SharesWereLocked,
)
from messages.market.orders import BookAdvanced, BookChanged, OrderChanged, OrdersAdvanced
from storage.database import Connection, Pool
from storage.rows import execute_rows

ADD_ISSUES = """
insert into market.issues
    (issue_id, song_id, generation, artist_user_id, status, currency, shares, retained,
     price_minor, minimum, cap_bps, tick_minor, drafted_at_ms)
select i.issue_id, i.song_id, i.generation, i.artist_user_id, 'draft', i.currency, i.shares,
    i.retained, i.price_minor, i.minimum, i.cap_bps, i.tick_minor, i.at_ms
from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::uuid[], $5::text[], $6::integer[],
            $7::integer[], $8::bigint[], $9::integer[], $10::integer[], $11::bigint[],
            $12::bigint[])
    as i (issue_id, song_id, generation, artist_user_id, currency, shares, retained, price_minor,
          minimum, cap_bps, tick_minor, at_ms)"""
SET_ISSUES = """
update market.issues i
set status = coalesce(c.status, i.status),
    voided = coalesce(c.voided, i.voided),
    sold = coalesce(c.sold, i.sold),
    revenue_minor = coalesce(c.revenue_minor, i.revenue_minor),
    activated_at_ms = coalesce(c.activated_at_ms, i.activated_at_ms)
from unnest($1::uuid[], $2::text[], $3::boolean[], $4::integer[], $5::bigint[], $6::bigint[])
    as c (issue_id, status, voided, sold, revenue_minor, activated_at_ms)
where i.issue_id = c.issue_id"""
SET_HOLDINGS = """
insert into market.holdings
    (issue_id, user_id, available, held, locked, cost_minor, realised_minor, changed_at_ms)
select * from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::integer[], $5::integer[],
    $6::bigint[], $7::bigint[], $8::bigint[])
on conflict (user_id, issue_id) do update
set available = excluded.available, held = excluded.held, locked = excluded.locked,
    cost_minor = excluded.cost_minor, realised_minor = excluded.realised_minor,
    changed_at_ms = excluded.changed_at_ms"""
ADD_PURCHASES = """
insert into market.purchases
    (purchase_id, issue_id, user_id, shares, price_minor, paid_minor, fee_minor, at_ms)
select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[])"""
ADD_LOCKS = """
insert into market.locks (lock_id, issue_id, user_id, shares, until_ms, reason, locked_at_ms)
select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::bigint[], $6::text[],
    $7::bigint[])"""
SET_UNLOCKED = """
update market.locks l set unlocked_at_ms = u.at_ms
from unnest($1::uuid[], $2::bigint[]) as u (lock_id, at_ms)
where l.lock_id = u.lock_id"""
ADD_RECEIPTS = """
insert into market.receipts (revenue_id, issue_id, amount_minor, at_ms)
select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[])"""
ADD_DISTRIBUTIONS = """
insert into market.distributions
    (distribution_id, issue_id, currency, amount_minor, fee_minor, artist_minor, holders_minor,
     holders, parts, root, fee_salt, at_ms)
select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::integer[], $9::integer[], $10::text[], $11::text[], $12::bigint[])"""
ADD_PAYMENTS = """
insert into market.payments
    (distribution_id, index, user_id, issue_id, currency, shares, amount_minor, salt, at_ms)
select * from unnest($1::uuid[], $2::integer[], $3::uuid[], $4::uuid[], $5::text[], $6::integer[],
    $7::bigint[], $8::text[], $9::bigint[])"""

_ISSUE_COLUMNS = """
    issue_id::text, song_id::text, generation, artist_user_id::text, status, voided, currency,
    shares, retained, sold, price_minor, minimum, cap_bps, tick_minor, revenue_minor,
    drafted_at_ms, activated_at_ms
    from market.issues"""
GET_ISSUE = f"select {_ISSUE_COLUMNS} where issue_id = $1"
LAST_OF_SONG = f"select {_ISSUE_COLUMNS} where song_id = $1 order by generation desc limit 1"
NEWEST_ISSUES = f"""
select {_ISSUE_COLUMNS}
where (drafted_at_ms, issue_id) < ($1, $2) and ($4::text is null or status = $4)
    and ($5::uuid is null or song_id = $5)
order by drafted_at_ms desc, issue_id desc limit $3"""
HOLDINGS = """
select h.issue_id::text, i.song_id::text, i.currency, i.status, h.available, h.held, h.locked,
    h.cost_minor, h.realised_minor, h.changed_at_ms
from market.holdings h join market.issues i using (issue_id)
where h.user_id = $1 and h.issue_id > $2
order by h.issue_id limit $3"""
NEWEST_PURCHASES = """
select purchase_id::text, issue_id::text, shares, price_minor, paid_minor, fee_minor, at_ms
from market.purchases
where user_id = $1 and (at_ms, purchase_id) < ($2, $3)
order by at_ms desc, purchase_id desc limit $4"""
STANDING_LOCKS = """
select lock_id::text, issue_id::text, shares, until_ms, reason from market.locks
where user_id = $1 and issue_id = any($2::uuid[]) and unlocked_at_ms is null
order by until_ms, lock_id"""
_DISTRIBUTION_COLUMNS = """
    distribution_id::text, issue_id::text, currency, amount_minor, fee_minor, artist_minor,
    holders_minor, holders, parts, root, fee_salt, at_ms
    from market.distributions"""
NEWEST_DISTRIBUTIONS = f"""
select {_DISTRIBUTION_COLUMNS}
where issue_id = $1 and (at_ms, distribution_id) < ($2, $3)
order by at_ms desc, distribution_id desc limit $4"""
GET_DISTRIBUTION = f"select {_DISTRIBUTION_COLUMNS} where issue_id = $1 and distribution_id = $2"
_PAYMENT_COLUMNS = """
    distribution_id::text, index, user_id::text, issue_id::text, currency, shares, amount_minor,
    salt, at_ms
    from market.payments"""
PAYMENTS = f"select {_PAYMENT_COLUMNS} where distribution_id = $1 order by index"
NEWEST_PAYMENTS = f"""
select {_PAYMENT_COLUMNS}
where user_id = $1 and (at_ms, distribution_id) < ($2, $3)
order by at_ms desc, distribution_id desc limit $4"""


class IssueRow(msgspec.Struct, frozen=True):
    """An issue as its last fact left it."""

    issue_id: str
    song_id: str
    generation: int
    artist_user_id: str
    status: IssueStatus
    voided: bool
    currency: str
    shares: int
    retained: int
    sold: int
    price_minor: int
    minimum: int
    cap_bps: int
    tick_minor: int
    revenue_minor: int
    drafted_at_ms: int
    activated_at_ms: int | None


class HoldingRow(msgspec.Struct, frozen=True):
    """What a user has of an issue."""

    issue_id: str
    song_id: str
    currency: str
    status: IssueStatus
    available: int
    held: int
    locked: int
    cost_minor: int
    realised_minor: int
    changed_at_ms: int


class PurchaseRow(msgspec.Struct, frozen=True):
    """A purchase of offered shares."""

    purchase_id: str
    issue_id: str
    shares: int
    price_minor: int
    paid_minor: int
    fee_minor: int
    at_ms: int


class LockRow(msgspec.Struct, frozen=True):
    """A lock whose time is not over."""

    lock_id: str
    issue_id: str
    shares: int
    until_ms: int
    reason: str


class DistributionRow(msgspec.Struct, frozen=True):
    """A distribution, without who got what."""

    distribution_id: str
    issue_id: str
    currency: str
    amount_minor: int
    fee_minor: int
    artist_minor: int
    holders_minor: int
    holders: int
    parts: int
    root: str
    fee_salt: str
    at_ms: int


class PaymentRow(msgspec.Struct, frozen=True):
    """A user's part of a distribution."""

    distribution_id: str
    index: int
    user_id: str
    issue_id: str
    currency: str
    shares: int
    amount_minor: int
    salt: str
    at_ms: int


_OF_ORDERS = frozenset({BookAdvanced, OrdersAdvanced, TradesMet, BookChanged, OrderChanged})


class _Change(msgspec.Struct):
    """What a batch leaves of an issue; None where it changed nothing."""

    status: str | None = None
    voided: bool | None = None
    sold: int | None = None
    revenue_minor: int | None = None
    activated_at_ms: int | None = None


async def write(connection: Connection, events: Sequence[MarketEvent | TradesMet]) -> None:
    """Bring the tables up to a batch of facts, in the batch's transaction."""
    # Most facts of a busy market are of its orders: they are looked at once.
    facts = cast("list[MarketEvent]", [event for event in events if type(event) not in _OF_ORDERS])
    if facts:
        await _write_issues(connection, facts)
        await _write_shares(connection, facts)
        await _write_revenue(connection, facts)


async def _write_issues(connection: Connection, events: Sequence[MarketEvent]) -> None:
    drafted = [_drafted(e) for e in events if isinstance(e, IssueDrafted)]
    await execute_rows(connection, ADD_ISSUES, drafted)
    changes: dict[str, _Change] = {}
    for event in events:
        _note(changes, event)
    changed = [(issue_id, *msgspec.structs.astuple(c)) for issue_id, c in changes.items()]
    await execute_rows(connection, SET_ISSUES, changed)


async def _write_shares(connection: Connection, events: Sequence[MarketEvent]) -> None:
    bought = [_bought(e) for e in events if isinstance(e, SharesBought)]
    await execute_rows(connection, ADD_PURCHASES, bought)
    holdings: dict[tuple[str, str], tuple[object, ...]] = {}
    for event in events:
        if isinstance(event, HoldingChanged):
            holdings[event.user_id, event.issue_id] = msgspec.structs.astuple(event)
    await execute_rows(connection, SET_HOLDINGS, list(holdings.values()))
    locked = [_locked(e) for e in events if isinstance(e, SharesWereLocked)]
    await execute_rows(connection, ADD_LOCKS, locked)
    unlocked = [(e.lock_id, e.at_ms) for e in events if isinstance(e, SharesUnlocked)]
    await execute_rows(connection, SET_UNLOCKED, unlocked)


async def _write_revenue(connection: Connection, events: Sequence[MarketEvent]) -> None:
    received = [
        (e.revenue_id, e.issue_id, e.amount_minor, e.at_ms)
        for e in events
        if isinstance(e, RevenueReceived)
    ]
    await execute_rows(connection, ADD_RECEIPTS, received)
    distributed = [_distributed(e) for e in events if isinstance(e, RevenueDistributed)]
    await execute_rows(connection, ADD_DISTRIBUTIONS, distributed)
    paid = [_paid(e) for e in events if isinstance(e, RevenuePaid)]
    await execute_rows(connection, ADD_PAYMENTS, paid)


async def get_issue(pool: Pool, issue_id: str) -> IssueRow | None:
    """An issue, if there is one."""
    row = await pool.fetchrow(GET_ISSUE, issue_id)
    return None if row is None else _issue(row)


async def last_of_song(pool: Pool, song_id: str) -> IssueRow | None:
    """A song's issue of the highest generation, if there is one."""
    row = await pool.fetchrow(LAST_OF_SONG, song_id)
    return None if row is None else _issue(row)


async def newest_issues(
    pool: Pool,
    before: tuple[int, str],
    limit: int,
    status: str | None = None,
    song_id: str | None = None,
) -> list[IssueRow]:
    """Issues drafted before a cursor, newest first."""
    rows = await pool.fetch(NEWEST_ISSUES, *before, limit, status, song_id)
    return [_issue(row) for row in rows]


async def holdings(pool: Pool, user_id: str, after: str, limit: int) -> list[HoldingRow]:
    """What a user has, or had, of issues whose id is above `after`."""
    rows = await pool.fetch(HOLDINGS, user_id, after, limit)
    return [msgspec.convert(dict(row), HoldingRow) for row in rows]


async def standing_locks(pool: Pool, user_id: str, issue_ids: Sequence[str]) -> list[LockRow]:
    """The locks of a user's shares of some issues, the earliest first."""
    rows = await pool.fetch(STANDING_LOCKS, user_id, issue_ids)
    return [LockRow(**row) for row in rows]


async def newest_purchases(
    pool: Pool, user_id: str, before: tuple[int, str], limit: int
) -> list[PurchaseRow]:
    """A user's purchases before a cursor, newest first."""
    rows = await pool.fetch(NEWEST_PURCHASES, user_id, *before, limit)
    return [PurchaseRow(**row) for row in rows]


async def newest_distributions(
    pool: Pool, issue_id: str, before: tuple[int, str], limit: int
) -> list[DistributionRow]:
    """An issue's distributions before a cursor, newest first."""
    rows = await pool.fetch(NEWEST_DISTRIBUTIONS, issue_id, *before, limit)
    return [DistributionRow(**row) for row in rows]


async def get_distribution(
    pool: Pool, issue_id: str, distribution_id: str
) -> DistributionRow | None:
    """A distribution of an issue, if there is one."""
    row = await pool.fetchrow(GET_DISTRIBUTION, issue_id, distribution_id)
    return None if row is None else DistributionRow(**row)


async def payments(pool: Pool | Connection, distribution_id: str) -> list[PaymentRow]:
    """All parts of a distribution but the platform's, in the order of the tree's leaves."""
    return [PaymentRow(**row) for row in await pool.fetch(PAYMENTS, distribution_id)]


async def newest_payments(
    pool: Pool, user_id: str, before: tuple[int, str], limit: int
) -> list[PaymentRow]:
    """What distributions paid to a user before a cursor, newest first."""
    rows = await pool.fetch(NEWEST_PAYMENTS, user_id, *before, limit)
    return [PaymentRow(**row) for row in rows]


def _issue(row: object) -> IssueRow:
    return msgspec.convert(dict(row), IssueRow)  # type: ignore[call-overload]


def _drafted(e: IssueDrafted) -> tuple[object, ...]:
    return (
        e.issue_id,
        e.song_id,
        e.generation,
        e.artist_user_id,
        e.currency,
        e.shares,
        e.retained,
        e.price_minor,
        e.minimum,
        e.cap_bps,
        e.tick_minor,
        e.at_ms,
    )


def _bought(e: SharesBought) -> tuple[object, ...]:
    paid, fee = e.paid_minor, e.fee_minor
    return (e.purchase_id, e.issue_id, e.user_id, e.shares, e.price_minor, paid, fee, e.at_ms)


def _locked(e: SharesWereLocked) -> tuple[object, ...]:
    return (e.lock_id, e.issue_id, e.user_id, e.shares, e.until_ms, e.reason.value, e.at_ms)


def _distributed(e: RevenueDistributed) -> tuple[object, ...]:
    return (
        e.distribution_id,
        e.issue_id,
        e.currency,
        e.amount_minor,
        e.fee_minor,
        e.artist_minor,
        e.holders_minor,
        e.holders,
        e.parts,
        e.root,
        e.fee_salt,
        e.at_ms,
    )


def _paid(e: RevenuePaid) -> tuple[object, ...]:
    return (
        e.distribution_id,
        e.index,
        e.user_id,
        e.issue_id,
        e.currency,
        e.shares,
        e.amount_minor,
        e.salt,
        e.at_ms,
    )


def _note(changes: dict[str, _Change], event: MarketEvent) -> None:
    """What a fact leaves of its issue; nothing is kept of the others."""
    if not isinstance(event, _NOTED):
        return
    change = changes.setdefault(event.issue_id, _Change())
    match event:
        case IssueActivated():
            change.status, change.activated_at_ms = IssueStatus.ACTIVE.value, event.at_ms
        case IssuePaused():
            change.status = IssueStatus.PAUSED.value
        case IssueResumed():
            change.status = IssueStatus.ACTIVE.value
        case IssueSoldOut():
            change.status = IssueStatus.SOLD_OUT.value
        case IssueTerminated():
            change.status, change.voided = IssueStatus.TERMINATED.value, event.voided
        case SharesSold():
            change.sold = event.sold
        case RevenueReceived() | RevenueDistributed():
            change.revenue_minor = event.waiting_minor


_NOTED = (
    IssueActivated,
    IssuePaused,
    IssueResumed,
    IssueSoldOut,
    IssueTerminated,
    SharesSold,
    RevenueReceived,
    RevenueDistributed,
)
