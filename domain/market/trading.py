"""What the owner of an issue keeps of its trading: the book, whose orders are in it, the phase.

The kernel's book knows numbers alone; here they are users, money and dates. The two are changed
together (`domain.market.advance`) and never apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from domain.market.book import Book, Resting
from domain.market.depth import Depth
from domain.market.entries import CHAIN_BYTES
from domain.market.prices import PriceRecord
from domain.market.quotes import quotable
from messages.market.orders import (
    DepthLevel,
    EndReason,
    OrderStatus,
    Output,
    Phase,
    Side,
)

MIN_WIDTH, MAX_WIDTH = 1 << 10, 1 << 18  # ticks; a power of two
_SIDES = {side.value: side for side in Side}
QUOTED_LEVELS = 8  # of a side: what is not worth a quote by then is none
ROOM = 16  # how often the issue price must fit, so that a book need not be made anew soon


class OpenOrder(msgspec.Struct, array_like=True):
    """An order in the book. Changed in place. Prices in ticks.

    shares: all of it.  paid_minor: for what was filled, without fees.  held_minor: cash set aside.
    maker_bps, taker_bps: its fees, fixed when it was placed.  waiting: a stop that sleeps.
    """

    order_id: int
    user_id: str
    side: Side
    shares: int
    left: int
    price: int
    stop: int
    display: int
    expires_at_ms: int
    maker_bps: int
    taker_bps: int
    placed_at_ms: int
    held_minor: int = 0
    filled: int = 0
    paid_minor: int = 0
    fee_minor: int = 0
    waiting: bool = False

    @property
    def most_bps(self) -> int:
        """The higher of its fees, which a hold reckons with."""
        return max(self.maker_bps, self.taker_bps)

    def fields(
        self, issue_id: str, tick_minor: int, now_ms: int, reason: EndReason = EndReason.NONE
    ) -> tuple[Any, ...]:
        """The order as its owner sees it, ended if there is a reason: the fields of `OrderView`."""
        status = OrderStatus.WAITING if self.waiting else OrderStatus.OPEN
        if reason:
            filled = reason is EndReason.FILLED
            status = OrderStatus.FILLED if filled else OrderStatus.CANCELLED
        return (
            issue_id,
            self.order_id,
            self.user_id,
            self.side,
            status,
            reason,
            self.shares,
            self.filled,
            0 if reason else self.left,
            self.price * tick_minor,
            self.stop * tick_minor,
            self.display,
            self.expires_at_ms,
            self.paid_minor,
            self.fee_minor,
            0 if reason else self.held_minor,
            self.placed_at_ms,
            now_ms,
        )


class StoredTrading(msgspec.Struct, frozen=True):
    """Trading as a snapshot keeps it."""

    max_price: int
    capacity: int
    resting: tuple[Resting, ...]
    orders: tuple[OpenOrder, ...]
    owners: tuple[str, ...]
    number: int
    last_order_id: int
    last_trade_id: int
    chain: bytes
    phase: Phase
    until_ms: int
    last: int
    depth_number: int
    prices: PriceRecord
    auctioned: tuple[int, int]


class Trading:
    """The trading of one issue, from the moment when it was first opened.

    number, chain: of the book's last entry.  last: the price of the last trade, in ticks, or 0.
    until_ms: when the phase ends by itself, or 0.  owners: users by the number that the book has.
    prices: what quotes and trades were worth.  auctioned: the last auction's price and moment.
    references: INDEX, SETTLE and a fresh auction's price, in ticks, as they were when somebody last
    looked, at `referred_ms`: not part of what is kept, nor does anything but a band follow.
    """

    def __init__(self, tick_minor: int, max_price: int, capacity: int) -> None:
        self.tick_minor = tick_minor
        self.max_price = max_price
        self.capacity = capacity
        self.book = Book(capacity, max_price, Output)
        self.orders: dict[int, OpenOrder] = {}
        self.owners: list[str] = []
        self.number = 0
        self.last_order_id = 0
        self.last_trade_id = 0
        self.chain = bytes(CHAIN_BYTES)
        self.phase = Phase.CLOSED
        self.until_ms = 0
        self.last = 0
        self.depth = Depth()
        self.prices = PriceRecord()
        self.auctioned = (0, 0)
        self.references = (0, 0, 0)
        self.referred_ms = 0
        self._owner_of: dict[str, int] = {}
        self._open: dict[str, int] = {}
        self.quoted = (0, 0)  # as the price record last saw it, in minor units

    def owner(self, user_id: str) -> int:
        """The book's number of a user, or the one that it would get."""
        return self._owner_of.get(user_id, len(self.owners))

    def open_orders(self, user_id: str) -> int:
        """How many orders of a user are in the book."""
        return self._open.get(user_id, 0)

    def add(self, order: OpenOrder) -> None:
        """Know an order that the book took."""
        user_id = order.user_id
        if user_id not in self._owner_of:
            self._owner_of[user_id] = len(self.owners)
            self.owners.append(user_id)
        self.orders[order.order_id] = order
        self._open[user_id] = self._open.get(user_id, 0) + 1

    def remove(self, order: OpenOrder) -> None:
        """Forget an order that left the book."""
        del self.orders[order.order_id]
        left = self._open[order.user_id] - 1
        if left:
            self._open[order.user_id] = left
        else:
            del self._open[order.user_id]

    def take_changes(self) -> tuple[DepthLevel, ...]:
        """The levels that the book shows differently since they were last taken."""
        put, tick = self.depth.put, self.tick_minor
        found = [
            DepthLevel(_SIDES[c.side], c.price_ticks * tick, c.quantity)
            for c in self.book.take_changes()
        ]
        return tuple([level for level in found if put(level)])

    def note_quotes(self, now_ms: int, changed: Iterable[DepthLevel]) -> None:
        """Have the price record see the best prices that enough stands behind."""
        if not any(map(self._may_move_quote, changed)):
            return
        bid, ask = self.quotes()
        self.prices.observe_quote(now_ms, bid, ask)
        self.quoted = bid * self.tick_minor, ask * self.tick_minor

    def quotes(self) -> tuple[int, int]:
        """The best bid and ask that enough stands behind, in ticks, 0 where there is none."""
        bids, asks = self.book.depth(QUOTED_LEVELS)
        floor_minor, tick = self.prices.policy.min_quote_minor, self.tick_minor
        return (
            quotable([level[:2] for level in bids], tick, floor_minor),
            quotable([level[:2] for level in asks], tick, floor_minor),
        )

    def _may_move_quote(self, level: DepthLevel) -> bool:
        """What is worse than the price that enough stands behind already does not."""
        bid, ask = self.quoted
        return (
            level.price_minor >= bid
            if level.side is Side.BUY
            else level.price_minor <= ask or not ask
        )


