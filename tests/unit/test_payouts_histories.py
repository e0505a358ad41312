"""Two thousand histories of a payout in which everything that can go wrong does.

Answers get lost, calls happen and look as if they had not, webhooks come twice, late, in the wrong
order or never, the provider forgets keys, its user takes the payout back, a person decides, money
that was paid comes back. At the end of each: nothing was paid twice, and the ledger is the
provider's record.
"""

from __future__ import annotations

import os
from random import Random

import msgspec
import pytest

from domain.decision import Forget, Remind
from domain.ledger import Verdict, check_batch, settle
from domain.payouts import deciding
from domain.payouts.checking import Known
from domain.payouts.evolving import evolve
from domain.payouts.policy import PayoutPolicy
from domain.payouts.position import position
from domain.payouts.state import Payout
from domain.payouts.status import FINAL, MAY_FOLLOW
from messages.errors import Refusal
from messages.payments.accounts import available, clearing, paying_out
from messages.payments.gateways import GatewayName
from messages.payments.payments import DecideReview, RecordFailure, Source
from messages.payments.payout_methods import PayoutMethodState
from messages.payments.payout_orders import PayoutProgress, PayoutProvider, PayoutSnapshot
from messages.payments.payouts import (
    CancelPayout,
    LookAtPayout,
    PayoutCallKind,
    PayoutChanged,
    PayoutCommand,
    PayoutEvent,
    PayoutStatus,
    RecordPayoutAnswer,
    RecordPayoutSnapshot,
    RequestPayout,
)
from tests.unit.payouts_provider import DeclinedError, Provider

HISTORIES = int(os.environ.get("VIBESTREAM_PAYOUT_HISTORIES", "2000"))
PARTS = 4
STEPS = 40
BALANCE = 500_000
USER = "ana"
POLICY = PayoutPolicy()
WALLET = available(USER, "USD")
HOUR_MS = 3_600_000


