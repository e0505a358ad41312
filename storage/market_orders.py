"""The read models of trading: books and their journals, orders, trades."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from domain.market.advance import TradesMet
from domain.market.entries import entry
from messages.market import MarketEvent
from messages.market.orders import (
    BookAdvanced,
    BookChanged,
    BookOpened,
    EndReason,
    OrderChanged,
    OrdersAdvanced,
    OrderStatus,
    Phase,
    Side,
)
from storage.database import Connection, Pool
from storage.rows import execute_rows

ADD_BOOKS = """
insert into market.books (issue_id, max_price, capacity, phase, chain, opened_at_ms)
select b.issue_id, b.max_price, b.capacity, 'closed', decode(repeat('00', 32), 'hex'), b.at_ms
from unnest($1::uuid[], $2::integer[], $3::integer[], $4::bigint[])
    as b (issue_id, max_price, capacity, at_ms)"""
SET_BOOKS = """
update market.books b
set number = c.number, chain = c.chain, phase = c.phase, until_ms = c.until_ms,
    depth_number = coalesce(c.depth_number, b.depth_number),
    last_minor = coalesce(c.last_minor, b.last_minor),
    last_at_ms = coalesce(c.last_at_ms, b.last_at_ms)
from unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[],
            $7::bigint[], $8::bigint[])
    as c (issue_id, number, chain, phase, until_ms, depth_number, last_minor, last_at_ms)
where b.issue_id = c.issue_id"""
ADD_ENTRIES = """
insert into market.book_entries (issue_id, number, at_ms, entry, chain)
select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[])"""
# Facts as they are, in JSON: eighteen columns would be as many arrays to make and to check.
SET_ORDERS = """
insert into market.orders
    (issue_id, order_id, user_id, side, status, reason, shares, filled, remaining, limit_minor,
     stop_minor, display, expires_at_ms, paid_minor, fee_minor, held_minor, placed_at_ms,
     changed_at_ms)
select issue_id, order_id, user_id, side, status, reason, shares, filled, "left", limit_minor,
     stop_minor, display, expires_at_ms, paid_minor, fee_minor, held_minor, placed_at_ms,
     changed_at_ms
from json_to_recordset($1::json) as o (issue_id uuid, order_id bigint, user_id uuid, side text,
    status text, reason text, shares integer, filled integer, "left" integer, limit_minor bigint,
    stop_minor bigint, display integer, expires_at_ms bigint, paid_minor bigint,
    fee_minor bigint, held_minor bigint, placed_at_ms bigint, changed_at_ms bigint)
on conflict (issue_id, order_id) do update
set status = excluded.status, reason = excluded.reason, shares = excluded.shares,
    filled = excluded.filled, remaining = excluded.remaining, limit_minor = excluded.limit_minor,
    paid_minor = excluded.paid_minor, fee_minor = excluded.fee_minor,
    held_minor = excluded.held_minor, changed_at_ms = excluded.changed_at_ms"""
ADD_TRADES = """
insert into market.trades
    (issue_id, trade_id, price_minor, shares, side, order_id, maker_order_id, at_ms)
select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[],
    $6::bigint[], $7::bigint[], $8::bigint[])"""

_BOOK = """
    b.issue_id::text, i.song_id::text, i.currency, i.tick_minor, b.max_price, b.capacity, b.phase,
    b.until_ms, b.depth_number, b.number, b.chain, b.last_minor, b.last_at_ms, b.opened_at_ms
    from market.books b join market.issues i using (issue_id)"""
GET_BOOK = f"select {_BOOK} where b.issue_id = $1"
NEWEST_BOOKS = f"""
select {_BOOK}
where (b.opened_at_ms, b.issue_id) < ($1, $2::uuid)
order by b.opened_at_ms desc, b.issue_id desc limit $3"""
_ORDER = """
    issue_id::text, order_id, user_id::text, side, status, reason, shares, filled, remaining,
    limit_minor, stop_minor, display, expires_at_ms, paid_minor, fee_minor, held_minor,
    placed_at_ms, changed_at_ms
    from market.orders"""
NEWEST_ORDERS = f"""
select {_ORDER}
where user_id = $1 and (placed_at_ms, issue_id, order_id) < ($2, $3::uuid, $4)
    and ($5::uuid is null or issue_id = $5)
order by placed_at_ms desc, issue_id desc, order_id desc limit $6"""
OPEN_ORDERS = f"""
select {_ORDER}
where user_id = $1 and (placed_at_ms, issue_id, order_id) < ($2, $3::uuid, $4)
    and ($5::uuid is null or issue_id = $5) and status in ('waiting', 'open')
