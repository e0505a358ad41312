"""A market in memory: many books, commands in, events and changed levels out."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.matching import entry, rows
from kernels.matching.layout import (
    CAPACITY,
    CHANGE,
    CHANGES,
    COMMAND,
    DATED,
    EVENT,
    LIVE,
    RESTING,
    Array,
    make_state,
)
from kernels.matching.run import NEEDED, NEXT, NUMBER, SPARE, USED, run

MIN_EVENTS = SPARE
_IS_COMPILED = hasattr(entry.run_at, "signatures")


class Market:
    """Books of `symbols`, with prices 1 to max_price - 1 and `capacity` orders in all.

    Not for two threads at a time. Raises ValueError for sizes beyond the limits.
    """

    def __init__(self, symbols: int, max_price: int, capacity: int) -> None:
        self.state = make_state(symbols, max_price, capacity)
        self.table = np.zeros(entry.WORDS, np.int64)
        self.progress = self.table[entry.PROGRESS :]
        self._given: dict[int, Array] = {}
        self._last: dict[int, Array] = {}  # as they came
        self.is_done = True
        self._words = self.progress.data
        self._address = int(self.table.ctypes.data)
        for at, array in enumerate(self.state):
            self._give(at, array)

    def give_commands(self, commands: Array, first_seq: int = 0) -> None:
        """Say which commands come next, a contiguous array of COMMAND; `seq` counts from there."""
        self._give_typed(entry.COMMANDS, commands, COMMAND)
        self.progress[NEXT], self.progress[NUMBER] = 0, first_seq

    def give_events(self, events: Array) -> None:
        """Say where events go: a contiguous, writable array of EVENT, at least MIN_EVENTS."""
        if len(events) < MIN_EVENTS or not events.flags.writeable:
            raise ValueError(f"events need a writable buffer of {MIN_EVENTS} or more")
        self._give_typed(entry.EVENTS, events, EVENT)

    def run(self) -> int:
        """Apply commands until all are done or the events are full. Returns the events written.

        `is_done` tells which. Raises BufferError where one command may cause more events than the
        whole buffer holds (`needed` says how many); nothing of it is done, and a larger buffer
        lets it go on.
        """
        if _IS_COMPILED:
            is_done = entry.run_at(self._address)
        else:
            given = self._given
            is_done = run(self.state, given[entry.COMMANDS], given[entry.EVENTS], self.progress)
        self.is_done = bool(is_done)
        used = self._words[USED]
        if not is_done and not used:
            raise BufferError(f"one command may cause {self.needed} events")
        return used

    def begin_again(self) -> None:
        """Have the same memory read as new commands: whoever gave it has written others there."""
        self._words[NEXT] = 0

    @property
    def next_command(self) -> int:
        """The index of the first command that has not begun."""
        return int(self.progress[NEXT])

    @property
    def needed(self) -> int:
        """How many events must fit for the next command to be done."""
        return int(self.progress[NEEDED])

    @property
    def changed(self) -> int:
        """How many levels changed since they were last taken."""
        return int(self.state.meta[CHANGES])

    @property
    def live(self) -> int:
        """How many orders rest or wait."""
        return int(self.state.meta[LIVE])

    @property
    def soonest(self) -> int:
        """The earliest date of an order; 0 if none has one."""
        if not self.state.meta[DATED]:
            return 0
        return int(self.state.orders["expires"][self.state.dates[0]])

    def take_changes(self, out: Array) -> int:
        """Write changed levels as they are now, as many as `out` (of CHANGE) holds; how many."""
        self._give_typed(entry.CHANGES_OUT, out, CHANGE)
        if _IS_COMPILED:
            return int(entry.take_changes_at(self._address))
        return int(rows.take_changes(self.state, self._given[entry.CHANGES_OUT]))

    def best_levels(self, out: Array, symbol: int, side: int) -> int:
        """Write the best levels of a side, as many as `out` (of CHANGE) holds. Returns how many."""
        self._give_typed(entry.CHANGES_OUT, out, CHANGE)
        self.progress[entry.SYMBOL], self.progress[entry.SIDE_ASKED] = symbol, side
        if _IS_COMPILED:
            return int(entry.best_levels_at(self._address))
        return int(rows.best_levels(self.state, self._given[entry.CHANGES_OUT], symbol, side))

    def dump(self, symbol: int) -> Array:
        """All orders of a symbol as RESTING, by priority: bids, asks, buy stops, sell stops."""
        orders = self.state.sides["orders"]
        ends = (2 * symbol, 2 * (len(self.state.phases) + symbol))
        out = np.zeros(sum(int(orders[at] + orders[at + 1]) for at in ends), RESTING)
        self._give_typed(entry.RESTING_ROWS, out, RESTING)
        self.progress[entry.SYMBOL] = symbol
        if _IS_COMPILED:
            entry.dump_at(self._address)
        else:
            rows.dump(self.state, self._given[entry.RESTING_ROWS], symbol)
        return out

    def load(self, resting: Array) -> None:
        """Put orders into a market that has none of their ids, as `dump` wrote them.

        They are trusted: of books that were not crossed, with ids that differ. Raises ValueError
        where there is no room for them.
        """
        if len(resting) > self.state.meta[CAPACITY] - self.live:
            raise ValueError(f"{len(resting)} orders, and there is no room for so many")
        self._give_typed(entry.RESTING_ROWS, resting, RESTING)
        if _IS_COMPILED:
            entry.load_at(self._address)
        else:
            rows.load(self.state, self._given[entry.RESTING_ROWS])

    def _give_typed(self, at: int, array: Array, dtype: np.dtype[Any]) -> None:
        if array is self._last.get(at):
            return
        if array.dtype != dtype or array.ndim != 1 or not array.flags.c_contiguous:
            raise ValueError(f"a contiguous array of {dtype.names} is needed")
        self._give(at, array)
        self._last[at] = array

    def _give(self, at: int, array: Array) -> None:
        """Keep the array and its address; without the compiler, records are needed."""
        self._given[at] = array if array.dtype.names is None else array.view(np.recarray)
        self.table[2 * at], self.table[2 * at + 1] = array.ctypes.data, len(array)


def compile_all() -> None:
    """Have every kernel in memory: from nothing half a minute, from the cache a blink."""
    market, levels = Market(1, 2, 1), np.zeros(1, CHANGE)
    market.give_commands(np.zeros(1, COMMAND))
    market.give_events(np.zeros(MIN_EVENTS, EVENT))
    market.run()
    market.take_changes(levels)
    market.best_levels(levels, 0, 0)
    market.load(market.dump(0))
