"""Random commands on a venture: escrow is what stands invested, nobody gains or loses a unit."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.ventures import deciding
from domain.ventures.state import Venture
from messages.errors import Refusal
from messages.ventures.accounts import available, fees
from messages.ventures.ventures import (
    CancelVenture,
    ConfirmBenefit,
    ContestBenefit,
    DeliverBenefit,
    InvestmentStatus,
    OpenRound,
    VentureStatus,
    WithdrawInvestment,
)
from tests.unit.goods_entities import ARTIST, fund, user
from tests.unit.rewards_entities import DAY_MS, T0
from tests.unit.ventures_entities import check, draft, invest, new_venture, rebuilt

PEOPLE = range(1, 6)


class VentureMachine(RuleBasedStateMachine):
    """A venture, and each investor's cash by a tally of what stands invested."""

    def __init__(self) -> None:
        super().__init__()
        self.venture = new_venture()
        self.number = 0
        self.now_ms = T0

    @initialize(goal=st.integers(1, 8_000), cash=st.integers(0, 5_000))
    def begins(self, goal: int, cash: int) -> None:
        self.cash = cash
        for person in PEOPLE:
            fund(self.venture, user(person), cash)
        self.venture.send(draft(goal_minor=goal, cap_minor=8_000))
        self.venture.send(OpenRound())

    def send(self, command: Any) -> Any:
        """The answer; None where it was refused."""
        before = msgspec.msgpack.encode(self.venture.state)
        try:
            return self.venture.send(command, self.now_ms)
        except Refusal:
            assert msgspec.msgpack.encode(self.venture.state) == before
            return None

    @rule(investor=st.sampled_from(PEOPLE), amount=st.integers(1, 3_500))
    def invests(self, investor: int, amount: int) -> None:
        self.number += 1
        self.send(invest(self.number, investor, amount))

    @precondition(lambda self: self.venture.state.investments)
    @rule(data=st.data())
    def withdraws(self, data: st.DataObject) -> None:
        investment_id = data.draw(st.sampled_from(sorted(self.venture.state.investments)))
        self.send(WithdrawInvestment(investment_id, "refund"))

    @rule(days=st.integers(1, 8))
    def time_passes(self, days: int) -> None:
        self.now_ms += days * DAY_MS
        due = {n: at for n, at in self.venture.timers.items() if at <= self.now_ms}
        for name, at in due.items():
            if self.venture.timers.get(name) == at:
                del self.venture.timers[name]
                self.send(deciding.reminded(name, at))

    @precondition(lambda self: self.number > 10)
    @rule()
    def is_cancelled(self) -> None:
        self.send(CancelVenture("no"))

    @rule(investor=st.sampled_from(PEOPLE), kind=st.sampled_from("dfc"))
    def is_delivered(self, investor: int, kind: str) -> None:
        self.send(
            {
                "d": DeliverBenefit("name", (user(investor),)),
                "f": ConfirmBenefit("name", user(investor)),
                "c": ContestBenefit("name", user(investor), "not there"),
            }[kind]
        )

    @invariant()
    def nobody_gains_or_loses_a_unit(self) -> None:
        state, balances = self.venture.state, self.venture.ledger.balances
        if state.terms is None:
            return
        check(self.venture)
        for person in PEOPLE:
            put = sum(
                one.amount_minor
                for one in state.investments.values()
                if one.investor_id == user(person) and one.status is InvestmentStatus.OPEN
            )
            assert balances[available(user(person), "USD")] == self.cash - put
        paid = balances[available(ARTIST, "USD")] + balances[fees("USD")]
        is_funded = state.status is VentureStatus.FUNDED
        assert paid == (state.raised_minor if is_funded else 0)
        assert not is_funded or state.raised_minor >= state.asked.goal_minor

    @invariant()
    def facts_make_the_state(self) -> None:
        state = self.venture.state
        assert rebuilt(self.venture) == state
        kept = msgspec.msgpack.encode(state)
        assert msgspec.msgpack.decode(kept, type=Venture) == state

    @invariant()
    def what_is_to_go_back_has_a_timer(self) -> None:
        state = self.venture.state
        assert ("return" in self.venture.timers) >= (state.is_returning and state.escrow_minor > 0)


TestVenture = VentureMachine.TestCase
TestVenture.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
