"""Ten thousand histories of a payment in which everything that can go wrong does.

Answers get lost, calls happen and look as if they had not, webhooks come twice, late, in the wrong
order or never, payers confirm, cancel, ask for refunds, spend what they paid in, and their banks
take it back. At the end of each, when the last news has come: nothing was taken or given back
twice, the ledger says what the providers say, and everybody else's money is as it was.
"""

from __future__ import annotations

import os
from random import Random

import msgspec
import pytest

from domain.decision import Forget, Remind
from domain.ledger import Verdict, check_batch, settle
from domain.payments import deciding
from domain.payments.evolving import evolve
from domain.payments.policy import PaymentPolicy
from domain.payments.position import position
from domain.payments.state import Payment, owed_minor, refundable_minor
from domain.payments.status import FINAL
from messages.errors import Refusal
from messages.keys import derive_key
from messages.ledger import transfer
from messages.payments.accounts import available, clearing, receivable
from messages.payments.gateways import Call, GatewayName, Method, ProviderStatus, Snapshot
from messages.payments.payments import (
    Assessment,
    CancelPayment,
    Capture,
    CapturePayment,
    CollectDebt,
    ConfirmPayment,
    DecideReview,
    PaymentChanged,
    PaymentCommand,
    PaymentEvent,
    PaymentStatus,
    Purpose,
    RecordAnswer,
    RecordFailure,
    RecordSnapshot,
    RefundPayment,
    Source,
    StartPayment,
)
from messages.payments.payments import (
    Verdict as Risk,
)
from tests.unit.payments_provider import DeclinedError, Provider

HISTORIES = int(os.environ.get("VIBESTREAM_PAYMENT_HISTORIES", "10000"))
PARTS = 8
STEPS = 40
AMOUNT = 10_000
PAYER = "ana"
GATEWAYS = (GatewayName.STRIPE, GatewayName.PAYPAL)
POLICY = PaymentPolicy()
WALLET = available(PAYER, "USD")
SHOP = "platform:shop:sales/USD"


