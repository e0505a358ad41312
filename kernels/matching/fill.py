"""An order meets the other side, price by price, first come, first served; what is left rests."""

from __future__ import annotations

from typing import Any

from kernels.compile import inner
from kernels.matching import dates, ids
from kernels.matching.emit import met, said
from kernels.matching.ladder import above, below
from kernels.matching.layout import (
    BUY,
    CANCEL_NEWEST,
    CANCEL_OLDEST,
    CANCELLED,
    DATED_ORDER,
    DECREMENT,
    DECREMENTED,
    FINE,
    GTC,
    ICEBERG,
    NONE,
    POST,
    R_IOC,
    R_STP,
    TRADE,
    WIDTH,
    State,
    Taker,
)
from kernels.matching.queue import enqueue, free_slot, leave_level, slices_of, take_slot, touch
from kernels.matching.words import ref


@inner(forceinline=True)
def crosses(state: State, symbol: int, side: int, price: int) -> bool:
    """Whether an order at this price would meet the other side."""
    best = ref(state.sides, 2 * symbol + 1 - side).best
    return best <= price if side == BUY else best >= price


@inner(forceinline=True)
def level_of(state: State, symbol: int, side: int, price: int) -> int:
    """The index of a level."""
    return 2 * (symbol * state.meta[WIDTH] + price) + side


@inner(forceinline=True)
def match(state: State, events: Any, used: int, taker: Taker) -> int:
    """Fill the order while it crosses, then let it rest or cancel it. Returns the events used.

    O(1) for each event, plus the search for the next level, which is a few words.
    """
    left = taker.quantity
    against = ref(state.sides, 2 * taker.symbol + 1 - taker.side)
    while left > 0:
        price = against.best
        if (taker.side == BUY and price > taker.price) or (
            taker.side != BUY and price < taker.price
        ):
            break
        used, left = _meet_level(state, events, used, taker, price, left)
    if left > 0:
        if taker.tif in (GTC, POST):
            rest(state, taker, left)
        else:
            used = said(events, used, CANCELLED, R_IOC, taker, left)
    return used


@inner(forceinline=True)
def _meet_level(
    state: State, events: Any, used: int, taker: Taker, price: int, left: int
) -> tuple[int, int]:
    """Meet the makers of one level. Returns the events used, and what is left to fill."""
    at = level_of(state, taker.symbol, 1 - taker.side, price)
    level = ref(state.levels, at)
    side = ref(state.sides, 2 * taker.symbol + 1 - taker.side)
    slot, gone = level.head, 0
    while slot != 0 and left > 0:
        maker = ref(state.orders, slot)
        taken = min(left, maker.quantity)
        if taker.stp != NONE and maker.owner == taker.owner:
            if taker.stp == DECREMENT:
                used = met(events, used, DECREMENTED, R_STP, taker, maker)
            else:
                if taker.stp != CANCEL_NEWEST:
                    used = _cancel_maker(state, events, used, taker, slot)
                if taker.stp != CANCEL_OLDEST:
                    used = said(events, used, CANCELLED, R_STP, taker, left)
                    left = 0
                if taker.stp == CANCEL_NEWEST:
                    break
                taken = 0
        else:
            used = met(events, used, TRADE, FINE, taker, maker)
        if taken > 0:
            event = ref(events, used - 1)
            event.price, event.quantity = price, taken
            left -= taken
            level.quantity -= taken
            maker.quantity -= taken
            if maker.quantity > 0:
                break
            side.slices -= 1
        after = maker.next
        if maker.special & ICEBERG and maker.aside > 0:
            show_more(state, slot)
            slot = after if after != 0 else slot
        else:
            free_slot(state, slot)
            gone += 1
            slot = after
    _settle_level(state, at, slot, gone)
    return used, left


