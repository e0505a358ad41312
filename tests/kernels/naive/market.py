"""Order books as one would explain them: lists in order of priority, every rule in plain words.

The twin of `kernels.matching`: slow, and meant to be right by looking at it.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

MOST = 2**63 - 1
SLICES = 100
OTHER = {"buy": "sell", "sell": "buy"}


class Command(NamedTuple):
    """What a market is told. Ops beyond the replay's: expire, uncross, auction."""

    op: str
    side: str = "buy"
    tif: str = "gtc"
    stp: str = "none"
    symbol: int = 0
    owner: int = 0
    price: int = 0
    quantity: int = 0
    order_id: int = 0
    stop: int = 0
    display: int = 0
    expires: int = 0


class Event(NamedTuple):
    """What a market says."""

    kind: str
    seq: int
    symbol: int
    side: str
    reason: str
    price: int
    quantity: int
    order_id: int
    maker_order_id: int
    owner: int
    maker_owner: int


@dataclass
class Order:
    """A live order, or one on its way in. `shown` is all of it until it rests as an iceberg."""

    order_id: int
    owner: int
    symbol: int
    side: str
    price: int
    shown: int
    hidden: int = 0
    tif: str = "gtc"
    stp: str = "none"
    stop: int = 0
    display: int = 0
    expires: int = 0
    seq: int = 0

    @property
    def left(self) -> int:
        return self.shown + self.hidden


def _line(o: Order) -> str:
    line = f"{o.symbol},{o.side},{o.price},{o.order_id},{o.shown},{o.owner}"
    if o.stop:
        line += f",stop,{o.stop},{o.tif},{o.stp},{o.display}"
    elif o.display:
        line += f",{o.hidden},{o.display}"
    return line + (f",expires,{o.expires}" if o.expires else "")


def _book() -> dict[str, list[Order]]:
    return {"buy": [], "sell": []}


