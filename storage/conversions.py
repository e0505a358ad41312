"""Conversions between currencies: quotes for a moment, and what was done."""

from __future__ import annotations

import asyncpg
import msgspec

from domain.exchange import Pair, Terms
from storage.database import Connection, Pool

PURGE_ROWS = 500
QUOTES_KEPT_MS = 86_400_000
_TERMS = """
    source_currency, source_minor::text, fee_minor::text, target_currency, target_minor::text,
    numerator::text, denominator::text, reporting_minor::text"""
ADD_QUOTE = """
insert into payments.conversion_quotes
    (quote_id, user_id, source_currency, source_minor, fee_minor, target_currency, target_minor,
     set_id, numerator, denominator, reporting_minor, policy_version, made_at_ms, expires_at_ms)
values ($1, $2, $3, $4::text::numeric, $5::text::numeric, $6, $7::text::numeric, $8,
    $9::text::numeric, $10::text::numeric, $11::text::numeric, $12, $13, $14)"""
FIND_QUOTE = f"""
select quote_id::text, expires_at_ms, {_TERMS} from payments.conversion_quotes
where quote_id = $1 and user_id = $2"""  # noqa: S608 - constants
IS_USED = "select true from payments.conversions where quote_id = $1"
ADD = """
insert into payments.conversions
    (conversion_id, quote_id, user_id, source_currency, source_minor, fee_minor, target_currency,
     target_minor, set_id, numerator, denominator, reporting_minor, policy_version, at_ms)
select $2, quote_id, user_id, source_currency, source_minor, fee_minor, target_currency,
    target_minor, set_id, numerator, denominator, reporting_minor, policy_version, $3
from payments.conversion_quotes where quote_id = $1"""
OF_DAY = """
select coalesce(sum(reporting_minor), 0)::text from payments.conversions
where user_id = $1 and at_ms > $2"""
OF_USER = f"""
select conversion_id::text, quote_id::text, at_ms, {_TERMS} from payments.conversions
where user_id = $1 and (at_ms, conversion_id) < ($2, $3)
order by at_ms desc, conversions.conversion_id desc limit $4"""  # noqa: S608 - constants
PURGE = """
delete from payments.conversion_quotes where quote_id in (
    select quote_id from payments.conversion_quotes where expires_at_ms < $1
    order by expires_at_ms limit $2)"""


class Quote(msgspec.Struct, frozen=True):
    """What was offered to a user until a moment."""

    quote_id: str
    terms: Terms
    expires_at_ms: int


class Conversion(msgspec.Struct, frozen=True):
    """Money that a user turned into another currency."""

    conversion_id: str
    quote_id: str
    terms: Terms
    at_ms: int


async def add_quote(
    connection: Connection,
    user_id: str,
    quote: Quote,
    *,
    set_id: str,
    policy_version: int,
    at_ms: int,
) -> None:
    """Keep a quote."""
    offered = quote.terms
    await connection.execute(
        ADD_QUOTE,
        quote.quote_id,
        user_id,
        offered.source_currency,
        str(offered.source_minor),
        str(offered.fee_minor),
        offered.target_currency,
        str(offered.target_minor),
        set_id,
        str(offered.pair.numerator),
        str(offered.pair.denominator),
        str(offered.reporting_minor),
        policy_version,
        at_ms,
        quote.expires_at_ms,
    )


async def find_quote(connection: Connection, quote_id: str, user_id: str) -> Quote | None:
    """A quote of that user's."""
    row = await connection.fetchrow(FIND_QUOTE, quote_id, user_id)
    return None if row is None else Quote(row["quote_id"], _terms(row), row["expires_at_ms"])


async def is_used(connection: Connection, quote_id: str) -> bool:
    """Whether a quote was taken."""
    return bool(await connection.fetchval(IS_USED, quote_id))


async def add(connection: Connection, conversion_id: str, quote_id: str, at_ms: int) -> None:
    """Record that a quote is taken; UniqueViolationError if it was before."""
    await connection.execute(ADD, quote_id, conversion_id, at_ms)


async def converted_since(connection: Connection, user_id: str, since_ms: int) -> int:
    """What a user converted after a moment, in the reporting currency."""
    return int(await connection.fetchval(OF_DAY, user_id, since_ms))


async def of_user(
    pool: Pool, user_id: str, before: tuple[int, str], limit: int
) -> list[Conversion]:
    """A user's conversions before a cursor, newest first."""
    return [
        Conversion(row["conversion_id"], row["quote_id"], _terms(row), row["at_ms"])
        for row in await pool.fetch(OF_USER, user_id, *before, limit)
    ]


async def purge(pool: Pool, now_ms: int) -> int:
    """Forget quotes that expired a day ago; how many."""
    done = await pool.execute(PURGE, now_ms - QUOTES_KEPT_MS, PURGE_ROWS)
    return int(done.rsplit(" ", 1)[1])


def _terms(row: asyncpg.Record) -> Terms:
    return Terms(
        row["source_currency"],
        int(row["source_minor"]),
        int(row["fee_minor"]),
        row["target_currency"],
        int(row["target_minor"]),
        Pair(int(row["numerator"]), int(row["denominator"])),
        int(row["reporting_minor"]),
    )
