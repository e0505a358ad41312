"""What must hold of a market after anything died at any time: nothing lost, made, or done twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from messages.market.accounts import held, share_currency
from tests.chaos.market_load import CASH_MINOR, CURRENCY, TERMS, Trader

Fetch = Callable[[str, Any], Awaitable[Sequence[Any]]]

ORDERS = """
select order_id, user_id::text as user_id, side, status, shares, filled, remaining, held_minor
from market.orders where issue_id = $1"""
# Trades that were not settled once, and settlements of no trade.
UNSETTLED = """
with traded as (
    select 'trade:' || issue_id || ':' || trade_id as cause
    from market.trades where issue_id = $1
),
settled as (
    select cause, count(*) as times from ledger.transactions
    where purpose = 'share-trade' and cause like 'trade:' || $1::uuid || ':%' group by cause
)
select cause from traded full join settled using (cause)
where traded.cause is null or settled.times is distinct from 1"""
FILLS = """
select o.order_id from market.orders o left join (
    select id, sum(shares) as shares from (
        select order_id as id, shares from market.trades where issue_id = $1
        union all select maker_order_id, shares from market.trades where issue_id = $1) e
    group by id) t on t.id = o.order_id
where o.issue_id = $1 and o.filled is distinct from coalesce(t.shares, 0)"""
INSIDE = """
select coalesce(sum(balance), 0)::bigint from ledger.accounts
where currency = $1 and code not like 'outside:%'"""
BALANCE = "select balance::bigint from ledger.accounts where code = $1"


async def check_market(fetch: Fetch, issue_id: str, traders: Sequence[Trader]) -> int:
    """Compare what traders were told with what is there. How many orders there are."""
    rows = {row["order_id"]: row for row in await fetch(ORDERS, issue_id)}
    told = {number: trader for trader in traders for number in trader.orders}
    assert set(rows) == set(told), "an order that nobody was told of, or one that is not there"
    for number, trader in told.items():
        row, heard = rows[number], trader.orders[number]
        assert row["user_id"] == trader.user_id
        assert heard["filled"] <= row["filled"] <= row["shares"], number
        if heard["status"] in {"filled", "cancelled"}:
            assert (row["status"], row["filled"]) == (heard["status"], heard["filled"])
    assert await fetch(UNSETTLED, issue_id) == [], "no trade without settlement, nor the other way"
    assert await fetch(FILLS, issue_id) == [], "what was filled is what was traded"
    await _check_value(fetch, issue_id, traders, list(rows.values()))
    return len(rows)


async def _check_value(
    fetch: Fetch, issue_id: str, traders: Sequence[Trader], orders: Sequence[Any]
) -> None:
    share = share_currency(issue_id)
    [[cash]], [[shares]] = await fetch(INSIDE, CURRENCY), await fetch(INSIDE, share)
    wanted = (CASH_MINOR * len(traders), TERMS["shares"])
    assert (cash, shares) == wanted, f"{(cash, shares)}, not {wanted}"
    for trader in traders:
        mine = [order for order in orders if order["user_id"] == trader.user_id]
        sells = [order["remaining"] for order in mine if order["side"] == "sell"]
        await _check_held(fetch, trader.user_id, CURRENCY, sum(o["held_minor"] for o in mine))
        await _check_held(fetch, trader.user_id, share, sum(sells))


async def _check_held(fetch: Fetch, user_id: str, currency: str, wanted: int) -> None:
    """What is held is what open orders may take."""
    rows = await fetch(BALANCE, held(user_id, currency))
    assert sum(row[0] for row in rows) == wanted, (user_id, currency)