@dataclass
class Market:
    """`resting` and `waiting` hold, by symbol and side, orders in order of priority."""

    symbols: int
    max_price: int
    capacity: int
    collecting: set[int] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.resting = [_book() for _ in range(self.symbols)]
        self.waiting = [_book() for _ in range(self.symbols)]

    # -- commands ------------------------------------------------------------------------------

    def apply(self, seq: int, command: Command) -> list[Event]:
        """Do it; what happened."""
        self.events = []
        getattr(self, command.op)(seq, command)
        trades = [event.price for event in self.events if event.kind == "trade"]
        if trades:
            self._wake(seq, self.events[-1].symbol)
        return self.events

    def new(self, seq: int, c: Command) -> None:
        if reason := self._why_not_new(c):
            return self._refuse(seq, c, reason)
        price = c.price
        if c.tif == "market":
            price = self.max_price - 1 if c.side == "buy" else 1
        order = Order(
            c.order_id, c.owner, c.symbol, c.side, price, c.quantity, 0, c.tif, c.stp, c.stop,
            c.display, c.expires, seq,
        )  # fmt: skip
        if c.stop:
            if reason := self._why_no_room(self._waiting_at(c), c.quantity):
                return self._refuse(seq, c, reason)
            self._say("ack", order)
            ahead = [o for o in self.waiting[c.symbol][c.side] if not self._wakes_later(o, order)]
            self.waiting[c.symbol][c.side].insert(len(ahead), order)
            return None
        if reason := self._why_not_now(order):
            return self._refuse(seq, c, reason)
        self._say("ack", order)
        self._enter(order)
        return None

    def cancel(self, seq: int, c: Command) -> None:
        order = self._find(c.order_id)
        if order is None or order.owner != c.owner:
            return self._refuse(seq, c, "owner" if order else "unknown")
        self._remove(order)
        self._say("cancelled", order, "user", seq=seq)
        return None

    def replace(self, seq: int, c: Command) -> None:
        order = self._find(c.order_id)
        if order is None or order.owner != c.owner:
            return self._refuse(seq, c, "owner" if order else "unknown")
        if reason := self._why_not_replace(order, c):
            return self._refuse(seq, c._replace(side=order.side, symbol=order.symbol), reason)
        new = copy.copy(order)
        new.price, new.shown, new.hidden = c.price, c.quantity, 0
        new.tif, new.stp, new.seq = "gtc", c.stp, seq
        self._say("replaced", new)
        if c.price == order.price and c.quantity <= order.left:
            taken = order.left - c.quantity
            from_hidden = min(taken, order.hidden)
            order.hidden -= from_hidden
            order.shown -= taken - from_hidden
        else:
            self._remove(order)
            self._enter(new)
        return None

    def expire(self, seq: int, c: Command) -> None:
        due = [order for order in self.live() if 0 < order.expires <= c.expires]
        for order in sorted(due, key=lambda order: (order.expires, order.order_id)):
            self._remove(order)
            self._say("cancelled", order, "expired", seq=seq)

    def auction(self, seq: int, c: Command) -> None:
        if not 0 <= c.symbol < self.symbols:
            return self._refuse(seq, c, "symbol")
        book = self.resting[c.symbol]
        is_crossed = book["buy"] and book["sell"] and book["buy"][0].price >= book["sell"][0].price
        if not c.quantity and is_crossed:
            return self._refuse(seq, c, "auction")
        (self.collecting.add if c.quantity else self.collecting.discard)(c.symbol)
        return None

    def uncross(self, seq: int, c: Command) -> None:
        if not 0 <= c.symbol < self.symbols:
            return self._refuse(seq, c, "symbol")
        self.collecting.discard(c.symbol)
        book = self.resting[c.symbol]

        def worth(price: int) -> tuple[int, int, int, int]:
            demand = min(MOST, sum(o.left for o in book["buy"] if o.price >= price))
            supply = min(MOST, sum(o.left for o in book["sell"] if o.price <= price))
            volume = min(demand, supply)
            return volume, -abs(demand - supply), -abs(price - c.price), -price

        prices = range(1, self.max_price)
        best = max(prices, key=worth)
        if worth(best)[0] == 0:
            return None
        while book["buy"] and book["sell"]:
            bid, ask = book["buy"][0], book["sell"][0]
            if bid.price < best or ask.price > best:
                break
            taken = min(bid.shown, ask.shown)
            bid.seq = seq
            self._say("trade", bid, quantity=taken, price=best, maker=ask)
            self._take(bid, taken)
            self._take(ask, taken)
        return None

    # -- reasons -------------------------------------------------------------------------------

    def _why_not_new(self, c: Command) -> str:
        can_rest = c.tif in ("gtc", "post")
        tests = {
            "symbol": not 0 <= c.symbol < self.symbols,
            "quantity": c.quantity <= 0,
            "price": c.tif != "market" and not self._is_price(c.price),
            "duplicate": self._find(c.order_id) is not None,
            "stop": c.stop != 0 and (not self._is_price(c.stop) or c.tif in ("post", "fok")),
            "display": c.display != 0
            and (c.display < 0 or c.quantity // c.display >= SLICES or not can_rest),
            "expiry": c.expires < 0 or (c.expires > 0 and not c.stop and not can_rest),
        }
        return next((reason for reason, holds in tests.items() if holds), "")

    def _why_not_now(self, order: Order) -> str:
        if order.symbol in self.collecting:
            if order.tif != "gtc":
                return "auction"
        elif order.tif == "post" and self._crosses(order, order.price):
            return "post_only"
        elif order.tif == "fok" and not self._could_fill(order):
            return "fok"
        if order.tif in ("gtc", "post"):
            return self._why_no_room(self._resting_at(order, order.price), order.left)
        return ""

    def _why_not_replace(self, order: Order, c: Command) -> str:
        others = [o for o in self._resting_at(order, c.price) if o is not order]
        grows = c.price != order.price or c.quantity > order.left
        tests = {
            "quantity": c.quantity <= 0,
            "price": not self._is_price(c.price),
            "stop": order in self.waiting[order.symbol][order.side],
            "display": order.display and c.quantity // order.display >= SLICES,
            "auction": c.tif == "post" and order.symbol in self.collecting,
            "post_only": c.tif == "post" and self._crosses(order, c.price),
            "capacity": grows and sum(o.left for o in others) + c.quantity > MOST,
        }
        return next((reason for reason, holds in tests.items() if holds), "")

    def _why_no_room(self, level: list[Order], quantity: int) -> str:
        is_full = len(self.live()) >= self.capacity
        return "capacity" if is_full or sum(o.left for o in level) + quantity > MOST else ""

    def _could_fill(self, order: Order) -> bool:
        """Play it through in a copy; any own order ends it, unless the rule cancels those."""
        other = copy.copy(self)
        makers = [copy.copy(maker) for maker in self.resting[order.symbol][OTHER[order.side]]]
        other.resting = [{OTHER[order.side]: makers} for _ in self.resting]
        trial = copy.copy(order)
        trial.tif = "ioc"
        trial.stp = order.stp if order.stp in ("none", "cancel_oldest") else "cancel_newest"
        other.events = []
        other._enter(trial)
        return sum(e.quantity for e in other.events if e.kind == "trade") == order.left

    # -- matching ------------------------------------------------------------------------------

    def _enter(self, order: Order) -> None:
        if order.symbol not in self.collecting:
            self._match(order)
        if order.shown:
            if order.tif in ("gtc", "post"):
                self._rest(order)
            else:
                self._say("cancelled", order, "ioc")

    def _match(self, order: Order) -> None:
        makers = self.resting[order.symbol][OTHER[order.side]]
        while order.shown and makers and self._reaches(order, makers[0].price):
            maker = makers[0]
            taken = min(order.shown, maker.shown)
            if maker.owner != order.owner or order.stp == "none":
                self._say("trade", order, quantity=taken, price=maker.price, maker=maker)
            elif order.stp == "decrement":
                self._say("decremented", order, "stp", taken, maker.price, maker)
            else:
                if order.stp in ("cancel_oldest", "cancel_both"):
                    self._remove(maker)
                    self._say("cancelled", maker, "stp", seq=order.seq)
                if order.stp in ("cancel_newest", "cancel_both"):
                    self._say("cancelled", order, "stp")
                    order.shown = 0
                continue
            order.shown -= taken
            self._take(maker, taken)

    def _take(self, maker: Order, taken: int) -> None:
        """Take off the first of a level; an iceberg that shows nothing any more queues anew."""
        maker.shown -= taken
        if maker.shown == 0:
            self._remove(maker)
            if maker.hidden:
                maker.shown, maker.hidden = maker.hidden, 0
                self._rest(maker)

    def _rest(self, order: Order) -> None:
        """Queue behind all that are as good or better."""
        if order.display:
            order.hidden = max(0, order.shown - order.display)
            order.shown -= order.hidden
        queue = self.resting[order.symbol][order.side]
        sign = 1 if order.side == "sell" else -1
        queue.insert(len([o for o in queue if sign * o.price <= sign * order.price]), order)

    def _wake(self, seq: int, symbol: int) -> None:
        """Wake stops until no trade of this command wakes one any more."""
        while True:
            trades = [event.price for event in self.events if event.kind == "trade"]
            buys, sells = self.waiting[symbol]["buy"], self.waiting[symbol]["sell"]
            if buys and buys[0].stop <= max(trades):
                order = buys.pop(0)
            elif sells and sells[0].stop >= min(trades):
                order = sells.pop(0)
            else:
                return
            order.seq, order.stop = seq, 0
            self._say("triggered", order)
            level = self._resting_at(order, order.price)
            if order.tif == "gtc" and sum(o.left for o in level) + order.shown > MOST:
                self._say("cancelled", order, "capacity")
            else:
                self._enter(order)

    # -- small words

    def live(self) -> list[Order]:
        """Of each symbol bids, asks, buy stops, sell stops; each in order of priority."""
        return [
            order
            for symbol in range(self.symbols)
            for book in (self.resting[symbol], self.waiting[symbol])
            for side in ("buy", "sell")
            for order in book[side]
        ]

    def levels(self, symbol: int, side: str) -> list[tuple[int, int, int]]:
        """Price, shown quantity and orders of each level, best first."""
        queue = self.resting[symbol][side]
        prices = list(dict.fromkeys(order.price for order in queue))
        level = {price: [o.shown for o in queue if o.price == price] for price in prices}
        return [(price, sum(shown), len(shown)) for price, shown in level.items()]

    def state_hash(self) -> str:
        """Of the lines that a replay ends with, and what options add to them."""
        return hashlib.sha256("\n".join(map(_line, self.live())).encode()).hexdigest()

    def _is_price(self, price: int) -> bool:
        return 1 <= price < self.max_price

    def _reaches(self, order: Order, price: int) -> bool:
        return price <= order.price if order.side == "buy" else price >= order.price

    def _crosses(self, order: Order, price: int) -> bool:
        others = self.resting[order.symbol][OTHER[order.side]]
        moved = copy.copy(order)
        moved.price = price
        return bool(others) and self._reaches(moved, others[0].price)

    def _wakes_later(self, waiting: Order, new: Order) -> bool:
        return waiting.stop > new.stop if new.side == "buy" else waiting.stop < new.stop

    def _resting_at(self, order: Order, price: int) -> list[Order]:
        return [o for o in self.resting[order.symbol][order.side] if o.price == price]

    def _waiting_at(self, c: Command) -> list[Order]:
        return [o for o in self.waiting[c.symbol][c.side] if o.stop == c.stop]

    def _find(self, order_id: int) -> Order | None:
        return next((order for order in self.live() if order.order_id == order_id), None)

    def _remove(self, order: Order) -> None:
        for book in (self.resting[order.symbol], self.waiting[order.symbol]):
            queue = book[order.side]
            queue[:] = [one for one in queue if one is not order]

    def _refuse(self, seq: int, c: Command, reason: str) -> None:
        self.events.append(
            Event("rejected", seq, c.symbol, c.side, reason, 0, 0, c.order_id, 0, c.owner, 0)
        )

    def _say(
        self,
        kind: str,
        order: Order,
        reason: str = "",
        quantity: int | None = None,
        price: int | None = None,
        maker: Order | None = None,
        seq: int | None = None,
    ) -> None:
        self.events.append(
            Event(
                kind, order.seq if seq is None else seq, order.symbol, order.side, reason,
                order.price if price is None else price,
                order.left if quantity is None else quantity, order.order_id,
                maker.order_id if maker else 0, order.owner, maker.owner if maker else 0,
            )
        )  # fmt: skip
