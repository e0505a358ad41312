"""Thousands of histories of a purchase in which everything that can go wrong does.

Steps are asked for twice, late, or with answers that get lost; news of the payment come twice, in
any order, or never; owners of goods refuse; buyers cancel and ask for refunds; banks take back. At
the end of each, the money is in the balance, with the owner of the goods, or back at the payer, and
the buyer has the goods or the money, never both.
"""

from __future__ import annotations

import os
from random import Random

import msgspec
import pytest

from domain.decision import Forget, Remind
from domain.purchases import deciding
from domain.purchases.evolving import evolve
from domain.purchases.policy import POLICY
from domain.purchases.state import Purchase
from domain.purchases.status import MAY_FOLLOW
from domain.purchases.views import view
from messages.errors import Conflict, InsufficientFunds, Refusal
from messages.payments.gateways import GatewayName, Method
from messages.payments.payments import (
    Assessment,
    CancelPayment,
    GetPayment,
    PaymentStatus,
    Purpose,
    RefundPayment,
    StartPayment,
    Verdict,
)
from messages.purchases.accounts import available, backing, funding
from messages.purchases.purchases import (
    CancelPurchase,
    MoneyBack,
    PaymentNews,
    PurchaseChanged,
    PurchaseCommand,
    PurchaseEvent,
    PurchaseStatus,
    RecordDone,
    RecordPayment,
    RecordRefused,
    RefundPurchase,
    SetAside,
    StartPurchase,
    Step,
    WantedStep,
)
from sagas import purchases as saga

HISTORIES = int(os.environ.get("VIBESTREAM_PURCHASE_HISTORIES", "4000"))
PARTS, STEPS = 4, 30
BUYER, SUBJECT, PURCHASE = "ana", "goods", "buy-1"
PRICE, TOKENS = 1_000, 7_000
WALLET = available(BUYER, "USD")
TO_POOL = funding(PURCHASE, "VIBES")
SETTLED = frozenset(PurchaseStatus) - {
    PurchaseStatus.NEW,
    PurchaseStatus.RESERVING,
    PurchaseStatus.PAYING,
    PurchaseStatus.DELIVERING,
    PurchaseStatus.UNDOING,
    PurchaseStatus.RETURNING,
}


