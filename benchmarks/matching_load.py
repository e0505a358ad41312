"""Streams of orders for the benchmark: made once with a seed, each live order known.

The mix is 50 % passive limit orders, 35 % cancels, 10 % that trade at once, 5 % replaced. The maker
of the stream plays it through a market as it goes, so that cancels and replaces name orders that
live, prices follow the best ones, and the book neither empties nor fills. In a crash four of five
of the orders that trade at once sell, and all of them are large and reach deep.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from kernels.matching import BUY, CANCEL, COMMAND, EVENT, NEW, REPLACE, SELL, Market
from kernels.matching.layout import ACK, CANCELLED, GTC, IOC, REPLACED, TRADE, Array

MAX_PRICE = 4096
MIDDLE = MAX_PRICE // 2
CRASH_REACH, CRASH_SIZE = 400, 8
OWNERS = 1000
REACH = 4  # ticks behind the best that an order which trades at once will take
ROW, EVENT_ROW = struct.Struct("<BBBBi7q"), struct.Struct("<BBBBi7q")
CAPACITY = 1 << 17


@dataclass(slots=True)
class _Live:
    """Orders that rest, for a uniform choice in constant time."""

    ids: list[int] = field(default_factory=list)
    left: dict[int, list[int]] = field(default_factory=dict)  # place, symbol, side, price, quantity

    def add(self, order_id: int, symbol: int, side: int, price: int, quantity: int) -> None:
        self.left[order_id] = [len(self.ids), symbol, side, price, quantity]
        self.ids.append(order_id)

    def drop(self, order_id: int) -> None:
        place = self.left.pop(order_id)[0]
        last = self.ids.pop()
        if last != order_id:
            self.ids[place] = last
            self.left[last][0] = place

    def fill(self, order_id: int, quantity: int) -> None:
        row = self.left.get(order_id)
        if row is not None:
            row[4] -= quantity
            if row[4] == 0:
                self.drop(order_id)


class Maker:
    """Makes a stream, command by command."""

    def __init__(self, symbols: int, seed: int, *, is_crash: bool = False) -> None:
        self.is_crash = is_crash
        self.random = np.random.default_rng(seed)
        self.symbols = symbols
        self.market = Market(symbols, MAX_PRICE, CAPACITY)
        self.command = np.zeros(1, COMMAND)
        self.bytes = self.command.view(np.uint8).data
        events = np.zeros(CAPACITY + 8, EVENT)
        self.event_bytes = events.view(np.uint8).data
        self.market.give_commands(self.command)
        self.market.give_events(events)
        self.live = _Live()
        self.out: list[bytes] = []
        self.next_id = 1
        self.resting = 0

    def stream(self, count: int, resting: int) -> Array:
        """So many commands after those that fill the books to `resting` orders."""
        size, self.resting = count + resting, resting
        draws = self.random.random((size, 4))
        far = np.minimum(self.random.geometric(0.12, size), 400)
        quantities = self.random.integers(1, 100, size)
        for at in range(size):
            what = 0.0 if at < resting else float(draws[at, 0])
            self._one(what, draws[at], int(far[at]), int(quantities[at]))
        return np.frombuffer(b"".join(self.out), COMMAND)

    def _one(self, what: float, draw: Array, far: int, quantity: int) -> None:
        live = self.live
        side = int(draw[2] < 0.5)
        if what < 0.5 or not live.ids:
            symbol = int(draw[1] * self.symbols)
            self._place(symbol, side, self._behind(symbol, side, far), quantity, GTC)
        elif what < 0.85:
            chosen = live.ids[int(draw[1] * len(live.ids))]
            row = live.left[chosen]
            self._apply(CANCEL, row[2], GTC, row[1], chosen, 0, 0)
        elif what < 0.95:
            symbol, reach = int(draw[1] * self.symbols), REACH
            if self.is_crash:
                side, reach = int(draw[3] < 0.8), CRASH_REACH
                quantity *= CRASH_SIZE
            price = self._best(symbol, 1 - side)
            price = min(max(price + (reach if side == BUY else -reach), 1), MAX_PRICE - 1)
            # As much more than an order as keeps the book at the size it was filled to.
            size = quantity * 3 if len(live.ids) > self.resting else max(1, quantity // 2)
            self._place(symbol, side, price, size, IOC)
        else:
            chosen = live.ids[int(draw[1] * len(live.ids))]
            row = live.left[chosen]
            price = row[3] if draw[3] < 0.4 else self._behind(row[1], row[2], far)
            self._apply(REPLACE, row[2], GTC, row[1], chosen, price, max(1, row[4] - quantity // 9))

    def _best(self, symbol: int, side: int) -> int:
        best = int(self.market.state.sides["best"][2 * symbol + side])
        return best if 0 < best < MAX_PRICE else MIDDLE

    def _behind(self, symbol: int, side: int, far: int) -> int:
        """A price that does not trade: so far behind the other side's best."""
        best = self._best(symbol, 1 - side)
        return min(max(best + (far if side == SELL else -far), 1), MAX_PRICE - 1)

    def _place(self, symbol: int, side: int, price: int, quantity: int, tif: int) -> None:
        self._apply(NEW, side, tif, symbol, self.next_id, price, quantity)
        self.next_id += 1

    def _apply(
        self, op: int, side: int, tif: int, symbol: int, order_id: int, price: int, quantity: int
    ) -> None:
        owner = order_id % OWNERS
        row = (op, side, tif, 0, 0, symbol, order_id, owner, price, quantity, 0, 0)
        ROW.pack_into(self.bytes, 0, *row)
        self.out.append(ROW.pack(*row))
        self.market.begin_again()
        used = self.market.run()
        self._follow(used, side, symbol)

    def _follow(self, used: int, side: int, symbol: int) -> None:
        """Keep what lives in step with what was said."""
        live = self.live
        for event in EVENT_ROW.iter_unpack(self.event_bytes[: used * EVENT.itemsize]):
            kind, price, order_id, maker, quantity = (
                event[0],
                event[4],
                event[7],
                event[8],
                event[11],
            )
            if kind in (ACK, REPLACED):
                if kind == REPLACED:
                    live.drop(order_id)
                live.add(order_id, symbol, side, price, quantity)
            elif kind == TRADE:
                live.fill(order_id, quantity)
                live.fill(maker, quantity)
            elif kind == CANCELLED:
                live.drop(order_id)
