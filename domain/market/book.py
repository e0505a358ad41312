"""The order book of one symbol: a thin face of the matching kernel.

Orders trade by price, then by time, at integer ticks, at the resting order's price. A book is a
machine: the same calls in the same order give the same events and the same state hash anywhere.
It has no clock; who calls says what time it is. Prices are ticks from 1 to max_price - 1,
quantities are whole shares, times are milliseconds; every integer fits 64 bits with its sign.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from kernels.matching import (
    AUCTION,
    BUY,
    CANCEL,
    CHANGE,
    COMMAND,
    EVENT,
    EXPIRE,
    KINDS,
    NEW,
    REASONS,
    REPLACE,
    RESTING,
    SELL,
    SIDES,
    STPS,
    TIFS,
    UNCROSS,
    Market,
    state_hash,
    state_lines,
)

Side = Literal["buy", "sell"]
Tif = Literal["gtc", "ioc", "fok", "post", "market"]
Stp = Literal["none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement"]

FIRST_EVENTS = 256  # of the buffer, which grows where one command can cause more
FIRST_LEVELS = 64
NO_TRIGGER = 0
NEVER = 0
BEYOND_PRICES = (1 << 31) - 1  # a trigger that is refused as any too high one is

_COMMAND, _EVENT = struct.Struct("<BBBBi7q"), struct.Struct("<BBBBi7q")
_CHANGE, _RESTING = struct.Struct("<iiiiq"), struct.Struct("<BBBBi8q")
_SIDE = struct.Struct("<i")
_SIDE_CODES = {word: code for code, word in enumerate(SIDES)}
_TIF_CODES = {word: code for code, word in enumerate(TIFS)}
_STP_CODES = {word: code for code, word in enumerate(STPS)}


class Event(NamedTuple):
    """What happened, in order. A field that does not apply is 0 or empty.

    kind: ack trade cancelled rejected replaced decremented triggered. Of a trade, order_id, owner
    and side are the taker's (in a call auction, the buyer's).
    """

    kind: str
    side: str
    reason: str
    price_ticks: int
    quantity: int
    order_id: int
    maker_order_id: int
    owner: int
    maker_owner: int


class Level(NamedTuple):
    """A price, what is shown there, and by how many orders."""

    price_ticks: int
    quantity: int
    orders: int


class Change(NamedTuple):
    """A level as it is now; quantity 0 where nothing is shown any more."""

    side: str
    price_ticks: int
    quantity: int
    orders: int


class Resting(NamedTuple):
    """A live order: all that `restore` needs. Without a stop, tif and stp say nothing more.

    quantity: what it shows, or all of a stop that waits; hidden: what an iceberg has besides.
    """

    order_id: int
    owner: int
    side: str
    price_ticks: int
    quantity: int
    hidden: int = 0
    display: int = 0
    stop: int = NO_TRIGGER
    tif: str = "gtc"
    stp: str = "none"
    expires_at_ms: int = NEVER


class Book:
    """One symbol's orders, changed in place; not for two threads at a time.

    capacity_orders: how many may rest and wait at once; one more is refused with `capacity`.
    event: what an event is made as, of the fields of `Event`.
    """

    def __init__(
        self, capacity_orders: int, max_price: int, event: Callable[..., Any] = Event
    ) -> None:
        self._made_as = event
        self.max_price = max_price
        self.in_auction = False
        self._market = Market(1, max_price, capacity_orders)
        command = np.zeros(1, COMMAND)
        self._command = command.view(np.uint8).data
        self._market.give_commands(command)
        self._take_buffers(FIRST_EVENTS)
        self._make_levels(FIRST_LEVELS)
        self._sides = self._market.state.sides.view(np.uint8, np.ndarray).data

    def submit(  # noqa: PLR0913 - one call an order, and a struct to carry it would double its cost
        self,
        order_id: int,
        side: Side,
        tif: Tif,
        stp: Stp,
        owner: int,
        price_ticks: int,
        quantity: int,
        *,
        display: int = 0,
        stop: int = NO_TRIGGER,
        expires_at_ms: int = NEVER,
    ) -> list[Event]:
        """Place an order; a market order's price does not matter.

        display: the most that an iceberg shows; stop: the price of a trade that wakes the order.
        """
        trigger = stop if -BEYOND_PRICES <= stop <= BEYOND_PRICES else BEYOND_PRICES
        _COMMAND.pack_into(
            self._command, 0, NEW, _SIDE_CODES[side], _TIF_CODES[tif], _STP_CODES[stp], trigger,
            0, order_id, owner, price_ticks, quantity, display, expires_at_ms,
        )  # fmt: skip
        return self._run()

    def cancel(self, order_id: int, owner: int) -> list[Event]:
        """Cancel a live order of the owner."""
        _COMMAND.pack_into(self._command, 0, CANCEL, 0, 0, 0, 0, 0, order_id, owner, 0, 0, 0, 0)
        return self._run()

    def replace(
        self,
        order_id: int,
        owner: int,
        price_ticks: int,
        quantity: int,
        tif: Tif = "gtc",
        stp: Stp = "none",
    ) -> list[Event]:
        """Give a live order another price or quantity; its date and its display stay.

        At the same price and with no more than it has, it keeps its place in the queue.
        """
        _COMMAND.pack_into(
            self._command, 0, REPLACE, 0, _TIF_CODES[tif], _STP_CODES[stp], 0,
            0, order_id, owner, price_ticks, quantity, 0, 0,
        )  # fmt: skip
        return self._run()

    def expire(self, now_ms: int) -> list[Event]:
        """Cancel what was good until now or earlier, the soonest first, equal dates by id."""
        _COMMAND.pack_into(self._command, 0, EXPIRE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, now_ms)
        return self._run()

    def next_expiry_ms(self) -> int | None:
        """When `expire` will have something to do; None if no order has a date."""
        return self._market.soonest or None

    def set_auction(self, collecting: bool) -> bool:
        """Begin or end the collection of a call auction; False where a crossed book forbids it.

        While it collects, orders rest without being matched, whatever they cross; what cannot rest
        (market, ioc, fok) and post-only orders are refused with `auction`.
        """
        _COMMAND.pack_into(self._command, 0, AUCTION, 0, 0, 0, 0, 0, 0, 0, 0, int(collecting), 0, 0)
        if self._run():
            return False
        self.in_auction = collecting
        return True

    def uncross(self, reference_price_ticks: int = 0) -> list[Event]:
        """End the collection: trade all that crosses at one price, and go on continuously.

        The price of most volume; of several the one that leaves least unfilled, then the nearest
        to the reference, then the lower.
        """
        _COMMAND.pack_into(
            self._command, 0, UNCROSS, 0, 0, 0, 0, 0, 0, 0, reference_price_ticks, 0, 0, 0
        )
        self.in_auction = False
        return self._run()

    @property
    def live_orders(self) -> int:
        """How many orders rest or wait."""
        return self._market.live

    @property
    def best_bid(self) -> int | None:
        """The highest price that a resting order buys at."""
        best: int = _SIDE.unpack_from(self._sides, 0)[0]
        return best or None

    @property
    def best_ask(self) -> int | None:
        """The lowest price that a resting order sells at."""
        best: int = _SIDE.unpack_from(self._sides, 16)[0]
        return best if best < self.max_price else None

    def depth(self, levels: int) -> tuple[list[Level], list[Level]]:
        """The best bids and the best asks, so many levels of each."""
        if levels > len(self._levels):
            self._make_levels(levels)
        return self._best(BUY, levels), self._best(SELL, levels)

    def _best(self, side: int, levels: int) -> list[Level]:
        count = min(levels, self._market.best_levels(self._levels, 0, side))
        taken = self._level_bytes[: count * _CHANGE.size]
        return [
            Level(price, quantity, orders)
            for _, _, price, orders, quantity in _CHANGE.iter_unpack(taken)
        ]

    def take_changes(self) -> list[Change]:
        """The levels that changed since this was last asked, bids first, lowest price first."""
        count = self._market.changed
        if not count:
            return []
        if count > len(self._levels):
            self._make_levels(count)
        taken = self._level_bytes[: self._market.take_changes(self._levels) * _CHANGE.size]
        changes = [
            Change(SIDES[side], price, quantity, orders)
            for _, side, price, orders, quantity in _CHANGE.iter_unpack(taken)
        ]
        changes.sort()
        return changes

    def resting(self) -> list[Resting]:
        """All live orders: bids, asks, buy stops, sell stops, each in order of priority."""
        rows = self._market.dump(0).view(np.uint8).data
        return [
            Resting(
                order_id, owner, SIDES[side], price, quantity, hidden, display, stop, TIFS[tif],
                STPS[stp], expires,
            )
            for side, tif, stp, _, stop, _, order_id, owner, price, quantity, hidden, display,
            expires in _RESTING.iter_unpack(rows)
        ]  # fmt: skip

    def restore(self, orders: Sequence[Resting], *, in_auction: bool = False) -> None:
        """Bring back what `resting` said, into a book that is new: the same priority and hash.

        No level counts as changed afterwards. Raises ValueError where there is no room, or an order
        could not have been in such a book.
        """
        if self.live_orders:
            raise ValueError("only an empty book can be restored")
        rows = np.zeros(len(orders), RESTING)
        memory = rows.view(np.uint8).data
        for at, order in enumerate(orders):
            self._check(order)
            _RESTING.pack_into(
                memory, at * RESTING.itemsize, _SIDE_CODES[order.side], _TIF_CODES[order.tif],
                _STP_CODES[order.stp], 0, order.stop, 0, order.order_id, order.owner,
                order.price_ticks, order.quantity, order.hidden, order.display,
                order.expires_at_ms,
            )  # fmt: skip
        if len({order.order_id for order in orders}) != len(orders):
            raise ValueError("two orders have one id")
        self._market.load(rows)
        self.take_changes()
        if in_auction:
            self.set_auction(True)

    def state_hash(self) -> bytes:
        """SHA-256 over a line for each live order, joined by newlines, in the order of `resting`.

        `0,side,price,order_id,quantity,owner`, then for an iceberg `,hidden,display`, for a stop
        `,stop,trigger,tif,stp,display`, for an order with a date `,expires,ms`. The last line is
        `auction` while one collects.
        """
        lines = state_lines(self._market.dump(0))
        if self.in_auction:
            lines.append("auction")
        return bytes.fromhex(state_hash(lines))

    def _check(self, order: Resting) -> None:
        are_prices = 0 < order.price_ticks < self.max_price and 0 <= order.stop < self.max_price
        hides_rightly = order.hidden == 0 or (order.hidden > 0 and order.display > 0)
        if not are_prices or order.quantity <= 0 or not hides_rightly:
            raise ValueError(f"order {order.order_id} cannot rest in this book")

    def _run(self) -> list[Event]:
        """Apply the command; the events it caused."""
        market = self._market
        market.begin_again()
        found: list[Event] = []
        while True:
            try:
                used = market.run()
            except BufferError:
                self._take_buffers(2 * market.needed)
                continue
            found += _events(self._made_as, self._event_bytes[: used * _EVENT.size])
            if market.is_done:
                return found

    def _make_levels(self, count: int) -> None:
        self._levels = np.zeros(count, CHANGE)
        self._level_bytes = self._levels.view(np.uint8).data

    def _take_buffers(self, events: int) -> None:
        buffer = np.zeros(events, EVENT)
        self._event_bytes = buffer.view(np.uint8).data
        self._market.give_events(buffer)


def _events(made_as: Callable[..., Any], memory: memoryview) -> list[Any]:
    return [
        made_as(
            KINDS[kind], SIDES[side], REASONS[reason], price, quantity, order_id, maker_order_id,
            owner, maker_owner,
        )
        for kind, side, reason, _, price, _, _, order_id, maker_order_id, owner, maker_owner,
        quantity in _EVENT.iter_unpack(memory)
    ]  # fmt: skip
