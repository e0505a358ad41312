"""The read models of ventures: terms and progress, investments, deliveries of benefits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from messages.ventures.ventures import (
    BenefitConfirmed,
    BenefitContested,
    BenefitDelivered,
    DeliveryStatus,
    InvestmentMade,
    InvestmentReturned,
    InvestmentStatus,
    InvestmentWithdrawn,
    RaisedChanged,
    RoundOpened,
    TierTerms,
    VentureCancelled,
    VentureDrafted,
    VentureEvent,
    VentureFailed,
    VentureFunded,
    VentureStatus,
)
from storage.database import Connection, Pool
from storage.rows import execute_rows

ADD_VENTURES = """
insert into ventures.ventures
    (venture_id, artist_user_id, song_id, name, pitch, status, currency, goal_minor, cap_minor,
     least_minor, most_minor, deadline_ms, tiers, drafted_at_ms)
select v.venture_id, v.artist_user_id, v.song_id, v.name, v.pitch, 'draft', v.currency,
    v.goal_minor, v.cap_minor, v.least_minor, v.most_minor, v.deadline_ms, v.tiers::jsonb, v.at_ms
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::bigint[])
    as v (venture_id, artist_user_id, song_id, name, pitch, currency, goal_minor, cap_minor,
          least_minor, most_minor, deadline_ms, tiers, at_ms)"""
SET_VENTURES = """
update ventures.ventures v
set status = coalesce(c.status, v.status),
    raised_minor = coalesce(c.raised_minor, v.raised_minor),
    investors = coalesce(c.investors, v.investors),
    fee_minor = coalesce(c.fee_minor, v.fee_minor),
    escrow_minor = case when c.status = 'funded' then 0 else v.escrow_minor + c.escrow_minor end
from unnest($1::uuid[], $2::text[], $3::bigint[], $4::integer[], $5::bigint[], $6::bigint[])
    as c (venture_id, status, raised_minor, investors, fee_minor, escrow_minor)
where v.venture_id = c.venture_id"""
ADD_INVESTMENTS = """
insert into ventures.investments
    (investment_id, venture_id, investor_id, currency, amount_minor, status, made_at_ms)
select i.investment_id, i.venture_id, i.investor_id, i.currency, i.amount_minor, 'open', i.at_ms
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[])
    as i (investment_id, venture_id, investor_id, currency, amount_minor, at_ms)"""
END_INVESTMENTS = """
update ventures.investments i
set status = e.status, reason = e.reason, ended_at_ms = e.at_ms
from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[])
    as e (investment_id, status, reason, at_ms)
where i.investment_id = e.investment_id"""
FUND_INVESTMENTS = """
update ventures.investments i set status = 'funded', ended_at_ms = f.at_ms
from unnest($1::uuid[], $2::bigint[]) as f (venture_id, at_ms)
where i.venture_id = f.venture_id and i.status = 'open'"""
SET_DELIVERIES = """
insert into ventures.deliveries (venture_id, investor_id, benefit_id, status, reason, changed_at_ms)
select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[])
on conflict (venture_id, investor_id, benefit_id) do update
set status = excluded.status, reason = excluded.reason, changed_at_ms = excluded.changed_at_ms"""

_COLUMNS = """
    venture_id::text, artist_user_id::text, song_id::text, name, pitch, status, currency,
    goal_minor, cap_minor, least_minor, most_minor, deadline_ms, tiers::text, raised_minor,
    escrow_minor, fee_minor, investors, drafted_at_ms"""
GET_VENTURE = f"select {_COLUMNS} from ventures.ventures where venture_id = $1"  # noqa: S608
NEWEST = f"""
select {_COLUMNS} from ventures.ventures
where (drafted_at_ms, venture_id) < ($1, $2) and ($4::text is null or status = $4)
    and ($5::uuid is null or artist_user_id = $5)
order by drafted_at_ms desc, venture_id desc limit $3"""  # noqa: S608 - constants
INVESTMENTS_OF = """
select i.investment_id::text, i.venture_id::text, v.name, v.status as venture_status, i.currency,
    i.amount_minor, i.status, i.made_at_ms, i.ended_at_ms
