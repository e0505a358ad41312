"""An issue's market with a ledger of its own, as the runtime would have it; time by hand."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec

from domain.decision import Forget, Remind
from domain.ledger import Verdict, check_batch, settle
from domain.market import market as rules
from domain.market.holders import Holding
from domain.market.state import Issue, Market, StoredMarket, initial, restored, stored
from domain.policy import MarketPolicy
from messages.errors import InsufficientFunds, Refusal
from messages.ledger import LedgerTransaction
from messages.market import IssueStatus, MarketEvent
from messages.market.accounts import available, held, share_currency
from messages.market.orders import (
    BookAdvanced,
    BookChanged,
    CancelOrder,
    EndPhase,
    OpenTrading,
    OrderKind,
    OrderView,
    PlaceOrder,
    ReplaceOrder,
    Side,
    TimeInForce,
)

ISSUE = "0197a000-0000-7000-8000-00000000000c"
T0 = 1_790_000_000_000
SHARE = share_currency(ISSUE)
TICK, PRICE = 5, 1_000
ARTIST, FAN, OTHER = "artist", "fan", "other"
decode_events = msgspec.msgpack.Decoder(list[MarketEvent]).decode
decode_state = msgspec.msgpack.Decoder(StoredMarket).decode


def active(shares: int = 10_000, cap_bps: int = 5_000, **holders: int) -> Market:
    """An issue that was sold to these holders."""
    market = initial(ISSUE)
    market.issue = Issue(
        status=IssueStatus.ACTIVE,
        currency="USD",
        shares=shares,
        retained=1_000,
        price_minor=PRICE,
        cap_bps=cap_bps,
        tick_minor=TICK,
    )
    for user_id, owned in holders.items():
        market.holders[user_id] = Holding(available=owned)
    return market


class Desk:
    """Asks the market, settles in its ledger, remembers facts and timers."""

    def __init__(self, market: Market, cash: dict[str, int], policy: MarketPolicy | None = None):
        self.market = market
        self.policy = policy or MarketPolicy()
        self.now_ms = T0
        self.balances: dict[str, int] = {}
        for user_id, amount in cash.items():
            self.balances[available(user_id, "USD")] = amount
        for user_id, holding in market.holders.items():
            self.balances[available(user_id, SHARE)] = holding.available
            self.balances[f"user:{user_id}:locked/{SHARE}"] = holding.locked
        self.first = bytes(msgspec.msgpack.encode(stored(market)))
        self.events: list[MarketEvent] = []
        self.told: list[MarketEvent] = []  # by the last command
        self.timers: dict[str, int] = {}
        self.totals = self.sums()
        self._requests = count(1)

    def ask(self, command: Any) -> Any:
        """What the market answers; all that it decides is done."""
        given = rules.prepared(self.policy, self.market, command) or command
        self.told = []
        reserves = rules.reserve(self.policy, self.market, command, self.now_ms)
        balances = dict(self.balances)
        if Verdict.INSUFFICIENT in settle(balances, reserves).verdicts:
            raise InsufficientFunds
        decision = rules.decide(self.policy, self.market, given, self.now_ms)
        for event in decision.events:
            rules.evolve(self.market, event)
        if decision.events:
            self._post([*reserves, *decision.transactions])
        self.events += decision.events
        self.told = list(decision.events)
        for timer in decision.timers:
            if isinstance(timer, Remind):
                self.timers[timer.name] = timer.due_at_ms
            elif isinstance(timer, Forget):
                self.timers.pop(timer.name, None)
        return decision.answer

    def _post(self, transactions: list[LedgerTransaction]) -> None:
        check_batch(transactions)
        settlement = settle(self.balances, transactions)
        assert set(settlement.verdicts) <= {Verdict.APPLIED}, transactions
        for code, change in settlement.deltas.items():
            self.balances[code] = self.balances.get(code, 0) + change

    def pass_time(self, ms: int) -> None:
        """Time goes by; timers that are due come as commands."""
        self.now_ms += ms
        while due := [(at, name) for name, at in self.timers.items() if at <= self.now_ms]:
            at, name = min(due)
            del self.timers[name]
            self.ask(rules.reminded(name, at))

    def open(self) -> None:
        """Opened, and through its first auction."""
        self.ask(OpenTrading())
        self.pass_time(self.policy.auction_ms)

    def order(
        self,
        user_id: str,
        side: Side,
        shares: int,
        price: int = 0,
        kind: OrderKind = OrderKind.LIMIT,
        tif: TimeInForce = TimeInForce.GTC,
        **changes: Any,
    ) -> OrderView:
        request = f"request-{next(self._requests)}"
        command = PlaceOrder(user_id, request, side, kind, tif, shares, price, **changes)
        answer = self.ask(command)
        assert isinstance(answer, OrderView)
        return answer

    def buy(self, user_id: str, shares: int, price: int = 0, **changes: Any) -> OrderView:
        return self.order(user_id, Side.BUY, shares, price, **changes)

    def sell(self, user_id: str, shares: int, price: int = 0, **changes: Any) -> OrderView:
        return self.order(user_id, Side.SELL, shares, price, **changes)

    def cancel(self, user_id: str, order_id: int) -> OrderView:
        answer = self.ask(CancelOrder(user_id, order_id))
        assert isinstance(answer, OrderView)
        return answer

    def replace(
        self, user_id: str, order_id: int, shares: int, price: int, **changes: Any
    ) -> OrderView:
        request = f"request-{next(self._requests)}"
        answer = self.ask(ReplaceOrder(user_id, request, order_id, shares, price, **changes))
        assert isinstance(answer, OrderView)
        return answer

    def refused(self, what: Any, *given: Any, **changes: Any) -> str:
        """The code that something is refused with; nothing has changed then."""
        before = self.picture()
        try:
            what(*given, **changes)
        except Refusal as refusal:
            assert self.picture() == before
            return refusal.code
        raise AssertionError("it was not refused")

    def cash(self, user_id: str) -> tuple[int, int]:
        """(available, held)."""
        return tuple(self.balances.get(of(user_id, "USD"), 0) for of in (available, held))  # type: ignore[return-value]

    def shares(self, user_id: str) -> tuple[int, int]:
        """(available, held)."""
        return tuple(self.balances.get(of(user_id, SHARE), 0) for of in (available, held))  # type: ignore[return-value]

    def sums(self) -> dict[str, int]:
        """All balances by currency."""
        found: dict[str, int] = {}
        for code, amount in self.balances.items():
            currency = code.split("/", 1)[1]
            found[currency] = found.get(currency, 0) + amount
        return found

    def trades(self) -> list[tuple[int, int]]:
        """(price, shares) of the last command's trades."""
        [*changed] = [e for e in self.told if isinstance(e, BookChanged)]
        return [(t.price_minor, t.shares) for e in changed for t in e.trades]

    def picture(self) -> Any:
        """Everything that the owner has in mind and the ledger holds."""
        trading = self.market.trading
        book = (
            (trading.book.state_hash(), trading.depth.checksum, dict(trading.depth.levels))
            if trading is not None
            else None
        )
        kept = msgspec.to_builtins(stored(self.market))
        return kept, book, {code: held for code, held in self.balances.items() if held}

    def rebuilt(self, split: int) -> Market:
        """The market from its facts, with a snapshot after `split` of them."""
        market = restored(decode_state(self.first))
        for number, event in enumerate(decode_events(msgspec.msgpack.encode(self.events))):
            if number == split:
                market = restored(decode_state(msgspec.msgpack.encode(stored(market))))
            rules.evolve(market, event)
        return market

    def check(self) -> None:
        """What must hold whatever happens."""
        assert self.sums() == self.totals, "cash and shares are conserved"
        trading = self.market.trading
        assert trading is not None
        cash: dict[str, int] = {}
        shares: dict[str, int] = {}
        buying: dict[str, int] = {}
        for order in trading.orders.values():
            assert 0 < order.left <= order.shares - order.filled
            if order.side is Side.BUY:
                cash[order.user_id] = cash.get(order.user_id, 0) + order.held_minor
                buying[order.user_id] = buying.get(order.user_id, 0) + order.left
            else:
                shares[order.user_id] = shares.get(order.user_id, 0) + order.left
        for user_id in {*self.market.holders, *cash, *shares}:
            holding = self.market.holding(user_id)
            assert self.cash(user_id)[1] == cash.get(user_id, 0), "held is what open orders hold"
            assert self.shares(user_id) == (holding.available, holding.held)
            assert holding.held == shares.get(user_id, 0)
            assert holding.buying == buying.get(user_id, 0)


def advanced(desk: Desk) -> list[BookAdvanced]:
    """The book's entries of the last command."""
    return [e for e in desk.told if isinstance(e, BookAdvanced)]


__all__ = [
    "ARTIST",
    "FAN",
    "ISSUE",
    "OTHER",
    "PRICE",
    "T0",
    "TICK",
    "Desk",
    "EndPhase",
    "active",
    "advanced",
]