order by placed_at_ms desc, issue_id desc, order_id desc limit $6"""
GET_ORDER = f"select {_ORDER} where issue_id = $1 and order_id = $2 and user_id = $3"
LIVE_ORDERS = f"""
select {_ORDER} where issue_id = $1 and status in ('waiting', 'open') order by order_id"""
NEWEST_TRADES = """
select trade_id, price_minor, shares, side, order_id, maker_order_id, at_ms from market.trades
where issue_id = $1 and trade_id < $2
order by trade_id desc limit $3"""
# The first always, then as many as are no more than so many bytes with it.
ENTRIES = """
select number, at_ms, entry, chain
from (
    select number, at_ms, entry, chain,
        sum(octet_length(entry)) over (order by number) - octet_length(entry) as before
    from (
        select number, at_ms, entry, chain from market.book_entries
        where issue_id = $1 and number > $2
        order by number limit $3
    ) next
) page
where before < $4
order by number"""
TRADED = """
select count(*), coalesce(sum(shares), 0)::bigint, coalesce(sum(shares * price_minor), 0)::bigint
from market.trades where issue_id = $1"""
HELD_DIFFERENCES = """
with expected as (
    select 'user:' || o.user_id || ':held/'
            || case o.side when 'buy' then i.currency else 'SHARE:' || o.issue_id end as code,
        sum(case o.side when 'buy' then o.held_minor else o.remaining end) as amount
    from market.orders o join market.issues i using (issue_id)
    where o.status in ('waiting', 'open')
    group by 1
),
found as (
    select code, balance from ledger.accounts
    where code like 'user:%' and split_part(code, ':', 3) like 'held/%'
)
select code, coalesce(e.amount, 0)::text, coalesce(f.balance, 0)::text
from expected e full join found f using (code)
where coalesce(e.amount, 0) <> coalesce(f.balance, 0)
order by code limit 1000"""
ALL_BOOKS = f"select {_BOOK} order by b.issue_id"

FIRST_ORDERS = (2**63 - 1, "ffffffff-ffff-ffff-ffff-ffffffffffff", 2**63 - 1)
FIRST_TRADES = 2**63 - 1
PAGE_BYTES = 1 << 20  # of a book's journal, or one entry


class BookRow(msgspec.Struct, frozen=True):
    """A book as its last fact left it. number, chain: of the last entry of its journal."""

    issue_id: str
    song_id: str
    currency: str
    tick_minor: int
    max_price: int
    capacity: int
    phase: Phase
    until_ms: int
    depth_number: int
    number: int
    chain: bytes
    last_minor: int | None
    last_at_ms: int | None
    opened_at_ms: int


class OrderRow(msgspec.Struct, frozen=True):
    """An order as its last fact left it: `messages.market.orders.OrderView`."""

    issue_id: str
    order_id: int
    user_id: str
    side: Side
    status: OrderStatus
    reason: EndReason
    shares: int
    filled: int
    remaining: int
    limit_minor: int
    stop_minor: int
    display: int
    expires_at_ms: int
    paid_minor: int
    fee_minor: int
    held_minor: int
    placed_at_ms: int
    changed_at_ms: int


class TradeRow(msgspec.Struct, frozen=True):
    """A trade. order_id: of the taker, of the buyer in an auction."""

    trade_id: int
    price_minor: int
    shares: int
    side: Side
    order_id: int
    maker_order_id: int
    at_ms: int


class EntryRow(NamedTuple):
    """An entry of a book's journal."""

    number: int
    at_ms: int
    entry: str
    chain: bytes


class _BookChange(msgspec.Struct):
    """What a batch leaves of a book; None where it changed nothing."""

    number: int = 0
    chain: bytes = b""
    phase: Phase = Phase.CLOSED
    until_ms: int = 0
    depth_number: int | None = None
    last_minor: int | None = None
    last_at_ms: int | None = None


_encode = msgspec.json.Encoder().encode


async def write(connection: Connection, events: Sequence[MarketEvent | TradesMet]) -> None:
    """Bring books, orders and trades up to a batch of facts, in the batch's transaction."""
    opened = [
        (e.issue_id, e.max_price, e.capacity, e.at_ms) for e in events if type(e) is BookOpened
    ]
    await execute_rows(connection, ADD_BOOKS, opened)
    books: dict[str, _BookChange] = defaultdict(_BookChange)
    orders: dict[tuple[str, int], OrderChanged] = {}
    entries, trades = [], []
    met: dict[str, deque[tuple[int, int]]] = defaultdict(deque)
    for event in events:
        if type(event) is OrderChanged:
            orders[event.issue_id, event.order_id] = event
        elif type(event) is BookAdvanced:
            entries.append(_entry(event))
            _advance(books[event.issue_id], event)
            met[event.issue_id].extend(
                (o.order_id, o.maker_order_id) for o in event.outputs if o.kind == "trade"
            )
        elif type(event) is OrdersAdvanced:
            entries.append((event.issue_id, event.number, event.at_ms, event.text, event.chain))
            _advance(books[event.issue_id], event)
        elif type(event) is TradesMet:
            met[event.issue_id].extend(event.orders)
        elif type(event) is BookChanged:
            trades += _trades(event, met[event.issue_id])
            _show(books[event.issue_id], event)
    await execute_rows(connection, ADD_ENTRIES, entries)
    if orders:
        await connection.execute(SET_ORDERS, _encode(list(orders.values())).decode())
    await execute_rows(connection, ADD_TRADES, trades)
    changed = [(issue_id, *msgspec.structs.astuple(c)) for issue_id, c in books.items()]
    await execute_rows(connection, SET_BOOKS, changed)


