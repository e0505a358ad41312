"""Random commands on a drop: supply, tokens and cash are conserved; facts make the state."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.drops import deciding
from domain.drops.state import Drop
from messages.drops.accounts import available
from messages.drops.drops import (
    ActivateDrop,
    CancelDrop,
    EndDrop,
    MilestoneReached,
    PauseDrop,
    PurchaseReserved,
    ReleaseReservation,
    ReturnTokens,
)
from messages.errors import Refusal
from tests.unit.drops_entities import check, draft, keep, new_drop, rebuilt
from tests.unit.goods_entities import ARTIST, fund, user
from tests.unit.rewards_entities import T0

PEOPLE = range(1, 6)


class DropMachine(RuleBasedStateMachine):
    """A drop, and what each buyer spent by a tally that knows only purchases and returns."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = new_drop()
        self.number = 0
        self.now_ms = T0
        self.spent = dict.fromkeys(PEOPLE, 0)
        self.ids: list[str] = []

    @initialize(supply=st.integers(1, 60), price=st.integers(0, 999), cash=st.integers(0, 9_000))
    def drafted(self, supply: int, price: int, cash: int) -> None:
        self.cash = cash
        for person in PEOPLE:
            fund(self.drop, user(person), cash)
        self.drop.send(draft(supply=supply, price_minor=price))
        self.drop.send(ActivateDrop())

    def send(self, command: Any) -> Any:
        """The answer; None where it was refused, by the rules or for want of cash."""
        before = msgspec.msgpack.encode(self.drop.state)
        try:
            return self.drop.send(command, self.now_ms)
        except Refusal:
            assert msgspec.msgpack.encode(self.drop.state) == before
            return None

    @rule(buyer=st.sampled_from(PEOPLE), count=st.integers(1, 7), minutes=st.integers(1, 90))
    def reserves(self, buyer: int, count: int, minutes: int) -> None:
        self.number += 1
        command = keep(self.number, buyer, count, self.now_ms + minutes * 60_000)
        if self.send(command):
            self.ids.append(command.reservation_id)

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def pays(self, data: st.DataObject) -> None:
        reservation_id = data.draw(st.sampled_from(self.ids))
        before = self.drop.state.minted
        answer = self.send(PurchaseReserved(reservation_id))
        if answer and self.drop.state.minted > before:
            self.spent[int(answer.buyer_id[-2:])] += answer.total_minor

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def returns(self, data: st.DataObject) -> None:
        reservation_id = data.draw(st.sampled_from(self.ids))
        before = self.drop.state.burned
        answer = self.send(ReturnTokens(reservation_id, "unwanted"))
        if answer and self.drop.state.burned > before:
            self.spent[int(answer.buyer_id[-2:])] -= answer.total_minor

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def releases(self, data: st.DataObject) -> None:
        self.send(ReleaseReservation(data.draw(st.sampled_from(self.ids)), "gave up"))

    @rule(amount=st.integers(1, 5_000))
    def the_artist_spends(self, amount: int) -> None:
        balances = self.drop.ledger.balances
        amount = min(amount, balances[available(ARTIST, "USD")])
        balances[available(ARTIST, "USD")] -= amount
        balances["outside:treasury:issue/USD"] += amount

    @rule(minutes=st.integers(1, 60))
    def time_passes(self, minutes: int) -> None:
        self.now_ms += minutes * 60_000
        for name, due in sorted(self.drop.timers.items(), key=lambda timer: timer[1]):
            if due <= self.now_ms and self.drop.timers.pop(name, None) is not None:
                self.send(deciding.reminded(name))

    @rule(command=st.sampled_from([PauseDrop(), ActivateDrop()]))
    def the_artist_changes_their_mind(self, command: Any) -> None:
        self.send(command)

    @precondition(lambda self: self.number > 12)
    @rule(command=st.sampled_from([CancelDrop(), EndDrop()]))
    def it_ends(self, command: Any) -> None:
        self.send(command)

    @invariant()
    def everything_is_somebodys(self) -> None:
        if self.drop.state.terms is None:
            return
        check(self.drop)
        for person in PEOPLE:
            left = self.drop.ledger.balances[available(user(person), "USD")]
            assert left == self.cash - self.spent[person]
        reached = [e.percent for e in self.drop.events if isinstance(e, MilestoneReached)]
        assert reached == sorted(set(reached))

    @invariant()
    def facts_make_the_state(self) -> None:
        state = self.drop.state
        assert rebuilt(self.drop) == state
        kept = msgspec.msgpack.encode(state)
        assert msgspec.msgpack.decode(kept, type=Drop) == state

    @invariant()
    def what_is_reserved_has_a_timer(self) -> None:
        timed = {n[len("expire:") :] for n in self.drop.timers if n.startswith("expire:")}
        assert set(self.drop.state.reservations) <= timed


TestDrop = DropMachine.TestCase
TestDrop.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
