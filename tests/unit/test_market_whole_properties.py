"""Sale, orders, locks and distributions of one issue together, in whatever order they come."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.market.holders import owners
from domain.market.state import initial
from domain.policy import MarketPolicy
from messages.errors import Refusal
from messages.ledger import currency_of
from messages.market import (
    PLATFORM,
    ActivateIssue,
    HoldingChanged,
    PauseIssue,
    ResumeIssue,
    RevenueDistributed,
    RevenuePaid,
    TerminateIssue,
)
from messages.market.accounts import available, fees, held, locked, offered, revenue
from messages.market.orders import OpenTrading, OrderKind, Side, TimeInForce
from tests.unit.market_desk import Desk
from tests.unit.market_entities import (
    ARTIST,
    ISSUE,
    SHARES,
    buy,
    distribute,
    draft,
    lock,
    receive,
    user,
)

PEOPLE = [user(n) for n in range(1, 5)]
TREASURY = "outside:treasury:issue/USD"
POLICY = MarketPolicy(max_open_orders=6, halt_ms=5_000, auction_ms=3_000)
whoever = st.sampled_from([ARTIST, *PEOPLE])


class Whole(RuleBasedStateMachine):
    """An issue whose book is open from the first day of the sale."""

    @initialize(
        cap=st.sampled_from([1_000, 5_000]),
        cash=st.integers(10_000, 10_000_000),
        shared=st.booleans(),
    )
    def begin(self, cap: int, cash: int, shared: bool) -> None:
        self.desk = Desk(initial(ISSUE), dict.fromkeys([ARTIST, *PEOPLE], cash), POLICY)
        self.cash = cash * (len(PEOPLE) + 1)
        self.number = 0
        self.split = 0
        self.ask(draft(currency="USD", retained=300, minimum=1, cap_bps=cap))
        self.ask(ActivateIssue())
        self.ask(OpenTrading())
        self.desk.pass_time(POLICY.auction_ms)
        if shared:
            for buyer in range(1, len(PEOPLE) + 1):
                self.ask(buy(self.next(), buyer, 20))

    def ask(self, command: Any) -> Any:
        """The answer; None where it is refused, and then nothing has changed."""
        before = self.desk.picture()
        try:
            return self.desk.ask(command)
        except Refusal:
            assert self.desk.picture() == before
            return None

    def next(self) -> int:
        self.number += 1
        return self.number

    @rule(buyer=st.integers(1, 4), shares=st.integers(1, 120))
    def buys_offered(self, buyer: int, shares: int) -> None:
        self.ask(buy(self.next(), buyer, shares))

    @rule(
        who=whoever,
        side=st.sampled_from(Side),
        shares=st.integers(1, 120),
        ticks=st.integers(23, 27),
        tif=st.sampled_from([TimeInForce.GTC, TimeInForce.IOC]),
    )
    def trades(self, who: str, side: Side, shares: int, ticks: int, tif: TimeInForce) -> None:
        self.order(who, side, shares, ticks, tif)

    @rule(
        seller=whoever,
        buyer=whoever,
        shares=st.integers(1, 60),
        ticks=st.sampled_from([24, 25, 26]),
    )
    def deal(self, seller: str, buyer: str, shares: int, ticks: int) -> None:
        """Two who want the same, one after the other."""
        self.order(seller, Side.SELL, shares, ticks)
        self.order(buyer, Side.BUY, shares, ticks)

    def order(
        self,
        who: str,
        side: Side,
        shares: int,
        ticks: int,
        tif: TimeInForce = TimeInForce.GTC,
    ) -> None:
        try:
            self.desk.order(who, side, shares, ticks * 10, OrderKind.LIMIT, tif)
        except Refusal:
            return

    @rule(choice=st.integers(0, 100))
    def cancels(self, choice: int) -> None:
        trading = self.desk.market.trading
        assert trading is not None
        if trading.orders:
            order = list(trading.orders.values())[choice % len(trading.orders)]
            self.desk.cancel(order.user_id, order.order_id)

    @rule(who=whoever, shares=st.integers(1, 60), wait=st.integers(1, 20_000))
    def locks(self, who: str, shares: int, wait: int) -> None:
        self.ask(lock(self.next(), who, shares, self.desk.now_ms + wait))

    @rule(passed=st.integers(1, 9_000))
    def waits(self, passed: int) -> None:
        self.desk.pass_time(passed)

    @rule(amount=st.integers(1, 100_000))
    def receives(self, amount: int) -> None:
        self.ask(receive(self.next(), amount, TREASURY))

    @rule(amount=st.integers(0, 20_000))
    def distributes(self, amount: int) -> None:
        """Everybody is paid for the shares of this moment, open orders and locks or not."""
        market = self.desk.market
        before = dict(self.desk.balances)
        holders = owners(market.holders)
        holders[ARTIST] = holders.get(ARTIST, 0) + market.issue.unsold
        answer = self.ask(distribute(self.next(), amount))
        if answer is None:
            return
        paid = {e.user_id: e for e in self.desk.told if isinstance(e, RevenuePaid)}
        assert {who: e.shares for who, e in paid.items()} == {ARTIST: 0} | holders
        gains = {who: e.amount_minor for who, e in paid.items()} | {PLATFORM: answer.fee_minor}
        assert sum(gains.values()) == answer.amount_minor
        for who, gain in gains.items():
            code = fees("USD") if who == PLATFORM else available(who, "USD")
            assert self.desk.balances.get(code, 0) == before.get(code, 0) + gain

    @rule(what=st.integers(0, 9))
    def changes(self, what: int) -> None:
        """Now and then the sale rests for a while, or ends."""
        self.ask(PauseIssue() if what == 0 else ResumeIssue())
        if what in {1, 2} and self.number > 8:
            self.ask(TerminateIssue())

    @rule()
    def snapshot(self) -> None:
        self.split = len(self.desk.events)

    @invariant()
    def the_ledger_is_what_the_owner_remembers(self) -> None:
        market, balances = self.desk.market, self.desk.balances
        for who in {ARTIST, *PEOPLE, *market.holders}:
            mine = market.holding(who)
            for account, shares in (
                (available, mine.available), (held, mine.held), (locked, mine.locked),
            ):  # fmt: skip
                assert balances.get(account(who, SHARES), 0) == shares
        assert balances.get(offered(ISSUE), 0) == market.issue.unsold
        assert balances.get(revenue(ISSUE, "USD"), 0) == market.revenue_minor
        everything = sum(owners(market.holders).values()) + market.issue.unsold
        assert everything == (market.issue.shares if market.issue.exists else 0)

    @invariant()
    def nothing_is_lost(self) -> None:
        sums: dict[str, int] = {}
        for code, amount in self.desk.balances.items():
            assert amount >= 0 or code.startswith("outside:")
            sums[currency_of(code)] = sums.get(currency_of(code), 0) + amount
        assert sums.pop("USD") == self.cash
        assert set(sums.values()) <= {0}

    @invariant()
    def nobody_passes_the_cap(self) -> None:
        market = self.desk.market
        for who in PEOPLE:
            assert market.holding(who).exposure <= market.issue.cap_shares

    @invariant()
    def what_is_waiting_was_received(self) -> None:
        given = -self.desk.balances.get(TREASURY, 0)
        spent = sum(e.amount_minor for e in self.desk.events if isinstance(e, RevenueDistributed))
        assert given - spent == self.desk.market.revenue_minor

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        again = Desk(self.desk.rebuilt(self.split), {})
        assert again.picture()[:2] == self.desk.picture()[:2]
        last = {e.user_id: e for e in self.desk.events if isinstance(e, HoldingChanged)}
        for who, told in last.items():
            mine = self.desk.market.holding(who)
            fields = ("available", "held", "locked", "cost_minor", "realised_minor")
            assert [getattr(told, f) for f in fields] == [getattr(mine, f) for f in fields]


TestWhole = Whole.TestCase
TestWhole.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
