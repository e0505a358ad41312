"""The loop over commands: resumable between any two, and between the stops that one wakes.

Before anything changes, the events that it can cause at most must fit what is left of the buffer;
else the loop ends there and goes on with an empty one. So batches and buffers of any size give the
same events.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compile import inner
from kernels.matching import ids
from kernels.matching.auction import uncross
from kernels.matching.commands import (
    cancel,
    has_room,
    leave,
    shrink,
    taker_at,
    taker_of,
    wait,
    why_not_new,
    why_not_now,
    why_not_replace,
)
from kernels.matching.emit import refused, said
from kernels.matching.fill import crosses, level_of, match, rest
from kernels.matching.layout import (
    ACK,
    AUCTION,
    BUY,
    CANCEL,
    CANCEL_OLDEST,
    CANCELLED,
    DATED,
    DECREMENT,
    ELECTING,
    EXPIRE,
    FINE,
    GTC,
    IDS_MASK,
    MARKET,
    NEW,
    R_AUCTION,
    R_CAPACITY,
    R_EXPIRED,
    R_MALFORMED,
    R_OWNER,
    R_SYMBOL,
    R_UNKNOWN,
    R_USER,
    REPLACE,
    REPLACED,
    SELL,
    SEQ,
    SYMBOLS,
    TRIGGERED,
    UNCROSS,
    WIDTH,
    ZERO,
    State,
    Taker,
    int64,
)
from kernels.matching.stops import next_stop, note_trades
from kernels.matching.words import prefetch, ref, spread

SPARE = int64(4)  # events that an order can cause beside its trades, with one to spare
AHEAD = 8
DONE, ENTERS, AGAIN, FULL = (int64(status) for status in range(4))
# Words of `progress`: the next command, its number, events used, events that must fit.
NEXT, NUMBER, USED, NEEDED = range(4)


@inner(forceinline=True)
def run(state: State, commands: Any, events: Any, progress: Any) -> int:
    """Apply commands from progress[NEXT] on; returns 1 when all are done, 0 where events are full.

    progress[NUMBER] is the `seq` of commands[0]. The state may be used in between, but the rest of
    the commands must be what comes next.
    """
    at, used = progress[NEXT], ZERO
    while True:
        is_electing, room = state.meta[ELECTING] >= 0, SPARE
        if not is_electing and at >= len(commands):
            break
        if used + SPARE > len(events):
            break
        if is_electing:
            status, used, room, taker = _wake(state, events, used)
        else:
            look_ahead(state, commands, at)
            status, used, room, taker = _begin(
                state, ref(commands, at), events, used, progress[NUMBER] + at
            )
        if status == FULL:
            break
        if status == ENTERS:
            begun = used
            used = match(state, events, used, taker)
            note_trades(state, events, begun, used, taker.symbol, taker.seq)
        if not is_electing and status != AGAIN:
            at += 1
    progress[NEXT], progress[USED], progress[NEEDED] = at, used, room
    return 1 if at >= len(commands) and state.meta[ELECTING] < 0 else 0


@inner(forceinline=True)
def look_ahead(state: State, commands: Any, at: int) -> None:
    """Have what the next commands touch on its way to the cache: each step needs the one before."""
    last = len(commands) - 1
    far = ref(commands, min(at + 3 * AHEAD, last))
    prefetch(state.ids, spread(far.order_id) & state.meta[IDS_MASK])
    middle = ref(commands, min(at + 2 * AHEAD, last))
    if middle.op != NEW:
        prefetch(state.orders, _first_slot(state, middle.order_id))
    elif _names_level(state, middle):
        prefetch(state.levels, level_of(state, middle.symbol, int64(middle.side & 1), middle.price))
    near = ref(commands, min(at + AHEAD, last))
    if near.op != NEW:
        order = ref(state.orders, _first_slot(state, near.order_id))
        prefetch(state.levels, int64(order.level))
        prefetch(state.orders, int64(order.next))
        prefetch(state.orders, int64(order.prev))
    elif _names_level(state, near):
        level = level_of(state, near.symbol, int64(near.side & 1), near.price)
        prefetch(state.orders, int64(ref(state.levels, level).tail))


@inner(forceinline=True)
def _first_slot(state: State, order_id: int) -> int:
    """Where the order most likely is; any slot if it is not live."""
    entry = ref(state.ids, spread(order_id) & state.meta[IDS_MASK])
    return int64(entry & np.uint64(0xFFFFFFFF))


@inner(forceinline=True)
def _names_level(state: State, command: Any) -> bool:
    return 0 <= command.symbol < state.meta[SYMBOLS] and 0 < command.price < state.meta[WIDTH]


@inner(forceinline=True)
def _events_at_most(state: State, taker: Taker) -> int:
    """How many events the order can cause: the trades it can take part in, and those beside."""
    if state.phases[taker.symbol] != 0 or not crosses(state, taker.symbol, taker.side, taker.price):
        return SPARE
    slices = ref(state.sides, 2 * taker.symbol + 1 - taker.side).slices
    if taker.stp == CANCEL_OLDEST:  # cancels as many as there are, however small it is
        return SPARE + slices
    return SPARE + min(slices, taker.quantity)


@inner()
def _wake(state: State, events: Any, used: int) -> tuple[int, int, int, Taker]:
    """Trigger the next stop."""
    slot, seq = next_stop(state), state.meta[SEQ]
    taker = taker_at(state, slot, seq)
    if slot == 0:
        state.meta[ELECTING] = -1
        return DONE, used, SPARE, taker
    room = _events_at_most(state, taker)
    if used + room > len(events):
        return FULL, used, room, taker
    leave(state, slot)
    used = said(events, used, TRIGGERED, FINE, taker, taker.quantity)
    at = level_of(state, taker.symbol, taker.side, taker.price)
    if taker.tif == GTC and not has_room(state, at, taker.quantity):
        return DONE, said(events, used, CANCELLED, R_CAPACITY, taker, taker.quantity), room, taker
    return ENTERS, used, room, taker


@inner(forceinline=True)
def _begin(
    state: State, command: Any, events: Any, used: int, seq: int
) -> tuple[int, int, int, Taker]:
    """Do all of a command but the matching of its order."""
    if command.op == NEW:
        return _begin_new(state, command, events, used, seq)
    if command.op in (CANCEL, REPLACE):
        return _begin_change(state, command, events, used, seq)
    status, used, room = _begin_rare(state, command, events, used, seq)
    return status, used, room, taker_of(state, seq, command)


@inner(forceinline=True)
def _begin_new(
    state: State, command: Any, events: Any, used: int, seq: int
) -> tuple[int, int, int, Taker]:
    taker, room = taker_of(state, seq, command), SPARE
    reason = R_MALFORMED if _is_malformed(command) else why_not_new(state, command)
    if reason == FINE and command.stop != 0:
        reason = wait(state, taker, command.stop)
        if reason == FINE:
            return DONE, said(events, used, ACK, FINE, taker, taker.quantity), room, taker
    elif reason == FINE:
        reason = why_not_now(state, taker)
    if reason != FINE:
        return DONE, refused(events, used, reason, seq, command), room, taker
    room = _events_at_most(state, taker)
    if used + room > len(events):
        return FULL, used, room, taker
    used = said(events, used, ACK, FINE, taker, taker.quantity)
    return _enter(state, used, room, taker)


@inner(forceinline=True)
def _enter(state: State, used: int, room: int, taker: Taker) -> tuple[int, int, int, Taker]:
    """Send an order to be matched; while an auction collects, it only rests."""
    if state.phases[taker.symbol] == 0:
        return ENTERS, used, room, taker
    rest(state, taker, taker.quantity)
    return DONE, used, room, taker


@inner(forceinline=True)
def _is_malformed(command: Any) -> bool:
    return command.side > SELL or command.tif > MARKET or command.stp > DECREMENT


@inner(forceinline=True)
def _begin_change(
    state: State, command: Any, events: Any, used: int, seq: int
) -> tuple[int, int, int, Taker]:
    """Cancel or replace."""
    slot = ids.find(state, command.order_id)
    old = taker_at(state, slot, seq)
    if slot == 0 or old.owner != command.owner:
        reason = R_UNKNOWN if slot == 0 else R_OWNER
        return DONE, refused(events, used, reason, seq, command), SPARE, old
    if command.op == CANCEL:
        leave(state, slot)
        return DONE, said(events, used, CANCELLED, R_USER, old, old.quantity), SPARE, old
    reason = R_MALFORMED if _is_malformed(command) else why_not_replace(state, command, slot, old)
    if reason != FINE:
        used = refused(events, used, reason, seq, command)
        events[used - 1].side, events[used - 1].symbol = old.side, old.symbol
        return DONE, used, SPARE, old
    new = Taker(
        seq, old.symbol, old.side, int64(GTC), int64(command.stp), old.order_id, old.owner,
        command.price, command.quantity, old.display, old.expires,
    )  # fmt: skip
    room = _events_at_most(state, new)
    if used + room > len(events):
        return FULL, used, room, new
    used = said(events, used, REPLACED, FINE, new, new.quantity)
    if new.price == old.price and new.quantity <= old.quantity:
        shrink(state, slot, new.quantity)
        return DONE, used, room, new
    leave(state, slot)
    return _enter(state, used, room, new)


@inner()
def _begin_rare(
    state: State, command: Any, events: Any, used: int, seq: int
) -> tuple[int, int, int]:
    """What concerns no single order: dates and auctions."""
    if command.op == EXPIRE:
        soonest = state.dates[0]
        if state.meta[DATED] == 0 or ref(state.orders, soonest).expires > command.expires:
            return DONE, used, SPARE
        return AGAIN, cancel(state, events, used, soonest, seq, R_EXPIRED), SPARE
    reason, room = FINE, SPARE
    if command.op > AUCTION:
        reason = R_MALFORMED
    elif command.symbol < 0 or command.symbol >= state.meta[SYMBOLS]:
        reason = R_SYMBOL
    elif command.op == UNCROSS:
        room = _room_to_uncross(state, command.symbol)
        if used + room > len(events):
            return FULL, used, room
        begun = used
        used = uncross(state, events, used, command.symbol, command.price, seq)
        state.phases[command.symbol] = 0
        note_trades(state, events, begun, used, command.symbol, seq)
    elif command.quantity == 0 and _is_crossed(state, command.symbol):
        reason = R_AUCTION
    else:
        state.phases[command.symbol] = 1 if command.quantity != 0 else 0
    if reason != FINE:
        used = refused(events, used, reason, seq, command)
    return DONE, used, room


@inner()
def _room_to_uncross(state: State, symbol: int) -> int:
    return (
        SPARE
        + ref(state.sides, 2 * symbol + BUY).slices
        + ref(state.sides, 2 * symbol + SELL).slices
    )


@inner()
def _is_crossed(state: State, symbol: int) -> bool:
    return ref(state.sides, 2 * symbol + BUY).best >= ref(state.sides, 2 * symbol + SELL).best