from ventures.investments i join ventures.ventures v using (venture_id)
where i.investor_id = $1 and (i.made_at_ms, i.investment_id) < ($2, $3)
order by i.made_at_ms desc, i.investment_id desc limit $4"""
INVESTORS = """
select investor_id::text, sum(amount_minor)::bigint as invested_minor
from ventures.investments
where venture_id = $1 and investor_id > $2 and status in ('open', 'funded')
group by investor_id order by investor_id limit $3"""
DELIVERIES = """
select investor_id::text, benefit_id, status, reason, changed_at_ms
from ventures.deliveries where venture_id = $1 and investor_id = any($2::uuid[])
order by investor_id, benefit_id"""

_tiers = msgspec.json.Decoder(tuple[TierTerms, ...]).decode


class VentureRow(msgspec.Struct, frozen=True):
    """A venture as its last fact left it."""

    venture_id: str
    artist_user_id: str
    song_id: str | None
    name: str
    pitch: str
    status: VentureStatus
    currency: str
    goal_minor: int
    cap_minor: int
    least_minor: int
    most_minor: int
    deadline_ms: int
    tiers: tuple[TierTerms, ...]
    raised_minor: int
    escrow_minor: int
    fee_minor: int
    investors: int
    drafted_at_ms: int


class InvestmentRow(msgspec.Struct, frozen=True):
    """An investment with the venture it is in."""

    investment_id: str
    venture_id: str
    name: str
    venture_status: VentureStatus
    currency: str
    amount_minor: int
    status: InvestmentStatus
    made_at_ms: int
    ended_at_ms: int | None


class InvestorRow(msgspec.Struct, frozen=True):
    """What an investor has in a venture."""

    investor_id: str
    invested_minor: int


class DeliveryRow(msgspec.Struct, frozen=True):
    """A benefit that is not merely due."""

    investor_id: str
    benefit_id: str
    status: DeliveryStatus
    reason: str
    changed_at_ms: int


Deliveries: TypeAlias = Mapping[tuple[str, str], DeliveryRow]


@dataclass
class _Change:
    """What a batch leaves of a venture; None: as it was. escrow_minor: by how much it changed."""

    status: str | None = None
    raised_minor: int | None = None
    investors: int | None = None
    fee_minor: int | None = None
    escrow_minor: int = 0


async def write(connection: Connection, events: Sequence[VentureEvent]) -> None:
    """Bring the read models up to a batch of facts."""
    drafted = [_drafted(e) for e in events if isinstance(e, VentureDrafted)]
    await execute_rows(connection, ADD_VENTURES, drafted)
    changes: dict[str, _Change] = {}
    for event in events:
        _note(changes, event)
    changed = [
        (venture_id, c.status, c.raised_minor, c.investors, c.fee_minor, c.escrow_minor)
        for venture_id, c in changes.items()
    ]
    await execute_rows(connection, SET_VENTURES, changed)
    made = [
        (e.investment_id, e.venture_id, e.investor_id, e.currency, e.amount_minor, e.at_ms)
        for e in events
        if isinstance(e, InvestmentMade)
    ]
    await execute_rows(connection, ADD_INVESTMENTS, made)
    ended = [_ended(e) for e in events if isinstance(e, InvestmentWithdrawn | InvestmentReturned)]
    await execute_rows(connection, END_INVESTMENTS, ended)
    funded = [(e.venture_id, e.at_ms) for e in events if isinstance(e, VentureFunded)]
    await execute_rows(connection, FUND_INVESTMENTS, funded)
    await execute_rows(connection, SET_DELIVERIES, _deliveries(events))


async def get_venture(pool: Pool, venture_id: str) -> VentureRow | None:
    """A venture, if there is one."""
    row = await pool.fetchrow(GET_VENTURE, venture_id)
    return None if row is None else _row(row)


async def newest(
    pool: Pool,
    before: tuple[int, str],
    limit: int,
    status: str | None = None,
    artist_user_id: str | None = None,
) -> list[VentureRow]:
    """Ventures drafted before a cursor, newest first; of a status, of an artist if given."""
    rows = await pool.fetch(NEWEST, *before, limit, status, artist_user_id)
    return [_row(row) for row in rows]


async def investments_of(
    pool: Pool, investor_id: str, before: tuple[int, str], limit: int
) -> list[InvestmentRow]:
    """An investor's investments before a cursor, newest first."""
    rows = await pool.fetch(INVESTMENTS_OF, investor_id, *before, limit)
    return [msgspec.convert(dict(row), InvestmentRow) for row in rows]