class World:
    """A payout, its ledger, its timers and its provider; time is a number."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 1_790_000_000_000
        self.state: Payout = deciding.initial("payout-1")
        self.provider_name = self.random.choice(list(PayoutProvider))
        self.provider = Provider(self.random, key_ms=24 * HOUR_MS)
        self.balances: dict[str, int] = {WALLET: BALANCE}
        self.keys: set[bytes] = set()
        self.timers: dict[str, int] = {}
        self.told: list[PayoutSnapshot] = []
        self.changes: list[PayoutChanged] = []

    # --- the runtime, in small --------------------------------------------------------------------

    def ask(self, command: PayoutCommand | deciding.Prepared) -> None:
        """Decide and apply, all or nothing, as a batch of the runtime does."""
        try:
            decision = deciding.decide(POLICY, self.state, command, self.now)
        except Refusal:
            return
        after = self.state
        for event in decision.events:
            after = evolve(after, through_the_journal(event))
        check_batch(decision.transactions)
        settled = settle(self.balances, decision.transactions, self.keys)
        assert Verdict.INSUFFICIENT not in settled.verdicts, "what is held is there"
        assert Verdict.DUPLICATE not in settled.verdicts, "each move has a key of its own"
        for code, delta in settled.deltas.items():
            self.balances[code] = self.balances.get(code, 0) + delta
        self.keys |= {one.key for one in decision.transactions}
        for timer in decision.timers:
            if isinstance(timer, Remind):
                self.timers[timer.name] = timer.due_at_ms
            elif isinstance(timer, Forget):
                self.timers.pop(timer.name, None)
        self.changes += [e for e in decision.events if isinstance(e, PayoutChanged)]
        self.state = after

    # --- what may happen --------------------------------------------------------------------------

    def start(self) -> None:
        amount = self.random.choice([5_000, 250_000])
        asked = RequestPayout(USER, "method-1", amount, "USD")
        known = Known(self.provider_name, PayoutMethodState.READY)
        self.ask(deciding.Prepared(asked, known))
        assert self.state.asked is not None

    def step(self) -> None:
        """Something happens."""
        r = self.random
        self.now += r.choice([1, 50, 5_000, 60_000, HOUR_MS, 9 * HOUR_MS, 26 * HOUR_MS])
        self.provider.now = self.now
        happen = r.choices(
            [self.call, self.hear, self.provider.happen, self.people, self.timer],
            [6, 4, 2, 2, 5],
        )[0]
        happen()

    def call(self, honest: bool = False) -> None:
        """Somebody performs the call that waits; the network may play tricks."""
        call, asked = self.state.call, self.state.asked
        if call is None or asked is None:
            return
        if call.kind is PayoutCallKind.PAY and self.now >= call.until_ms:
            return  # too late: its owner will see
        trick = 1.0 if honest else self.random.random()
        if trick < 0.15:  # it never got there
            self.ask(RecordFailure(call.call_id, declined=False, certain=True, code="down"))
            return
        try:
            amount = asked.amount_minor - self.state.charged_minor
            snapshot = self.provider.perform(call, amount)
        except DeclinedError:
            if trick > 0.3:
                self.ask(RecordFailure(call.call_id, declined=True, certain=True, code="no"))
            return
        if trick < 0.4:  # it got there, and the answer got lost
            if trick < 0.3:
                self.ask(RecordFailure(call.call_id, declined=False, certain=False, code="slow"))
            return
        for _ in range(1 if honest else self.random.choice([1, 1, 2])):
            self.ask(RecordPayoutAnswer(call.call_id, snapshot))

    def hear(self) -> None:
        """News arrives: any of it, in any order, and perhaps not for the last time."""
        self.told += self.provider.news
        self.provider.news.clear()
        if not self.told:
            return
        index = self.random.randrange(len(self.told))
        snapshot = self.told[index]
        if self.random.random() < 0.2:
            del self.told[index]  # dropped, or it was the last time
            if self.random.random() < 0.5:
                return
        self.ask(RecordPayoutSnapshot(self.provider_name, snapshot, Source.WEBHOOK))

    def people(self) -> None:
        r = self.random
        if r.random() < 0.2:
            self.ask(CancelPayout(USER))
        else:
            self.ask(DecideReview(r.random() < 0.8, r.choice([USER, "moderator"]), "looked"))

    def timer(self) -> None:
        """The next timer is due."""
        if not self.timers:
            return
        name = min(self.timers, key=lambda n: self.timers[n])
        self.now = max(self.now, self.timers.pop(name))
        self.provider.now = self.now
        self.ask(deciding.reminded(name))

    def calm_down(self) -> None:
        """Everything works from here on, and time passes until nothing is open."""
        self.provider.declines = 0.0
        if self.state.status is PayoutStatus.ON_HOLD:
            self.ask(DecideReview(True, "moderator", "looked"))
        for _ in range(200):
            self.call(honest=True)
            for one in self.provider.sent:
                if one.progress is PayoutProgress.PENDING:
                    self.provider.move(one, PayoutProgress.PAID)
            if self.state.call is None and self.is_over():
                break
            self.timer()
        if self.state.status is PayoutStatus.PAID:
            self.ask(LookAtPayout())
            self.call(honest=True)

    def is_over(self) -> bool:
        return self.state.status in FINAL or self.state.status is PayoutStatus.PAID


def through_the_journal(event: PayoutEvent) -> PayoutEvent:
    return msgspec.json.decode(msgspec.json.encode(event), type=PayoutEvent)  # type: ignore[no-any-return]


@pytest.mark.parametrize("part", range(PARTS))
def test_histories(part: int) -> None:
    for seed in range(part, HISTORIES, PARTS):
        try:
            check(run(seed))
        except Exception as error:
            raise AssertionError(f"history {seed}") from error


def run(seed: int) -> World:
    world = World(seed)
    world.start()
    for _ in range(world.random.randint(3, STEPS)):
        world.step()
    world.calm_down()
    return world


def check(world: World) -> None:
    state, provider, balances = world.state, world.provider, world.balances
    assert world.is_over()
    assert state.asked is not None
    assert len(provider.sent) <= 1, "it was sent twice"
    gateway = GatewayName(world.provider_name.value)
    assert balances.get(clearing(gateway, "USD"), 0) == provider.gone, "the provider's record"
    assert balances.get(paying_out(USER, "USD"), 0) == 0, "nothing is left on its way"
    paid = any(one.progress is PayoutProgress.PAID for one in provider.sent)
    assert (state.status is PayoutStatus.PAID) == paid
    assert balances[WALLET] == BALANCE - (state.asked.amount_minor if paid else 0)
    expected = position(state)
    expected[WALLET] += BALANCE
    assert {k: v for k, v in expected.items() if v} == {k: v for k, v in balances.items() if v}
    assert sum(balances.values()) == BALANCE
    for change in world.changes:
        assert change.before is change.status or change.status in MAY_FOLLOW[change.before]
    assert [c.before for c in world.changes[1:]] == [c.status for c in world.changes[:-1]]


def test_the_histories_reach_every_end() -> None:
    ends = {run(seed).state.status for seed in range(200)}
    assert ends == {PayoutStatus.PAID, *FINAL}