def _entry(event: BookAdvanced) -> tuple[object, ...]:
    text = entry(event.number, event.at_ms, event.instructions, event.outputs).decode()
    return event.issue_id, event.number, event.at_ms, text, event.chain


def _advance(change: _BookChange, event: BookAdvanced | OrdersAdvanced) -> None:
    change.number, change.chain = event.number, event.chain
    change.phase, change.until_ms = event.phase, event.until_ms


def _show(change: _BookChange, event: BookChanged) -> None:
    change.depth_number = event.depth_number
    if event.trades:
        change.last_minor, change.last_at_ms = event.trades[-1].price_minor, event.at_ms


def _trades(event: BookChanged, met: deque[tuple[int, int]]) -> list[tuple[object, ...]]:
    """A book tells of its trades in the order in which its journal has them."""
    rows: list[tuple[object, ...]] = []
    for trade in event.trades:
        order_id, maker_order_id = met.popleft()
        rows.append(
            (
                event.issue_id,
                trade.trade_id,
                trade.price_minor,
                trade.shares,
                trade.side,
                order_id,
                maker_order_id,
                event.at_ms,
            )
        )
    return rows


async def get_book(pool: Pool, issue_id: str) -> BookRow | None:
    """The book of an issue, if it was ever opened."""
    row = await pool.fetchrow(GET_BOOK, issue_id)
    return msgspec.convert(dict(row), BookRow) if row else None


async def newest_books(pool: Pool, before: tuple[int, str], limit: int) -> list[BookRow]:
    """Books opened before a cursor, newest first."""
    rows = await pool.fetch(NEWEST_BOOKS, *before, limit)
    return [msgspec.convert(dict(row), BookRow) for row in rows]


async def get_order(pool: Pool, issue_id: str, order_id: int, user_id: str) -> OrderRow | None:
    """A user's order."""
    row = await pool.fetchrow(GET_ORDER, issue_id, order_id, user_id)
    return msgspec.convert(dict(row), OrderRow) if row else None


async def newest_orders(
    pool: Pool,
    user_id: str,
    before: tuple[int, str, int],
    limit: int,
    *,
    issue_id: str | None = None,
    only_open: bool = False,
) -> list[OrderRow]:
    """A user's orders placed before a cursor (placed_at_ms, issue_id, order_id), newest first."""
    statement = OPEN_ORDERS if only_open else NEWEST_ORDERS
    rows = await pool.fetch(statement, user_id, *before, issue_id, limit)
    return [msgspec.convert(dict(row), OrderRow) for row in rows]


async def newest_trades(pool: Pool, issue_id: str, before: int, limit: int) -> list[TradeRow]:
    """A book's trades below a trade's number, newest first."""
    rows = await pool.fetch(NEWEST_TRADES, issue_id, before, limit)
    return [msgspec.convert(dict(row), TradeRow) for row in rows]


async def entries(
    connection: Connection | Pool, issue_id: str, after: int, limit: int
) -> list[EntryRow]:
    """The entries of a book's journal above a number: up to `limit`, and some PAGE_BYTES."""
    rows = await connection.fetch(ENTRIES, issue_id, after, limit, PAGE_BYTES)
    return [EntryRow(*row) for row in rows]


async def all_books(connection: Connection) -> list[BookRow]:
    """Every book, for those who verify."""
    return [msgspec.convert(dict(row), BookRow) for row in await connection.fetch(ALL_BOOKS)]


async def live_orders(connection: Connection, issue_id: str) -> list[OrderRow]:
    """The orders that a book holds, by number."""
    rows = await connection.fetch(LIVE_ORDERS, issue_id)
    return [msgspec.convert(dict(row), OrderRow) for row in rows]


async def traded(connection: Connection, issue_id: str) -> tuple[int, int, int]:
    """(trades, shares, what they were worth in minor units) of a book."""
    row = await connection.fetchrow(TRADED, issue_id)
    assert row is not None, "an aggregate has a row"
    return tuple(row)


async def held_differences(connection: Connection) -> list[tuple[str, int, int]]:
    """(account, what open orders hold, what it has) where the two differ."""
    rows = await connection.fetch(HELD_DIFFERENCES)
    return [(code, int(expected), int(found)) for code, expected, found in rows]