class World:
    """A purchase, its payment, the owner of its goods, its timers; time is a number."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 1_790_000_000_000
        self.state: Purchase = deciding.initial(PURCHASE)
        self.timers: dict[str, int] = {}
        self.balances: dict[str, int] = {}
        self.answers: dict[bytes, object] = {}
        self.late: list[WantedStep] = []
        self.news: list[PaymentNews] = []
        self.payment: PaymentNews | None = None
        self.reserved = self.sold = False
        self.disputed = False
        self.spent_by_pool = self.gave_back = 0
        self.changes: list[PurchaseChanged] = []

    # --- the runtime, in small --------------------------------------------------------------------

    def ask(self, command: PurchaseCommand) -> None:
        try:
            decision = deciding.decide(POLICY, self.state, command, self.now)
        except Refusal:
            return
        after = dict(self.balances)
        for one in decision.transactions:
            for posting in one.postings:
                after[posting.account] = after.get(posting.account, 0) + posting.amount_minor
        if any(left < 0 for code, left in after.items() if not code.startswith("outside:")):
            if isinstance(command, SetAside):
                raise InsufficientFunds
            assert self.disputed, "only debts go below zero"
        self.balances = after
        for event in decision.events:
            raw = msgspec.json.encode(event)
            self.state = evolve(self.state, msgspec.json.decode(raw, type=PurchaseEvent))
        for timer in decision.timers:
            if isinstance(timer, Remind):
                self.timers[timer.name] = timer.due_at_ms
            elif isinstance(timer, Forget):
                self.timers.pop(timer.name, None)
        self.changes += [e for e in decision.events if isinstance(e, PurchaseChanged)]

    def start(self, purpose: Purpose, by_card: bool, money_back: MoneyBack) -> None:
        payment = StartPayment(
            BUYER, purpose, PRICE, "USD", Method.CARD, (GatewayName.STRIPE,),
            Assessment(Verdict.ALLOW),
        )  # fmt: skip
        counted = purpose in {Purpose.SHARE_PURCHASE, Purpose.NFT_PURCHASE}
        self.ask(
            StartPurchase(
                BUYER, purpose, PRICE, "USD", "" if purpose is Purpose.TOP_UP else SUBJECT,
                10 if counted else 0, 100 if counted else 0,
                TOKENS if purpose is Purpose.SPONSORSHIP else 0,
                payment if by_card else None, money_back,
            )
        )  # fmt: skip
        if not by_card:
            self.balances[WALLET] = PRICE
        assert self.state.asked is not None

    # --- owners of goods and payments -------------------------------------------------------------

    def perform(self, wanted: WantedStep, honest: bool = False) -> None:
        """Somebody asks for a step: perhaps twice, perhaps nobody hears the answer."""
        trick = 1.0 if honest else self.random.random()
        if trick < 0.1:
            return  # it never got there
        asked = saga.asked(view(self.state), wanted)
        try:
            if asked.key not in self.answers:
                self.answers[asked.key] = self.do(wanted, asked.command, honest)
            answer = self.answers[asked.key]
        except Refusal as refusal:
            if trick > 0.2:
                self.ask(RecordRefused(wanted.step, wanted.round, refusal.code))
            return
        if trick < 0.25:
            return  # the answer got lost
        if isinstance(answer, RecordDone):
            news = self.payment if wanted.step in {Step.PAY, Step.STOP, Step.REFUND} else None
            self.ask(msgspec.structs.replace(answer, round=wanted.round, news=news))

    def do(self, wanted: WantedStep, command: object, honest: bool) -> object:
        if isinstance(command, SetAside):
            self.ask(command)
            return None
        if isinstance(command, StartPayment | CancelPayment | RefundPayment | GetPayment):
            self.pay(command)
            return RecordDone(wanted.step, wanted.round)
        # Nobody refuses to let go, and what is kept would lapse by itself.
        if not honest and wanted.step is not Step.RELEASE and self.random.random() < 0.2:
            raise Conflict
        return getattr(self, f"_{wanted.step.name.lower()}")(wanted)

    def _reserve(self, wanted: WantedStep) -> RecordDone:
        self.reserved = True
        return RecordDone(wanted.step, wanted.round)

    def _release(self, wanted: WantedStep) -> RecordDone:
        self.reserved = False
        return RecordDone(wanted.step, wanted.round)

    def _take(self, wanted: WantedStep) -> RecordDone:
        if self.state.order.purpose is Purpose.NFT_PURCHASE and not self.reserved:
            raise Conflict
        if self.state.order.purpose is Purpose.SPONSORSHIP:
            if self.balances.get(TO_POOL, 0) < TOKENS:
                raise InsufficientFunds
            self.balances[TO_POOL] -= TOKENS
        else:
            if self.balances.get(WALLET, 0) < PRICE:
                raise InsufficientFunds
            self.balances[WALLET] -= PRICE
        self.reserved, self.sold = False, True
        return RecordDone(wanted.step, wanted.round)

    def _give_back(self, wanted: WantedStep) -> RecordDone:
        if not self.sold:  # it went back already, and nobody heard of it
            return RecordDone(wanted.step, wanted.round, self.gave_back)
        self.sold = False
        if self.state.order.purpose is not Purpose.SPONSORSHIP:
            self.balances[WALLET] = self.balances.get(WALLET, 0) + PRICE
            return RecordDone(wanted.step, wanted.round)
        rest = self.random.choice([TOKENS, TOKENS - 700, 700])
        self.spent_by_pool, self.gave_back = TOKENS - rest, rest
        self.balances[TO_POOL] = self.balances.get(TO_POOL, 0) + rest
        return RecordDone(wanted.step, wanted.round, rest)

    def pay(self, command: object) -> None:
        known = self.payment
        if isinstance(command, StartPayment):
            self.move(PaymentStatus.PROCESSING)
        elif isinstance(command, CancelPayment):
            assert known is not None
            if known.received_minor:
                raise Conflict
            if known.status is not PaymentStatus.FAILED:
                self.move(PaymentStatus.CANCELLED)
        elif isinstance(command, RefundPayment):
            assert known is not None
            left = known.received_minor - known.returned_minor
            if command.amount_minor > left:
                raise Conflict
            if self.balances.get(WALLET, 0) < command.amount_minor:
                raise InsufficientFunds
            self.balances[WALLET] -= command.amount_minor
            refunds = {**known.refunds, command.refund_id: "succeeded"}
            back = known.returned_minor + command.amount_minor
            whole = back == known.received_minor
            status = PaymentStatus.REFUNDED if whole else PaymentStatus.PARTIALLY_REFUNDED
            self.move(status, returned=back, refunds=refunds)

    def move(
        self,
        status: PaymentStatus,
        received: int | None = None,
        returned: int | None = None,
        refunds: dict[str, str] | None = None,
    ) -> None:
        was = self.payment or PaymentNews(0, status, 0, 0)
        self.payment = PaymentNews(
            was.version + 1,
            status,
            was.received_minor if received is None else received,
            was.returned_minor if returned is None else returned,
            "",
            was.refunds if refunds is None else refunds,
        )
        self.news.append(self.payment)

    # --- what may happen --------------------------------------------------------------------------

    def step(self) -> None:
        r = self.random
        self.now += r.choice([1, 500, 5_000, 60_000, 900_000])
        happen = r.choices(
            [self.carry, self.hear, self.provider, self.buyer, self.timer], [7, 5, 4, 1, 2]
        )[0]
        happen()

    def carry(self, honest: bool = False) -> None:
        wanted = list(view(self.state).wanted)
        if not honest and self.late and self.random.random() < 0.2:
            wanted = [self.random.choice(self.late)]
        for one in wanted:
            self.late.append(one)
            self.perform(one, honest)

    def hear(self) -> None:
        if not self.news:
            return
        one = self.random.choice(self.news)
        if self.random.random() < 0.3:
            self.news.remove(one)
        self.ask(RecordPayment(one))

    def provider(self) -> None:
        known, r = self.payment, self.random
        if known is None:
            return
        if known.status is PaymentStatus.PROCESSING:
            if r.random() < 0.7:
                taken = r.choice([PRICE, PRICE, PRICE, PRICE - 100])
                self.balances[WALLET] = self.balances.get(WALLET, 0) + taken
                self.move(PaymentStatus.COMPLETED, received=taken)
            else:
                self.move(PaymentStatus.FAILED)
        elif known.status is PaymentStatus.COMPLETED and r.random() < 0.1:
            self.disputed = True
            self.balances[WALLET] = self.balances.get(WALLET, 0) - known.received_minor
            self.move(PaymentStatus.DISPUTED, returned=known.received_minor)

    def buyer(self) -> None:
        if self.random.random() < 0.5:
            self.ask(CancelPurchase("changed-my-mind"))
        else:
            name = f"refund-{self.random.randint(1, 3)}"
            back = self.random.choice(list(MoneyBack))
            self.ask(RefundPurchase(name, BUYER, "x", False, back))

    def timer(self) -> None:
        if not self.timers:
            return
        name = min(self.timers, key=lambda n: self.timers[n])
        self.now = max(self.now, self.timers.pop(name))
        self.ask(deciding.reminded(name))
        if name == "look" and self.payment is not None:
            self.ask(RecordPayment(self.payment))

    def calm_down(self) -> None:
        """The network is well, the provider makes up its mind, all timers are due."""
        if self.sold:
            self.ask(RecordDone(Step.TAKE, saga.FIRST))  # the owner's own fact
        for _ in range(60):
            if self.payment is not None and self.payment.status is PaymentStatus.PROCESSING:
                self.provider()
            for _ in range(20):
                self.carry(honest=True)
            if self.payment is not None:
                self.ask(RecordPayment(self.payment))
            if not view(self.state).wanted and self.state.status in SETTLED:
                return
            self.timer()


@pytest.mark.parametrize("part", range(PARTS))
def test_histories(part: int) -> None:
    for seed in range(part, HISTORIES, PARTS):
        try:
            check(run(seed))
        except Exception as error:
            raise AssertionError(f"history {seed}") from error


def run(seed: int) -> World:
    world = World(seed)
    r = world.random
    purpose = r.choice(list(Purpose))
    by_card = purpose is Purpose.TOP_UP or r.random() < 0.8
    world.start(purpose, by_card, r.choice(list(MoneyBack)))
    for _ in range(r.randint(3, STEPS)):
        world.step()
    world.calm_down()
    return world


def check(world: World) -> None:
    state, wallet = world.state, world.balances.get(WALLET, 0)
    assert state.status in SETTLED, state.status
    news = world.payment
    brought = news.received_minor - news.returned_minor if news else 0
    if state.order.payment is None:
        brought = PRICE
    backed = world.balances.get(backing(PURCHASE, "USD"), 0)
    pool = state.order.purpose is Purpose.SPONSORSHIP
    with_owner = backed if pool else PRICE * world.sold
    assert wallet + with_owner == brought, "the money is somewhere"
    assert world.balances.get(TO_POOL, 0) == 0
    # What was kept for somebody who asked late, and never told the purchase, lapses by itself.
    assert not world.reserved or not state.is_done(Step.RESERVE), "what is not bought is let go"
    if world.disputed:
        assert not world.sold or state.order.purpose is Purpose.SHARE_PURCHASE or state.failure
        return
    assert wallet >= 0
    if state.status is PurchaseStatus.COMPLETED and state.has_goods:
        assert world.sold
        assert brought == PRICE, "goods are paid for once"
    if state.status in {
        PurchaseStatus.CANCELLED,
        PurchaseStatus.COMPENSATED,
        PurchaseStatus.REFUNDED,
    }:
        assert not world.sold
        left = wallet if state.order.payment is not None else 0
        assert left <= world.spent_by_pool, "and the money is back"
    moves = [(c.before, c.status) for c in world.changes]
    assert all(a is b or b in MAY_FOLLOW[a] for a, b in moves)
    assert [b for b, _ in moves[1:]] == [s for _, s in moves[:-1]]
