"""The candles of books: a batch's trades added in one statement, read by range."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import astuple

from domain.market.advance import TradesMet
from domain.market.candles import Candle, Print, Step
from messages.market import MarketEvent
from messages.market.orders import BookChanged
from storage.database import Connection, Pool

MOST_CANDLES = 1_000

# In the order of the key: whoever else adds to the same candles waits and does not deadlock.
ADD_TRADES = """
insert into market.candles as c
    (issue_id, step_ms, start_ms, open_minor, high_minor, low_minor, close_minor, shares,
     turnover_minor, trades, first_trade, last_trade)
select t.issue_id, s.step_ms, t.at_ms - t.at_ms % s.step_ms,
    (array_agg(t.price_minor order by t.trade_id))[1], max(t.price_minor), min(t.price_minor),
    (array_agg(t.price_minor order by t.trade_id desc))[1], sum(t.shares),
    sum(t.price_minor::numeric * t.shares), count(*), min(t.trade_id), max(t.trade_id)
from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    as t (issue_id, trade_id, price_minor, shares, at_ms)
cross join unnest($6::integer[]) as s (step_ms)
group by 1, 2, 3
order by 1, 2, 3
on conflict (issue_id, step_ms, start_ms) do update
set open_minor = case when excluded.first_trade < c.first_trade
        then excluded.open_minor else c.open_minor end,
    high_minor = greatest(c.high_minor, excluded.high_minor),
    low_minor = least(c.low_minor, excluded.low_minor),
    close_minor = case when excluded.last_trade > c.last_trade
        then excluded.close_minor else c.close_minor end,
    shares = c.shares + excluded.shares,
    turnover_minor = c.turnover_minor + excluded.turnover_minor,
    trades = c.trades + excluded.trades,
    first_trade = least(c.first_trade, excluded.first_trade),
    last_trade = greatest(c.last_trade, excluded.last_trade)"""
IN_RANGE = """
select start_ms, open_minor, high_minor, low_minor, close_minor, shares, turnover_minor, trades,
    first_trade, last_trade
from market.candles
where issue_id = $1 and step_ms = $2 and start_ms >= $3 and start_ms < $4
order by start_ms desc limit $5"""


async def write(connection: Connection, events: Sequence[MarketEvent | TradesMet]) -> None:
    """Add the trades of a batch of facts, in the batch's transaction."""
    trades = [
        Print(event.issue_id, trade.trade_id, trade.price_minor, trade.shares, event.at_ms)
        for event in events
        if isinstance(event, BookChanged)
        for trade in event.trades
    ]
    await add_trades(connection, trades)


async def add_trades(connection: Connection, trades: Sequence[Print]) -> None:
    """Add trades that were not added before, of any books, in any order."""
    if trades:
        columns = zip(*map(astuple, trades), strict=True)
        await connection.execute(ADD_TRADES, *map(list, columns), list(Step))


async def get_candles(
    pool: Pool, issue_id: str, step: Step, from_ms: int, until_ms: int, limit: int = MOST_CANDLES
) -> list[Candle]:
    """The candles that begin from `from_ms` on and before `until_ms`, oldest first.

    Spans without a trade have none. Where there are more than `limit`, the newest of them.
    """
    rows = await pool.fetch(IN_RANGE, issue_id, step, from_ms, until_ms, min(limit, MOST_CANDLES))
    return [
        Candle(**{**row, "turnover_minor": int(row["turnover_minor"])}) for row in reversed(rows)
    ]
