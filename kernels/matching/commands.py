"""Commands, one by one: what each is refused for, and what it does."""

from __future__ import annotations

from typing import Any

from kernels.compile import inner
from kernels.matching import dates, ids
from kernels.matching.emit import said
from kernels.matching.fill import can_fill, crosses, level_of
from kernels.matching.layout import (
    BUY,
    CANCELLED,
    CAPACITY,
    DATED_ORDER,
    FINE,
    FOK,
    GTC,
    ICEBERG,
    LIVE,
    MARKET,
    MAX_PRICE,
    MAX_QUANTITY,
    MAX_SLICES,
    NONE,
    POST,
    R_AUCTION,
    R_CAPACITY,
    R_DISPLAY,
    R_DUPLICATE,
    R_EXPIRY,
    R_FOK,
    R_POST_ONLY,
    R_PRICE,
    R_QUANTITY,
    R_STOP,
    R_SYMBOL,
    SYMBOLS,
    WIDTH,
    WIDTH_BITS,
    ZERO,
    State,
    Taker,
    int64,
)
from kernels.matching.queue import dequeue, enqueue, free_slot, slices_of, take_slot, touch
from kernels.matching.words import ref


@inner(forceinline=True)
def taker_of(state: State, seq: int, command: Any) -> Taker:
    """The order that a command of kind `new` describes; a market order at the worst price."""
    price = command.price
    if command.tif == MARKET:
        price = state.meta[MAX_PRICE] - 1 if command.side == BUY else 1
    return Taker(
        seq, command.symbol, int64(command.side), int64(command.tif), int64(command.stp),
        command.order_id, command.owner, int64(price), command.quantity, command.display,
        command.expires,
    )  # fmt: skip


@inner(forceinline=True)
def why_not_new(state: State, command: Any) -> int:
    """The first reason that speaks against a new order by itself."""
    if command.symbol < 0 or command.symbol >= state.meta[SYMBOLS]:
        return R_SYMBOL
    if command.quantity <= 0:
        return R_QUANTITY
    if command.tif != MARKET and not _is_price(state, command.price):
        return R_PRICE
    if ids.find(state, command.order_id) != 0:
        return R_DUPLICATE
    if command.stop != 0 or command.display != 0 or command.expires != 0:
        return _why_not_options(state, command)
    return FINE


@inner(forceinline=True)
def why_not_now(state: State, taker: Taker) -> int:
    """The first reason that speaks against an order as the book stands."""
    if state.phases[taker.symbol] != 0:
        if taker.tif != GTC:
            return R_AUCTION
    elif taker.tif == POST:
        if crosses(state, taker.symbol, taker.side, taker.price):
            return R_POST_ONLY
    elif taker.tif == FOK and not can_fill(state, taker):
        return R_FOK
    if taker.tif in (GTC, POST):
        at = level_of(state, taker.symbol, taker.side, taker.price)
        if state.meta[LIVE] == state.meta[CAPACITY] or not has_room(state, at, taker.quantity):
            return R_CAPACITY
    return FINE


@inner(forceinline=True)
def has_room(state: State, at: int, quantity: int) -> bool:
    """Whether the level's sum can grow by so much."""
    level = ref(state.levels, at)
    return level.quantity + level.hidden <= MAX_QUANTITY - quantity


@inner(forceinline=True)
def _is_price(state: State, price: int) -> bool:
    return 0 < price < state.meta[MAX_PRICE]


@inner()
def _why_not_options(state: State, command: Any) -> int:
    """What speaks against stop, iceberg and date: they need an order that can rest or wait."""
    if command.stop != 0 and (not _is_price(state, command.stop) or command.tif in (POST, FOK)):
        return R_STOP
    if command.display != 0:
        slices = command.quantity // max(1, command.display)
        if command.display < 0 or slices >= MAX_SLICES or command.tif not in (GTC, POST):
            return R_DISPLAY
    if command.expires < 0 or (
        command.expires > 0 and command.stop == 0 and command.tif not in (GTC, POST)
    ):
        return R_EXPIRY
    return FINE