def width(price_minor: int, tick_minor: int) -> int:
    """How many prices the book of an issue that is sold at a price has: a power of two."""
    wanted = 1 << (ROOM * price_minor // tick_minor).bit_length()
    return max(MIN_WIDTH, min(wanted, MAX_WIDTH))


def stored(trading: Trading) -> StoredTrading:
    """What a snapshot keeps. It shares the orders with the trading: encode it at once."""
    return StoredTrading(
        trading.max_price,
        trading.capacity,
        tuple(trading.book.resting()),
        tuple(trading.orders.values()),
        tuple(trading.owners),
        trading.number,
        trading.last_order_id,
        trading.last_trade_id,
        trading.chain,
        trading.phase,
        trading.until_ms,
        trading.last,
        trading.depth.number,
        trading.prices,
        trading.auctioned,
    )


def restored(kept: StoredTrading, tick_minor: int) -> Trading:
    """The trading that a snapshot kept."""
    made = Trading(tick_minor, kept.max_price, kept.capacity)
    made.number, made.chain = kept.number, kept.chain
    made.last_order_id, made.last_trade_id = kept.last_order_id, kept.last_trade_id
    made.phase, made.until_ms, made.last = kept.phase, kept.until_ms, kept.last
    made.owners = list(kept.owners)
    made._owner_of = {user_id: number for number, user_id in enumerate(kept.owners)}
    for order in kept.orders:
        made.add(order)
    made.book.restore(kept.resting, in_auction=kept.phase is not Phase.CONTINUOUS)
    for side, levels in zip(Side, made.book.depth(len(kept.orders)), strict=True):
        for level in levels:
            made.depth.put(DepthLevel(side, level.price_ticks * tick_minor, level.quantity))
    made.depth.number = kept.depth_number
    made.prices, made.auctioned = kept.prices, kept.auctioned
    bid, ask = made.quotes()  # which it has seen, as no change of them was overlooked
    made.quoted = bid * tick_minor, ask * tick_minor
    return made
