"""Stops that a trade wakes, one at a time.

A trade wakes the buy stops whose trigger is at or below its price and the sell stops whose trigger
is at or above it. They come after the command that traded is done: buy stops first, the lowest
trigger first, then sell stops from the highest; equal triggers in order of arrival. What they
trade widens the range of prices that wakes, until nobody is left to wake.
"""

from __future__ import annotations

from typing import Any

from kernels.compile import inner
from kernels.matching.layout import (
    BUY,
    ELECTING,
    HIGH,
    LOW,
    SELL,
    SEQ,
    SYMBOLS,
    TRADE,
    WIDTH,
    State,
)
from kernels.matching.words import ref


@inner(forceinline=True)
def note_trades(state: State, events: Any, begin: int, end: int, symbol: int, seq: int) -> None:
    """Have the trades among these events wake stops of the symbol, if it has any."""
    if begin == end:
        return
    row = state.meta[SYMBOLS] + symbol
    if ref(state.sides, 2 * row).orders + ref(state.sides, 2 * row + 1).orders > 0:
        _widen(state, events, begin, end, symbol, seq)


@inner()
def _widen(state: State, events: Any, begin: int, end: int, symbol: int, seq: int) -> None:
    for at in range(begin, end):
        if events[at].kind == TRADE:
            price = events[at].price
            if state.meta[ELECTING] < 0:
                state.meta[ELECTING], state.meta[SEQ] = symbol, seq
                state.meta[LOW] = state.meta[HIGH] = price
            state.meta[LOW] = min(state.meta[LOW], price)
            state.meta[HIGH] = max(state.meta[HIGH], price)


@inner()
def next_stop(state: State) -> int:
    """The slot of the stop to wake next, or 0."""
    row, width = state.meta[SYMBOLS] + state.meta[ELECTING], state.meta[WIDTH]
    lowest_buy = ref(state.sides, 2 * row + SELL).best
    if lowest_buy <= state.meta[HIGH]:
        return ref(state.levels, 2 * (row * width + lowest_buy) + SELL).head
    highest_sell = ref(state.sides, 2 * row + BUY).best
    if highest_sell > 0 and highest_sell >= state.meta[LOW]:
        return ref(state.levels, 2 * (row * width + highest_sell) + BUY).head
    return 0
