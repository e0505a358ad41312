"""The call auction: one price for all that crosses.

The price is where most is traded; of several the one that leaves least unfilled on the longer
side, then the nearest to the reference, then the lower. Better prices come first, equal prices by
time; what icebergs hide counts and is traded slice by slice. Sums that pass 2^63 - 1 stay there.
"""

from __future__ import annotations

from typing import Any

from kernels.compile import inner
from kernels.matching.fill import level_of, show_more
from kernels.matching.layout import (
    BUY,
    FINE,
    ICEBERG,
    MAX_QUANTITY,
    SELL,
    TRADE,
    WIDTH_BITS,
    ZERO,
    State,
    int64,
)
from kernels.matching.queue import dequeue, free_slot, touch
from kernels.matching.words import ref


@inner(forceinline=True)
def _add(a: int, b: int) -> int:
    """The sum of two quantities, or the greatest that there is."""
    return a + b if a <= MAX_QUANTITY - b else MAX_QUANTITY


@inner(forceinline=True)
def _total(state: State, symbol: int, side: int, price: int) -> int:
    level = ref(state.levels, level_of(state, symbol, side, price))
    return level.quantity + level.hidden


@inner()
def uncross(state: State, events: Any, used: int, symbol: int, reference: int, seq: int) -> int:
    """Trade all that crosses at one price; the buyer is shown as taker. Returns the events used.

    There is room for a trade of every slice. O(prices between the bests + trades).
    """
    price = _price_of(state, symbol, reference)
    if price == 0:
        return used
    buys, sells = ref(state.sides, 2 * symbol + BUY), ref(state.sides, 2 * symbol + SELL)
    while buys.best >= price and sells.best <= price:
        buy = ref(state.levels, level_of(state, symbol, BUY, buys.best)).head
        sell = ref(state.levels, level_of(state, symbol, SELL, sells.best)).head
        bid, ask = ref(state.orders, buy), ref(state.orders, sell)
        taken = min(bid.quantity, ask.quantity)
        event = events[used]
        event.kind, event.side, event.reason = TRADE, BUY, FINE
        event.price, event.seq, event.symbol, event.quantity = price, seq, symbol, taken
        event.order_id, event.maker_order_id = bid.order_id, ask.order_id
        event.owner, event.maker_owner = bid.owner, ask.owner
        used += 1
        _take(state, buy, taken)
        _take(state, sell, taken)
    return used


@inner()
def _price_of(state: State, symbol: int, reference: int) -> int:
    """The price of the auction, or 0 where nothing crosses."""
    low, high = ref(state.sides, 2 * symbol + SELL).best, ref(state.sides, 2 * symbol + BUY).best
    demand = ZERO
    for price in range(high, low - 1, -1):
        demand = _add(demand, _total(state, symbol, BUY, price))
        state.demand[price] = demand
    found, most, least, nearest, supply = ZERO, ZERO, ZERO, ZERO, ZERO
    for price in range(low, high + 1):
        supply = _add(supply, _total(state, symbol, SELL, price))
        volume, rest = min(state.demand[price], supply), abs(state.demand[price] - supply)
        far = abs(price - reference)
        is_better = volume > most or (
            volume == most and (rest < least or (rest == least and far < nearest))
        )
        if found == 0 or is_better:
            found, most, least, nearest = price, volume, rest, far
    return found


@inner()
def _take(state: State, slot: int, taken: int) -> None:
    """Take a quantity off the first order of a level."""
    order = ref(state.orders, slot)
    level = ref(state.levels, order.level)
    order.quantity -= taken
    level.quantity -= taken
    touch(state, int64(order.level))
    if order.quantity > 0:
        return
    if order.special & ICEBERG and order.aside > 0:
        after = order.next
        side = 2 * (order.level >> (1 + state.meta[WIDTH_BITS])) + (order.level & 1)
        ref(state.sides, side).slices -= 1
        show_more(state, slot)
        if after != 0:
            level.head = after
            ref(state.orders, after).prev = 0
    else:
        dequeue(state, slot, ZERO)
        free_slot(state, slot)
