"""Orders with a date, soonest first: a binary heap of slots that knows where each slot is.

Equal dates go by order id, so the order of expiry does not depend on how the heap came about.
"""

from __future__ import annotations

from kernels.compile import inner
from kernels.matching.layout import DATED, State


@inner()
def push(state: State, slot: int) -> None:
    """Add an order with a date."""
    at = state.meta[DATED]
    state.meta[DATED] += 1
    _place(state, at, slot)
    _rise(state, at)


@inner()
def remove(state: State, slot: int) -> None:
    """Take out an order that is there."""
    at = state.dated_at[slot]
    state.meta[DATED] -= 1
    last = state.meta[DATED]
    if at != last:
        moved = state.dates[last]
        _place(state, at, moved)
        _rise(state, at)
        _sink(state, state.dated_at[moved])


@inner()
def _place(state: State, at: int, slot: int) -> None:
    state.dates[at] = slot
    state.dated_at[slot] = at


@inner()
def _is_before(state: State, one: int, other: int) -> bool:
    a, b = state.orders[one], state.orders[other]
    if a.expires != b.expires:
        return a.expires < b.expires
    return a.order_id < b.order_id


@inner()
def _rise(state: State, at: int) -> None:
    slot = state.dates[at]
    while at > 0:
        parent = (at - 1) >> 1
        above = state.dates[parent]
        if not _is_before(state, slot, above):
            break
        _place(state, at, above)
        at = parent
    _place(state, at, slot)


@inner()
def _sink(state: State, at: int) -> None:
    slot, count = state.dates[at], state.meta[DATED]
    while 2 * at + 1 < count:
        child = 2 * at + 1
        if child + 1 < count and _is_before(state, state.dates[child + 1], state.dates[child]):
            child += 1
        below = state.dates[child]
        if not _is_before(state, below, slot):
            break
        _place(state, at, below)
        at = child
    _place(state, at, slot)
