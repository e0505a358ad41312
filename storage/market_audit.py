"""What the read models of share issues say, beside the ledger and their own sums."""

from __future__ import annotations

from collections.abc import AsyncIterator

from storage.database import Connection
from storage.market_issues import DistributionRow, PaymentRow, payments

# Every account that an issue's owner alone moves, with what the owner last said is there.
ACCOUNT_DIFFERENCES = """
with standing as (
    select *, status in ('active', 'paused', 'sold_out') as selling,
        status = 'terminated' and not voided and activated_at_ms is not null as ended
    from market.issues
), said as (
    select 'user:' || user_id || ':' || a.purpose || '/SHARE:' || issue_id as code,
        a.shares::numeric as amount
    from market.holdings,
        lateral (values ('available', available), ('held', held), ('locked', locked))
            as a (purpose, shares)
    union all
    select 'issue:' || issue_id || ':offered/SHARE:' || issue_id,
        case when selling then shares - retained - sold else 0 end
    from standing
    union all
    select 'outside:issue:shares/SHARE:' || issue_id,
        case when selling or ended then -shares else 0 end
    from standing
    union all
    select 'issue:' || issue_id || ':revenue/' || currency, revenue_minor from standing
)
select code, said.amount::text, coalesce(l.balance, 0)::text
from said left join ledger.accounts l using (code)
where said.amount <> coalesce(l.balance, 0)
order by code limit 1000"""
SHARE_DIFFERENCES = """
select i.issue_id::text, i.shares, i.shares - i.retained - i.sold + h.owned
from market.issues i, lateral (
    select coalesce(sum(available + held + locked), 0) as owned
    from market.holdings h where h.issue_id = i.issue_id
) h
where i.status in ('active', 'paused', 'sold_out')
    and i.shares <> i.shares - i.retained - i.sold + h.owned
order by i.issue_id limit 1000"""
ALL_DISTRIBUTIONS = """
select distribution_id::text, issue_id::text, currency, amount_minor, fee_minor, artist_minor,
    holders_minor, holders, parts, root, fee_salt, at_ms
from market.distributions order by distribution_id"""
PAGE = 100


async def account_differences(connection: Connection) -> list[tuple[str, int, int]]:
    """(account, what its owner said, what the ledger has) where the two differ."""
    rows = await connection.fetch(ACCOUNT_DIFFERENCES)
    return [(code, int(said), int(found)) for code, said, found in rows]


async def share_differences(connection: Connection) -> list[tuple[str, int, int]]:
    """(issue, its shares, the shares of its holders and those unsold) where the two differ."""
    rows = await connection.fetch(SHARE_DIFFERENCES)
    return [(issue_id, shares, int(found)) for issue_id, shares, found in rows]


async def distributions(
    connection: Connection,
) -> AsyncIterator[tuple[DistributionRow, list[PaymentRow]]]:
    """Every distribution with its parts. In a transaction."""
    async for row in connection.cursor(ALL_DISTRIBUTIONS, prefetch=PAGE):
        found = DistributionRow(**row)
        yield found, await payments(connection, found.distribution_id)
