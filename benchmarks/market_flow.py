"""The orders that `benchmarks/market` sends: fans of one song, in the mix that the issue names.

50 % passive limit orders, 35 % cancels, 10 % marketable ones, 5 % replacements, around one price.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count
from typing import Final

from messages.market.orders import (
    CancelOrder,
    OrderKind,
    OrderStatus,
    OrderView,
    PlaceOrder,
    ReplaceOrder,
    Side,
    TimeInForce,
)

PRICE_MINOR, TICK_MINOR = 1_000, 5
LEVELS: Final = 20  # ticks to either side that passive orders spread over
PASSIVE, CANCELS, MARKETABLE = 0.50, 0.35, 0.10  # the rest replaces

Order = PlaceOrder | CancelOrder | ReplaceOrder


class Flow:
    """One book's orders; it learns from answers which of them are open."""

    def __init__(self, issue_id: str, users: Sequence[str], seed: int) -> None:
        self.issue_id = issue_id
        self._users = users
        self._chance = random.Random(seed)
        self._numbers = count()
        self._open: list[OrderView] = []

    def next(self) -> Order:
        """The next order; what it cancels or replaces was open when last heard of."""
        drawn, side = self._chance.random(), self._chance.choice(tuple(Side))
        if drawn < PASSIVE or not self._open:
            ticks = self._chance.randint(1, LEVELS)
            return self._place(side, -ticks if side is Side.BUY else ticks, TimeInForce.GTC)
        if drawn < PASSIVE + MARKETABLE:
            ticks = LEVELS if side is Side.BUY else -LEVELS
            return self._place(side, ticks, TimeInForce.IOC)
        order = self._take()
        if drawn < PASSIVE + MARKETABLE + CANCELS:
            return CancelOrder(order.user_id, order.order_id)
        away = -TICK_MINOR if order.side is Side.BUY else TICK_MINOR
        return ReplaceOrder(
            order.user_id, self._request(), order.order_id, 1, order.limit_minor + away
        )

    def learn(self, answer: OrderView) -> None:
        """What became of an order."""
        if answer.status is OrderStatus.OPEN:
            self._open.append(answer)

    def _place(self, side: Side, ticks: int, tif: TimeInForce) -> PlaceOrder:
        price = PRICE_MINOR + ticks * TICK_MINOR
        user = self._chance.choice(self._users)
        return PlaceOrder(user, self._request(), side, OrderKind.LIMIT, tif, 1, price)

    def _request(self) -> str:
        return f"{self.issue_id[:24]}{next(self._numbers):012x}"

    def _take(self) -> OrderView:
        place = self._chance.randrange(len(self._open))
        self._open[place], self._open[-1] = self._open[-1], self._open[place]
        return self._open.pop()