@inner(forceinline=True)
def _settle_level(state: State, at: int, head: int, gone: int) -> None:
    """Let the queue begin with `head`: the makers before it have gone."""
    level = ref(state.levels, at)
    level.head = head
    level.orders -= gone
    row_side = 2 * ((at >> 1) // state.meta[WIDTH]) + (at & 1)
    ref(state.sides, row_side).orders -= gone
    if head != 0:
        ref(state.orders, head).prev = 0
    else:
        level.tail = 0
        leave_level(state, at)
    touch(state, at)


@inner()
def _cancel_maker(state: State, events: Any, used: int, taker: Taker, slot: int) -> int:
    """Cancel an own maker by the self-trade rule; its quantities leave the level, it stays linked.

    Nothing of it is left to show afterwards.
    """
    maker = ref(state.orders, slot)
    level = ref(state.levels, maker.level)
    hidden = maker.aside if maker.special & ICEBERG else 0
    own_side = 1 - taker.side
    ref(state.sides, 2 * taker.symbol + own_side).slices -= slices_of(state, slot) if hidden else 1
    used = said(events, used, CANCELLED, R_STP, taker, maker.quantity + hidden)
    event = ref(events, used - 1)
    event.side, event.order_id = own_side, maker.order_id
    event.price = (maker.level >> 1) & (state.meta[WIDTH] - 1)
    level.quantity -= maker.quantity
    level.hidden -= hidden
    maker.quantity = 0
    if hidden:
        maker.aside = 0
    return used


@inner()
def show_more(state: State, slot: int) -> None:
    """The next slice of an iceberg, first of its level, joins the end of the queue.

    Whoever calls lets the queue begin with the order after it.
    """
    maker = ref(state.orders, slot)
    level = ref(state.levels, maker.level)
    shown = min(maker.display, maker.aside)
    maker.aside -= shown
    maker.quantity = shown
    level.quantity += shown
    level.hidden -= shown
    if maker.next != 0:
        ref(state.orders, level.tail).next = slot
        maker.prev = level.tail
        maker.next = 0
        level.tail = slot


@inner(forceinline=True)
def rest(state: State, taker: Taker, left: int) -> None:
    """Let what is left of the order rest. There is a slot, and its level's sum has room."""
    slot = take_slot(state)
    order = ref(state.orders, slot)
    shown, hidden = left, 0
    special = 0
    if taker.display > 0:
        special = ICEBERG
        shown = min(left, taker.display)
        hidden = left - shown
    if taker.expires > 0:
        special |= DATED_ORDER
    order.order_id, order.owner, order.quantity, order.aside = (
        taker.order_id,
        taker.owner,
        shown,
        hidden,
    )
    order.display, order.expires, order.special = taker.display, taker.expires, special
    ids.insert(state, taker.order_id, slot)
    enqueue(state, slot, level_of(state, taker.symbol, taker.side, taker.price), hidden)
    if special & DATED_ORDER:
        dates.push(state, slot)


@inner()
def can_fill(state: State, taker: Taker) -> bool:
    """Whether all of the order would be filled at once, as its self-trade rule has it."""
    row_side = 2 * taker.symbol + 1 - taker.side
    price, missing = ref(state.sides, row_side).best, taker.quantity
    width = state.meta[WIDTH]
    while 0 < price < width and (
        price <= taker.price if taker.side == BUY else price >= taker.price
    ):
        level = ref(state.levels, level_of(state, taker.symbol, 1 - taker.side, price))
        if taker.stp == NONE:
            found, is_barred = level.quantity + level.hidden, False
        else:
            found, is_barred = _without_own(state, taker, level.head)
        if found >= missing:
            return True
        if is_barred:
            return False
        missing -= found
        if taker.side == BUY:
            price = above(state, row_side, price + 1)
        else:
            price = below(state, row_side, price - 1)
    return False


@inner()
def _without_own(state: State, taker: Taker, head: int) -> tuple[int, bool]:
    """What the queue offers before an own order ends it, and whether one does.

    What icebergs hide comes after all that is shown; with CANCEL_OLDEST own orders are no bar.
    """
    shown, hidden, slot = 0, 0, head
    while slot != 0:
        maker = ref(state.orders, slot)
        if maker.owner == taker.owner:
            if taker.stp != CANCEL_OLDEST:
                return shown, True
        else:
            shown += maker.quantity
            if maker.special & ICEBERG:
                hidden += maker.aside
        slot = maker.next
    return shown + hidden, False
