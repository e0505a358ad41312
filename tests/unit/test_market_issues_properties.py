"""Random commands on an issue: shares and cash are conserved, caps hold, facts make the state."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.market.state import StoredMarket, restored
from messages.errors import Refusal
from messages.market import (
    ActivateIssue,
    HoldingChanged,
    IssueTerminated,
    PauseIssue,
    ResumeIssue,
    RevenueDistributed,
    RevenuePaid,
    SharesBought,
    TerminateIssue,
    UnlockShares,
)
from messages.market.accounts import available
from tests.unit.market_entities import (
    ARTIST,
    buy,
    check_shares,
    distribute,
    draft,
    fund,
    lock,
    new_issue,
    picture,
    rebuilt,
    receive,
    user,
)
from tests.unit.rewards_entities import T0, Entity

PEOPLE = [user(n) for n in range(1, 6)]
people = st.sampled_from(range(1, 6))
owners = st.sampled_from([*PEOPLE, ARTIST])


class IssueMachine(RuleBasedStateMachine):
    """An issue, and a tally of shares that knows only what was bought and given back."""

    def __init__(self) -> None:
        super().__init__()
        self.issue: Entity = new_issue()
        self.number = 0
        self.now_ms = T0
        self.tally: dict[str, int] = {}

    @initialize(
        shares=st.integers(50, 300),
        retained_percent=st.integers(2, 98),
        cap=st.sampled_from([1_000, 2_000, 3_000, 5_000]),
        price=st.integers(1, 500),
        cash=st.lists(st.integers(0, 50_000), min_size=5, max_size=5),
        locked=st.integers(0, 20),
    )
    def drafted(
        self, shares: int, retained_percent: int, cap: int, price: int, cash: list[int], locked: int
    ) -> None:
        for person, amount in zip(PEOPLE, cash, strict=True):
            if amount:
                fund(self.issue, person, amount)
        self.cash = dict(zip(PEOPLE, cash, strict=True))
        retained = -(-shares * retained_percent // 100)
        self.issue.send(
            draft(
                shares=shares,
                retained=retained,
                cap_bps=cap,
                price_minor=price,
                minimum=1,
                tick_minor=1,
                locked=min(locked, retained),
                locked_until_ms=T0 + 50,
            )
        )
        self.issue.send(ActivateIssue())
        self.tally[ARTIST] = retained

    def send(self, command: Any) -> Any:
        """The answer; None where it was refused, by the rules or for want of cash."""
        before = picture(self.issue.state)
        try:
            if self.unaffordable(command):
                return None
            return self.issue.send(command, self.now_ms)
        except Refusal:
            assert picture(self.issue.state) == before, "a refusal changed something"
            return None

    def unaffordable(self, command: Any) -> bool:
        gains: dict[str, int] = {}
        for transaction in self.issue.reserve(self.issue.state, command):
            for line in transaction.postings:
                gains[line.account] = gains.get(line.account, 0) + line.amount_minor
        balances = self.issue.ledger.balances
        return any(
            balances[code] + gain < 0 and not code.startswith("outside:")
            for code, gain in gains.items()
        )

    def next(self) -> int:
        self.number += 1
        return self.number

    @rule(buyer=people, shares=st.integers(0, 80), off=st.sampled_from([0, 0, 0, 1]))
    def buys(self, buyer: int, shares: int, off: int) -> None:
        price = self.issue.state.issue.price_minor + off
        answer = self.send(buy(self.next(), buyer, shares, price_minor=price))
        if answer is not None:
            assert (answer.shares, off) == (shares, 0)
            self.tally[user(buyer)] = self.tally.get(user(buyer), 0) + shares

    @rule(who=owners, shares=st.integers(0, 40), wait=st.integers(-1, 30))
    def locks(self, who: str, shares: int, wait: int) -> None:
        self.send(lock(self.next(), who, shares, self.now_ms + wait))

    @rule(passed=st.integers(0, 40))
    def waits(self, passed: int) -> None:
        self.now_ms += passed
        while (due := self.issue.timers.get("unlock", self.now_ms + 1)) <= self.now_ms:
            del self.issue.timers["unlock"]
            before = len(self.issue.state.locks)
            self.send(UnlockShares(due))
            assert len(self.issue.state.locks) < before, "a timer did nothing"
        assert all(kept.until_ms > self.now_ms for kept in self.issue.state.locks.values())

    @rule(amount=st.integers(0, 10_000))
    def receives(self, amount: int) -> None:
        self.send(receive(self.next(), amount))

    @rule(amount=st.integers(0, 5_000), again=st.booleans())
    def distributes(self, amount: int, again: bool) -> None:
        number = self.next()
        first = self.send(distribute(number, amount))
        if again and first is not None:
            seen = len(self.issue.events)
            assert self.send(distribute(number, amount)) == first
            assert len(self.issue.events) == seen

    @rule(command=st.sampled_from([PauseIssue(), ResumeIssue(), ActivateIssue()]))
    def goes_on(self, command: Any) -> None:
        self.send(command)

    @precondition(lambda self: self.number > 15)
    @rule()
    def ends(self) -> None:
        issue = self.issue.state.issue
        unsold = issue.unsold
        if self.send(TerminateIssue()) is not None:
            self.tally[ARTIST] = self.tally.get(ARTIST, 0) + unsold
            [ended] = [e for e in self.issue.events if isinstance(e, IssueTerminated)]
            if ended.voided:
                self.tally.clear()

    @rule()
    def dies(self) -> None:
        """What a snapshot keeps, as bytes, is all there is."""
        raw = msgspec.json.encode(picture(self.issue.state))
        self.issue.state = restored(msgspec.json.decode(raw, type=StoredMarket))

    @invariant()
    def nothing_is_lost(self) -> None:
        check_shares(self.issue)

    @invariant()
    def everybody_has_what_was_bought(self) -> None:
        state = self.issue.state
        for who in (*PEOPLE, ARTIST):
            assert state.holding(who).shares == self.tally.get(who, 0)

    @invariant()
    def nobody_passes_the_cap(self) -> None:
        issue = self.issue.state.issue
        for person in PEOPLE:
            assert (
                self.issue.state.holding(person).exposure * 10_000 <= issue.shares * issue.cap_bps
            )

    @invariant()
    def the_last_word_on_a_holding_is_true(self) -> None:
        last = {e.user_id: e for e in self.issue.events if isinstance(e, HoldingChanged)}
        for user_id, told in last.items():
            holding = self.issue.state.holding(user_id)
            assert (told.available, told.held, told.locked, told.cost_minor) == (
                holding.available, holding.held, holding.locked, holding.cost_minor,
            )  # fmt: skip

    @invariant()
    def parts_make_the_whole(self) -> None:
        paid: dict[str, int] = {}
        for event in self.issue.events:
            if isinstance(event, RevenuePaid):
                paid[event.distribution_id] = (
                    paid.get(event.distribution_id, 0) + event.amount_minor
                )
        for event in self.issue.events:
            if isinstance(event, RevenueDistributed):
                assert paid[event.distribution_id] + event.fee_minor == event.amount_minor

    @invariant()
    def cash_is_what_was_paid_and_received(self) -> None:
        """Each person's cash follows from the facts alone."""
        cash = dict(self.cash)
        for event in self.issue.events:
            if isinstance(event, SharesBought):
                cash[event.user_id] -= event.paid_minor
            elif isinstance(event, RevenuePaid) and event.user_id in cash:
                cash[event.user_id] += event.amount_minor
        for person, amount in cash.items():
            assert self.issue.ledger.balances[available(person, "EUR")] == amount

    def teardown(self) -> None:
        assert picture(rebuilt(self.issue)) == picture(self.issue.state)


TestIssue = IssueMachine.TestCase
TestIssue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