@inner()
def wait(state: State, taker: Taker, stop: int) -> int:
    """Let a stop wait for its trigger, out of sight. Returns a reason if there is no room."""
    at = 2 * ((state.meta[SYMBOLS] + taker.symbol) * state.meta[WIDTH] + stop) + 1 - taker.side
    if state.meta[LIVE] == state.meta[CAPACITY] or not has_room(state, at, taker.quantity):
        return R_CAPACITY
    slot = take_slot(state)
    order = ref(state.orders, slot)
    order.order_id, order.owner = taker.order_id, taker.owner
    order.quantity, order.aside = taker.quantity, taker.price
    order.display, order.expires = taker.display, taker.expires
    order.tif, order.stp = taker.tif, taker.stp
    order.special = DATED_ORDER if taker.expires > 0 else 0
    ids.insert(state, taker.order_id, slot)
    enqueue(state, slot, at, ZERO)
    if taker.expires > 0:
        dates.push(state, slot)
    return FINE


@inner(forceinline=True)
def taker_at(state: State, slot: int, seq: int) -> Taker:
    """The order in a slot, as it would come in again."""
    order = ref(state.orders, slot)
    at = int64(order.level)
    row, side, price = (
        at >> (1 + state.meta[WIDTH_BITS]),
        at & 1,
        (at >> 1) & (state.meta[WIDTH] - 1),
    )
    tif, stp, quantity = int64(GTC), int64(NONE), order.quantity
    if row >= state.meta[SYMBOLS]:
        row, side, price = row - state.meta[SYMBOLS], 1 - side, order.aside
        tif, stp = int64(order.tif), int64(order.stp)
    elif order.special & ICEBERG:
        quantity += order.aside
    return Taker(
        seq, row, side, tif, stp, order.order_id, order.owner, price, quantity,
        order.display, order.expires,
    )  # fmt: skip


@inner(forceinline=True)
def is_waiting(state: State, slot: int) -> bool:
    """Whether the order is a stop that has not been triggered."""
    return ref(state.orders, slot).level >> (1 + state.meta[WIDTH_BITS]) >= state.meta[SYMBOLS]


@inner(forceinline=True)
def leave(state: State, slot: int) -> None:
    """Take an order out of the book."""
    order = ref(state.orders, slot)
    is_iceberg = order.special & ICEBERG
    dequeue(state, slot, order.aside if is_iceberg else ZERO)
    free_slot(state, slot)


@inner(forceinline=True)
def cancel(state: State, events: Any, used: int, slot: int, seq: int, reason: int) -> int:
    """Cancel a live order. Returns the events used."""
    taker = taker_at(state, slot, seq)
    leave(state, slot)
    return said(events, used, CANCELLED, reason, taker, taker.quantity)


@inner(forceinline=True)
def why_not_replace(state: State, command: Any, slot: int, old: Taker) -> int:
    """The first reason that speaks against the new quantity and price of a live order."""
    price, quantity = command.price, command.quantity
    if quantity <= 0:
        return R_QUANTITY
    if not _is_price(state, price):
        return R_PRICE
    if is_waiting(state, slot):
        return R_STOP
    if old.display > 0 and quantity // old.display >= MAX_SLICES:
        return R_DISPLAY
    reason = FINE
    if command.tif == POST:
        if state.phases[old.symbol] != 0:
            reason = R_AUCTION
        elif crosses(state, old.symbol, old.side, price):
            reason = R_POST_ONLY
    grows_by = quantity - old.quantity if price == old.price else quantity
    at = level_of(state, old.symbol, old.side, price)
    if reason == FINE and grows_by > 0 and not has_room(state, at, grows_by):
        reason = R_CAPACITY
    return reason


@inner(forceinline=True)
def shrink(state: State, slot: int, quantity: int) -> None:
    """Let an order keep its place with no more than it has; an iceberg gives of what it hides."""
    order = ref(state.orders, slot)
    level = ref(state.levels, order.level)
    hidden = order.aside if order.special & ICEBERG else 0
    taken = order.quantity + hidden - quantity
    from_hidden = min(taken, hidden)
    if from_hidden > 0:
        row_side = 2 * (order.level >> (1 + state.meta[WIDTH_BITS])) + (order.level & 1)
        ref(state.sides, row_side).slices -= slices_of(state, slot)
        order.aside -= from_hidden
        ref(state.sides, row_side).slices += slices_of(state, slot)
        level.hidden -= from_hidden
    order.quantity -= taken - from_hidden
    level.quantity -= taken - from_hidden
    touch(state, int64(order.level))