async def investors(pool: Pool, venture_id: str, after: str, limit: int) -> list[InvestorRow]:
    """Who has something in a venture, of those whose id is above `after`."""
    rows = await pool.fetch(INVESTORS, venture_id, after, limit)
    return [InvestorRow(**row) for row in rows]


async def deliveries(pool: Pool, venture_id: str, investor_ids: Sequence[str]) -> Deliveries:
    """What is not merely due to some investors of a venture, by (investor, benefit)."""
    rows = await pool.fetch(DELIVERIES, venture_id, investor_ids)
    found = [msgspec.convert(dict(row), DeliveryRow) for row in rows]
    return {(one.investor_id, one.benefit_id): one for one in found}


def _row(row: Any) -> VentureRow:
    fields = dict(row)
    return msgspec.convert({**fields, "tiers": _tiers(fields["tiers"])}, VentureRow)


def _drafted(e: VentureDrafted) -> tuple[object, ...]:
    t = e.terms
    return (
        e.venture_id, t.artist_user_id, t.song_id or None, t.name, t.pitch, t.currency,
        t.goal_minor, t.cap_minor, t.least_minor, t.most_minor, t.deadline_ms,
        msgspec.json.encode(t.tiers).decode(), e.at_ms,
    )  # fmt: skip


def _ended(e: InvestmentWithdrawn | InvestmentReturned) -> tuple[object, ...]:
    if isinstance(e, InvestmentWithdrawn):
        return e.investment_id, InvestmentStatus.WITHDRAWN.value, e.reason, e.at_ms
    return e.investment_id, InvestmentStatus.RETURNED.value, "", e.at_ms


def _deliveries(events: Sequence[VentureEvent]) -> list[tuple[object, ...]]:
    """The last word about each benefit of each investor."""
    last: dict[tuple[str, str, str], tuple[object, ...]] = {}
    for e in events:
        if isinstance(e, BenefitDelivered | BenefitConfirmed | BenefitContested):
            place = (e.venture_id, e.investor_id, e.benefit_id)
            reason = e.reason if isinstance(e, BenefitContested) else ""
            last[place] = (*place, _DELIVERY[type(e)].value, reason, e.at_ms)
    return list(last.values())


def _note(changes: dict[str, _Change], event: VentureEvent) -> None:
    """What a fact leaves of its venture; nothing is kept of the others."""
    if not isinstance(event, _NOTED):
        return
    change = changes.setdefault(event.venture_id, _Change())
    match event:
        case InvestmentMade():
            change.escrow_minor += event.amount_minor
        case InvestmentWithdrawn() | InvestmentReturned():
            change.escrow_minor -= event.amount_minor
        case RaisedChanged():
            change.raised_minor, change.investors = event.raised_minor, event.investors
        case VentureFunded():
            change.status, change.fee_minor = VentureStatus.FUNDED.value, event.fee_minor
        case RoundOpened() | VentureFailed() | VentureCancelled():
            change.status = _STATUS[type(event)].value


_NOTED = (
    InvestmentMade,
    InvestmentWithdrawn,
    InvestmentReturned,
    RaisedChanged,
    VentureFunded,
    RoundOpened,
    VentureFailed,
    VentureCancelled,
)
_STATUS: dict[type, VentureStatus] = {
    RoundOpened: VentureStatus.OPEN,
    VentureFailed: VentureStatus.FAILED,
    VentureCancelled: VentureStatus.CANCELLED,
}
_DELIVERY: dict[type, DeliveryStatus] = {
    BenefitDelivered: DeliveryStatus.DELIVERED,
    BenefitConfirmed: DeliveryStatus.CONFIRMED,
    BenefitContested: DeliveryStatus.CONTESTED,
}