class World:
    """A payment, its ledger, its timers and its providers; time is a number."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 1_790_000_000_000
        self.state: Payment = deciding.initial("pay-1")
        self.providers = {name: Provider(name, self.random) for name in GATEWAYS}
        self.balances: dict[str, int] = {}
        self.keys: set[bytes] = set()
        self.timers: dict[str, int] = {}
        self.calls: list[Call] = []
        self.told: list[tuple[GatewayName, Snapshot]] = []
        self.changes: list[PaymentChanged] = []
        self.spent = 0
        self.refunds = 0

    # --- the runtime, in small --------------------------------------------------------------------

    def ask(self, command: PaymentCommand) -> None:
        """Decide and apply, all or nothing, as a batch of the runtime does."""
        try:
            decision = deciding.decide(POLICY, self.state, command, self.now)
        except Refusal:
            return
        after = self.state
        for event in decision.events:
            after = evolve(after, self.through_the_journal(event))
        check_batch(decision.transactions)
        settled = settle(self.balances, decision.transactions, self.keys)
        if Verdict.INSUFFICIENT in settled.verdicts:
            return
        assert Verdict.DUPLICATE not in settled.verdicts, "each move has a key of its own"
        for code, delta in settled.deltas.items():
            self.balances[code] = self.balances.get(code, 0) + delta
        self.keys |= {one.key for one in decision.transactions}
        for timer in decision.timers:
            if isinstance(timer, Remind):
                self.timers[timer.name] = timer.due_at_ms
            elif isinstance(timer, Forget):
                self.timers.pop(timer.name, None)
        for was, now in zip(self.state.attempts, after.attempts, strict=False):
            if was.seen is not None and now.seen is not None:
                assert now.seen.at_ms >= was.seen.at_ms, "an older state overwrote a newer one"
        self.changes += [e for e in decision.events if isinstance(e, PaymentChanged)]
        self.state = after
        self.calls = [waiting.call for waiting in after.calls.values()]

    @staticmethod
    def through_the_journal(event: PaymentEvent) -> PaymentEvent:
        raw = msgspec.json.encode(event)
        return msgspec.json.decode(raw, type=PaymentEvent)  # type: ignore[no-any-return]

    # --- what may happen --------------------------------------------------------------------------

    def start(self) -> None:
        r = self.random
        risk = r.choices([Risk.ALLOW, Risk.REVIEW, Risk.DENY], [8, 2, 1])[0]
        self.ask(
            StartPayment(
                PAYER, Purpose.TOP_UP, AMOUNT, "USD", Method.CARD,
                GATEWAYS[: r.randint(1, 2)], Assessment(risk),
                r.choices([Capture.AUTOMATIC, Capture.MANUAL], [3, 1])[0],
            )
        )  # fmt: skip

    def step(self) -> None:
        """Something happens."""
        r = self.random
        self.now += r.choice([1, 50, 700, 5_000, 30_000])
        for provider in self.providers.values():
            provider.now = self.now
        happen = r.choices(
            [self.call, self.hear, self.world, self.payer, self.timer, self.spend],
            [6, 5, 3, 4, 3, 1],
        )[0]
        happen()

    def call(self, honest: bool = False) -> None:
        """Somebody performs a call that waits; the network may play tricks."""
        if not self.calls:
            return
        call = self.random.choice(self.calls)
        trick = 1.0 if honest else self.random.random()
        if trick < 0.15:  # it never got there
            self.ask(RecordFailure(call.call_id, declined=False, certain=True, code="down"))
            return
        try:
            snapshot = self.providers[call.gateway].perform(call)
        except DeclinedError:
            self.ask(RecordFailure(call.call_id, declined=True, certain=True, code="declined"))
            return
        if trick < 0.35:  # it got there, and the answer got lost
            if trick < 0.28:
                self.ask(RecordFailure(call.call_id, declined=False, certain=False, code="timeout"))
            return
        for _ in range(1 if honest else self.random.choice([1, 1, 2])):
            self.ask(RecordAnswer(call.call_id, snapshot))

    def hear(self) -> None:
        """News arrives: any of it, in any order, and perhaps not for the last time."""
        for name, provider in self.providers.items():
            self.told += [(name, snapshot) for snapshot in provider.news]
            provider.news.clear()
        if not self.told:
            return
        index = self.random.randrange(len(self.told))
        name, snapshot = self.told[index]
        if self.random.random() < 0.2:
            del self.told[index]  # dropped, or it was the last time
            if self.random.random() < 0.5:
                return
        self.ask(RecordSnapshot(name, snapshot, Source.WEBHOOK))

    def world(self) -> None:
        self.providers[self.random.choice(GATEWAYS)].happen()

    def payer(self) -> None:
        r = self.random
        self.refunds += 1
        commands: list[PaymentCommand] = [
            ConfirmPayment(),
            CancelPayment("changed-my-mind"),
            RefundPayment(f"refund-{r.randint(0, self.refunds)}", r.randint(1, AMOUNT), "x", "ana"),
            CapturePayment(r.randint(1, AMOUNT)),
            DecideReview(r.random() < 0.7, "moderator", "looked"),
        ]
        self.ask(r.choices(commands, [4, 1, 4, 3, 3])[0])

    def timer(self) -> None:
        """The next timer is due."""
        if not self.timers:
            return
        name = min(self.timers, key=lambda n: self.timers[n])
        self.now = max(self.now, self.timers.pop(name))
        command = deciding.reminded(name)
        if isinstance(command, CollectDebt):
            command = CollectDebt(self.balances.get(WALLET, 0))
        self.ask(command)

    def spend(self) -> None:
        """The payer spends some of their balance elsewhere."""
        amount = self.random.randint(0, self.balances.get(WALLET, 0))
        if amount:
            self.spent += 1
            key = derive_key("spend", self.spent)
            spent = transfer(key, WALLET, SHOP, amount, cause="x", purpose="purchase")
            for posting in spent.postings:
                self.balances[posting.account] = (
                    self.balances.get(posting.account, 0) + posting.amount_minor
                )

    def calm_down(self) -> None:
        """The network is well, all timers are due, and the providers' records are compared."""
        for _ in range(60):
            for provider in self.providers.values():
                provider.now = self.now
            while self.calls:
                before = len(self.state.calls), self.state.moves
                self.call(honest=True)
                assert (len(self.state.calls), self.state.moves) != before, "a call that stays"
            self.reconcile()
            if not self.calls and (not self.timers or set(self.timers) == {"debt"}):
                break
            self.timer()
        self.reconcile()

    def reconcile(self) -> None:
        for name, provider in self.providers.items():
            for charge in provider.charges.values():
                self.ask(RecordSnapshot(name, charge.snapshot(), Source.RECONCILIATION))


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
    state = world.state
    spent = world.balances.pop(SHOP, 0)
    assert sum(world.balances.values()) == -spent
    for name, provider in world.providers.items():
        assert -world.balances.get(clearing(name, "USD"), 0) == provider.held, name
        for charge in provider.charges.values():
            assert charge.captures <= 1
            asked = [r.refund_id for r in charge.refunds.values() if r.refund_id]
            assert len(asked) == len(set(asked)), "a refund is given once"
            assert charge.returned + charge.withheld <= charge.captured
    takers = [a for a in state.attempts if a.captured_minor and a.number == state.taker]
    assert len(takers) <= 1
    for attempt in state.attempts:
        if attempt.captured_minor and attempt.number != state.taker:
            left = refundable_minor(state, attempt)
            refused = sum(r.amount_minor for r in state.refunds.values() if r.refused)
            assert left <= refused, "what was taken after it was given up goes back"
        told = world.providers[attempt.gateway].charges.get(attempt.ref)
        held = told is not None and told.status is ProviderStatus.AUTHORIZED
        assert not (held and attempt.given_up), "what nobody will take is let go"
    expected = dict(position(state))
    expected[WALLET] = expected.get(WALLET, 0) - spent
    assert {k: v for k, v in expected.items() if v} == {
        k: v for k, v in world.balances.items() if v
    }
    assert state.status not in FINAL or state.taker is None
    assert world.balances.get(receivable("pay-1", "USD"), 0) <= 0, "paid too much"
    if owed_minor(state):
        assert world.timers, "somebody looks for what is owed"
    assert state.status in FINAL or state.taker is not None or waits_for_its_payer(state)
    assert [c.before for c in world.changes[1:]] == [c.status for c in world.changes[:-1]]


def waits_for_its_payer(state: Payment) -> bool:
    return state.status in {PaymentStatus.ON_HOLD, PaymentStatus.PROCESSING} and bool(
        state.asked and (state.asked.capture is Capture.MANUAL or state.on_hold)
    )
