"""Orders in and out of the queues of their levels, and out of and into the pool of slots.

Invariants: a level's quantity and hidden are the sums over its queue; a side's best is its first
level; a bit is set exactly where a level has orders; every live order is in `ids` once.
"""

from __future__ import annotations

from kernels.compile import inner
from kernels.matching import dates, ids
from kernels.matching.ladder import above, below, clear_price, set_price
from kernels.matching.layout import (
    BUY,
    CHANGES,
    DATED_ORDER,
    FREE,
    FRESH,
    LIVE,
    SYMBOLS,
    WIDTH,
    WIDTH_BITS,
    State,
    int64,
)
from kernels.matching.words import ref


@inner(forceinline=True)
def touch(state: State, at: int) -> None:
    """Put a level on the list of changes, once; the levels of stops are nobody's to see."""
    level = ref(state.levels, at)
    if level.mark == 0 and at >> 1 < state.meta[SYMBOLS] << state.meta[WIDTH_BITS]:
        level.mark = 1
        state.changes[state.meta[CHANGES]] = at
        state.meta[CHANGES] += 1


@inner(forceinline=True)
def take_slot(state: State) -> int:
    """A slot off the pool, which must have one: the last that was freed, or a fresh one."""
    slot = state.meta[FREE]
    if slot != 0:
        state.meta[FREE] = ref(state.orders, slot).next
    else:
        slot = state.meta[FRESH]
        state.meta[FRESH] += 1
    state.meta[LIVE] += 1
    return slot


@inner(forceinline=True)
def free_slot(state: State, slot: int) -> None:
    """Forget an order that is in no queue any more."""
    order = ref(state.orders, slot)
    ids.remove(state, order.order_id, slot)
    if order.special & DATED_ORDER:
        dates.remove(state, slot)
    order.next = state.meta[FREE]
    state.meta[FREE] = slot
    state.meta[LIVE] -= 1


@inner(forceinline=True)
def slices_of(state: State, slot: int) -> int:
    """How many trades the order can still be in as a maker."""
    order = ref(state.orders, slot)
    return 1 + (order.aside + order.display - 1) // order.display if order.display else 1


@inner(forceinline=True)
def enqueue(state: State, slot: int, at: int, hidden: int) -> None:
    """Put the order of a slot at the end of level `at`; `hidden` is its share out of sight."""
    order, level = ref(state.orders, slot), ref(state.levels, at)
    price, row_side = (at >> 1) & (state.meta[WIDTH] - 1), _row_side(state, at)
    side = ref(state.sides, row_side)
    order.level = at
    order.next = 0
    order.prev = level.tail
    if level.tail != 0:
        ref(state.orders, level.tail).next = slot
    else:
        level.head = slot
        set_price(state, row_side, price)
        if at & 1 == BUY:
            side.best = max(side.best, price)
        else:
            side.best = min(side.best, price)
    level.tail = slot
    level.quantity += order.quantity
    level.hidden += hidden
    level.orders += 1
    side.orders += 1
    side.slices += slices_of(state, slot) if hidden else 1
    touch(state, at)


@inner(forceinline=True)
def dequeue(state: State, slot: int, hidden: int) -> None:
    """Take the order of a slot out of its queue; the slot stays taken."""
    order = ref(state.orders, slot)
    at = int64(order.level)
    level = ref(state.levels, at)
    row_side = _row_side(state, at)
    side = ref(state.sides, row_side)
    if order.prev != 0:
        ref(state.orders, order.prev).next = order.next
    else:
        level.head = order.next
    if order.next != 0:
        ref(state.orders, order.next).prev = order.prev
    else:
        level.tail = order.prev
    level.quantity -= order.quantity
    level.hidden -= hidden
    level.orders -= 1
    side.orders -= 1
    side.slices -= slices_of(state, slot) if hidden else 1
    if level.head == 0:
        leave_level(state, at)
    touch(state, at)


@inner(forceinline=True)
def leave_level(state: State, at: int) -> None:
    """Level `at` has become empty: the side's best is the next that is not."""
    price, row_side = (at >> 1) & (state.meta[WIDTH] - 1), _row_side(state, at)
    side = ref(state.sides, row_side)
    clear_price(state, row_side, price)
    if side.best == price:
        if at & 1 == BUY:
            side.best = below(state, row_side, price)
        else:
            side.best = above(state, row_side, price)


@inner(forceinline=True)
def _row_side(state: State, at: int) -> int:
    return 2 * (at >> (1 + state.meta[WIDTH_BITS])) + (at & 1)
