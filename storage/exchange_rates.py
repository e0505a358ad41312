"""Exchange rates as they were published, and what payments were worth when they began."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
import msgspec

from messages.keys import derive_id
from messages.payments.exchange import PublishedRates, Rate, RateSet
from storage.database import Connection, Pool
from storage.rows import execute_rows

_SET = """
select s.set_id::text, s.provider, s.base, s.published_on, s.published_at_ms, s.fetched_at_ms,
    array_agg(r.currency order by r.currency) as currencies,
    array_agg(r.value::text order by r.currency) as figures,
    array_agg(r.scale order by r.currency) as scales
from payments.exchange_rate_sets s join payments.exchange_rates r using (set_id)"""
ADD_SET = """
insert into payments.exchange_rate_sets
    (set_id, provider, base, published_on, published_at_ms, fetched_at_ms)
values ($1, $2, $3, $4, $5, $6) on conflict (set_id) do nothing returning true"""
ADD_RATES = """
insert into payments.exchange_rates (set_id, currency, value, scale)
select $1, currency, value, scale
from unnest($2::text[], $3::text[]::numeric[], $4::smallint[]) as r (currency, value, scale)"""
LATEST = f"""
{_SET}
where s.set_id = (
    select set_id from payments.exchange_rate_sets where fetched_at_ms <= $1
    order by published_at_ms desc, fetched_at_ms desc limit 1)
group by s.set_id"""  # noqa: S608 - constants
# Read models come a moment after the clock says, so the end of what is done is looked at again.
UNVALUED = """
select p.payment_id::text, p.created_at_ms, p.currency, p.amount_minor::text
from payments.payments p
where p.created_at_ms >= (
        select coalesce(max(created_at_ms), 0) - 300000 from payments.reporting_rates)
    and not exists (
        select from payments.reporting_rates r where r.payment_id = p.payment_id)
order by p.created_at_ms, p.payment_id limit $1"""
ADD_WORTH = """
insert into payments.reporting_rates
    (payment_id, created_at_ms, reporting_currency, set_id, numerator, denominator, reporting_minor)
select w.payment_id, w.created_at_ms, w.currency, w.set_id, w.numerator, w.denominator, w.minor
from unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[], $5::text[]::numeric[],
        $6::text[]::numeric[], $7::text[]::numeric[])
    as w (payment_id, created_at_ms, currency, set_id, numerator, denominator, minor)
on conflict (payment_id) do nothing"""
WORTH = """
select w.reporting_currency, w.numerator::text, w.denominator::text, w.reporting_minor::text,
    s.provider, s.published_on, s.fetched_at_ms
from payments.reporting_rates w left join payments.exchange_rate_sets s using (set_id)
where w.payment_id = $1"""


class Unvalued(msgspec.Struct, frozen=True):
    """A payment whose worth in the reporting currency is not recorded."""

    payment_id: str
    created_at_ms: int
    currency: str
    amount_minor: int


class Worth(msgspec.Struct, frozen=True):
    """What a payment was worth when it began; None of all: no rate was in force."""

    payment_id: str
    created_at_ms: int
    reporting_currency: str
    set_id: str | None
    numerator: int | None
    denominator: int | None
    reporting_minor: int | None


async def add(
    connection: Connection, published: PublishedRates, published_at_ms: int, fetched_at_ms: int
) -> bool:
    """Keep published rates in the caller's transaction; False if they are kept already."""
    rates = sorted(published.rates.items())
    content = [f"{code}={rate.value}e-{rate.scale}" for code, rate in rates]
    day = published.published_on
    set_id = derive_id("exchange-rates", published.provider, day.isoformat(), *content)
    added = await connection.fetchval(
        ADD_SET, set_id, published.provider, published.base, day, published_at_ms, fetched_at_ms
    )
    if not added:
        return False
    await connection.execute(
        ADD_RATES,
        set_id,
        [code for code, _ in rates],
        [str(rate.value) for _, rate in rates],
        [rate.scale for _, rate in rates],
    )
    return True


async def latest(connection: Connection | Pool, at_ms: int) -> RateSet | None:
    """The newest rates that were known at a moment, however old."""
    row = await connection.fetchrow(LATEST, at_ms)
    return None if row is None else _set(row)


async def unvalued(connection: Connection | Pool, limit: int) -> list[Unvalued]:
    """The first payments without a recorded worth, the oldest first."""
    rows = await connection.fetch(UNVALUED, limit)
    return msgspec.convert([dict(row) for row in rows], list[Unvalued], strict=False)


async def record_worth(connection: Connection, found: Sequence[Worth]) -> None:
    """Keep what payments were worth; what is kept already stays."""
    rows = [
        (
            one.payment_id,
            one.created_at_ms,
            one.reporting_currency,
            one.set_id,
            *(_text(n) for n in (one.numerator, one.denominator, one.reporting_minor)),
        )
        for one in found
    ]
    await execute_rows(connection, ADD_WORTH, rows)


async def worth_of(pool: Pool, payment_id: str) -> asyncpg.Record | None:
    """A payment's recorded worth, with the source of its rate."""
    row: asyncpg.Record | None = await pool.fetchrow(WORTH, payment_id)
    return row


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _set(row: asyncpg.Record) -> RateSet:
    figures = zip(row["currencies"], row["figures"], row["scales"], strict=True)
    rates = {code: Rate(int(value), scale) for code, value, scale in figures}
    published = PublishedRates(row["provider"], row["base"], row["published_on"], rates)
    return RateSet(row["set_id"], published, row["published_at_ms"], row["fetched_at_ms"])
