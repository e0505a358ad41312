"""Reading a book and bringing one back: levels that changed, the best levels, all orders."""

from __future__ import annotations

from typing import Any

from kernels.compile import inner
from kernels.matching import dates, ids
from kernels.matching.fill import level_of
from kernels.matching.ladder import above, below
from kernels.matching.layout import (
    BUY,
    CHANGES,
    DATED_ORDER,
    ICEBERG,
    SELL,
    SYMBOLS,
    WIDTH,
    WIDTH_BITS,
    ZERO,
    State,
    int64,
)
from kernels.matching.queue import enqueue, take_slot

SIDES_OF_ROW = 2


@inner()
def take_changes(state: State, out: Any) -> int:
    """Move levels off the list of changes, latest first, as they are now. Returns how many."""
    count = min(len(out), state.meta[CHANGES])
    for at in range(count):
        state.meta[CHANGES] -= 1
        found = int64(state.changes[state.meta[CHANGES]])
        state.levels[found].mark = 0
        _show(state, out, at, found)
    return count


@inner()
def best_levels(state: State, out: Any, symbol: int, side: int) -> int:
    """Write the best levels of a side, as many as there is room for. Returns how many."""
    row_side = 2 * symbol + side
    price, width, count = int64(state.sides[row_side].best), state.meta[WIDTH], ZERO
    while 0 < price < width and count < len(out):
        _show(state, out, count, level_of(state, symbol, side, price))
        count += 1
        if side == BUY:
            price = below(state, row_side, price - 1)
        else:
            price = above(state, row_side, price + 1)
    return count


@inner()
def _show(state: State, out: Any, at: int, index: int) -> None:
    """Write a level's price, orders and what they show."""
    level, change = state.levels[index], out[at]
    change.symbol, change.side = index >> (1 + state.meta[WIDTH_BITS]), index & 1
    change.price = (index >> 1) & (state.meta[WIDTH] - 1)
    change.orders, change.quantity = level.orders, level.quantity


@inner()
def dump(state: State, out: Any, symbol: int) -> int:
    """Write all orders of a symbol in order of priority; there must be room. Returns how many.

    Bids, asks, then the stops that wait: buy stops, sell stops.
    """
    waiting = state.meta[SYMBOLS] + symbol
    count = _dump_side(state, out, ZERO, symbol, BUY)
    count = _dump_side(state, out, count, symbol, SELL)
    count = _dump_side(state, out, count, waiting, SELL)
    return _dump_side(state, out, count, waiting, BUY)


@inner()
def _dump_side(state: State, out: Any, count: int, row: int, side: int) -> int:
    row_side, width = 2 * row + side, state.meta[WIDTH]
    price = int64(state.sides[row_side].best)
    while 0 < price < width:
        slot = state.levels[level_of(state, row, side, price)].head
        while slot != 0:
            _dump_order(state, out[count], slot, row, side, price)
            count += 1
            slot = state.orders[slot].next
        if side == BUY:
            price = below(state, row_side, price - 1)
        else:
            price = above(state, row_side, price + 1)
    return count


@inner()
def _dump_order(state: State, out: Any, slot: int, row: int, side: int, price: int) -> None:
    order, symbols = state.orders[slot], state.meta[SYMBOLS]
    is_waiting = row >= symbols
    out.symbol = row - symbols if is_waiting else row
    out.side = 1 - side if is_waiting else side
    out.stop, out.price = (price, order.aside) if is_waiting else (0, price)
    out.tif, out.stp = (order.tif, order.stp) if is_waiting else (0, 0)
    out.order_id, out.owner, out.quantity = order.order_id, order.owner, order.quantity
    out.hidden = order.aside if order.special & ICEBERG else 0
    out.display, out.expires = order.display, order.expires


@inner()
def load(state: State, resting: Any) -> None:
    """Put orders into an empty book that has room, in the order in which `dump` has them."""
    for at in range(len(resting)):
        row = resting[at]
        slot = take_slot(state)
        order = state.orders[slot]
        is_waiting = row.stop != 0
        order.order_id, order.owner, order.quantity = row.order_id, row.owner, row.quantity
        order.display, order.expires = row.display, row.expires
        order.aside = row.price if is_waiting else row.hidden
        order.tif, order.stp = (row.tif, row.stp) if is_waiting else (0, 0)
        order.special = DATED_ORDER if row.expires > 0 else 0
        if row.display > 0 and not is_waiting:
            order.special |= ICEBERG
        ids.insert(state, row.order_id, slot)
        side = int64(row.side)
        if is_waiting:
            level = level_of(state, state.meta[SYMBOLS] + row.symbol, 1 - side, int64(row.stop))
        else:
            level = level_of(state, row.symbol, side, row.price)
        enqueue(state, slot, level, row.hidden)
        if row.expires > 0:
            dates.push(state, slot)
