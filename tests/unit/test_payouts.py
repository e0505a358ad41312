"""A payout's scenarios, by hand: what is asked, what comes of it, where the money is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from domain.decision import Forget, Remind
from domain.payouts import deciding
from domain.payouts.checking import Known
from domain.payouts.evolving import evolve
from domain.payouts.policy import (
    DAY_MS,
    HOUR_MS,
    POLICY,
    Bearer,
    Change,
    PayoutOffer,
    charged_minor,
    is_large,
    retry_after_ms,
)
from domain.payouts.position import position
from domain.payouts.snapshots import join
from domain.payouts.state import Payout
from messages.errors import Refusal
from messages.payments.accounts import available, clearing, fees, paying_out, receivable
from messages.payments.gateways import GatewayName
from messages.payments.payments import CheckCall, DecideReview, RecordFailure, Source
from messages.payments.payout_errors import (
    PayoutCoolingOff,
    PayoutExists,
    PayoutLimitReached,
    PayoutMethodNotFound,
    PayoutMethodNotReady,
    PayoutNotFound,
    PayoutNotOffered,
    PayoutReviewOwn,
    PayoutStateForbids,
    PayoutTooSmall,
)
from messages.payments.payout_methods import PayoutMethodState
from messages.payments.payout_orders import PayoutProgress, PayoutProvider, PayoutSnapshot
from messages.payments.payouts import (
    CancelPayout,
    GetPayout,
    LookAtPayout,
    PayoutCall,
    PayoutCallDue,
    PayoutCallKind,
    PayoutCommand,
    PayoutStatus,
    RecordPayoutAnswer,
    RecordPayoutSnapshot,
    RequestPayout,
    SendPayout,
)

NOW = 1_790_000_000_000
WALLET = available("ana", "USD")
ON_WAY = paying_out("ana", "USD")
READY = Known(PayoutProvider.STRIPE, PayoutMethodState.READY)
PAID = PayoutSnapshot("po_1", PayoutProgress.PAID, 5)


class Desk:
    """A payout, asked one thing after the other."""

    def __init__(self) -> None:
        self.state: Payout = deciding.initial("payout-1")
        self.now = NOW
        self.timers: dict[str, int] = {}
        self.due: list[PayoutCall] = []
        self.moves: list[dict[str, int]] = []

    def ask(self, command: PayoutCommand | deciding.Prepared) -> PayoutStatus:
        if isinstance(command, SendPayout):
            self.timers.pop("send", None)
        decision = deciding.decide(POLICY, self.state, command, self.now)
        for event in decision.events:
            self.state = evolve(self.state, event)
            if isinstance(event, PayoutCallDue):
                self.due.append(event.call)
        for timer in decision.timers:
            if isinstance(timer, Remind):
                self.timers[timer.name] = timer.due_at_ms
            elif isinstance(timer, Forget):
                self.timers.pop(timer.name, None)
        for moved in decision.transactions:
            self.moves.append({p.account: p.amount_minor for p in moved.postings})
        status: PayoutStatus = decision.answer.status
        assert status is self.state.status
        return status

    def request(self, amount: int = 5_000, known: Known = READY, currency: str = "USD") -> None:
        asked = RequestPayout("ana", "method-1", amount, currency)
        self.ask(deciding.Prepared(asked, known))

    def send(self, amount: int = 5_000, known: Known = READY) -> PayoutCall:
        self.request(amount, known)
        assert self.ask(SendPayout()) is PayoutStatus.SENDING
        return self.call

    @property
    def call(self) -> PayoutCall:
        """What waits."""
        assert self.state.call is not None
        return self.state.call

    def asks(self) -> PayoutCallKind:
        return self.call.kind

    def answer(self, snapshot: PayoutSnapshot = PAID) -> PayoutStatus:
        return self.ask(RecordPayoutAnswer(self.call.call_id, snapshot))

    def fail(self, *, declined: bool = False, certain: bool = True) -> PayoutStatus:
        return self.ask(RecordFailure(self.call.call_id, declined, certain, "why"))

    def tell(self, progress: PayoutProgress, at_ms: int = 9) -> PayoutStatus:
        snapshot = PayoutSnapshot("po_1", progress, at_ms)
        return self.ask(
            RecordPayoutSnapshot(PayoutProvider.STRIPE, snapshot, Source.RECONCILIATION)
        )


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_payout_from_the_balance_to_its_receiver(desk: Desk) -> None:
    desk.request()
    assert desk.moves == [{WALLET: -5_000, ON_WAY: 5_000}]
    assert desk.timers == {"send": NOW + POLICY.grace_ms}
    assert desk.due == []
    desk.ask(SendPayout())
    (call,) = desk.due
    assert (call.kind, call.key) == (PayoutCallKind.PAY, "payout-1:pay")
    assert desk.answer() is PayoutStatus.PAID
    assert desk.moves[1:] == [{ON_WAY: -5_000, clearing(GatewayName.STRIPE, "USD"): 5_000}]
    assert set(desk.timers) == {"look"}


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (PayoutProgress.FAILED, PayoutStatus.FAILED),
        (PayoutProgress.RETURNED, PayoutStatus.RETURNED),
    ],
)
def test_what_does_not_arrive_is_the_balance_again(
    desk: Desk, end: PayoutProgress, status: PayoutStatus
) -> None:
    desk.send()
    desk.answer(PayoutSnapshot("po_1", PayoutProgress.PENDING, 1))
    assert desk.tell(end) is status
    assert desk.moves[-1] == {WALLET: 5_000, ON_WAY: -5_000}


@pytest.mark.parametrize("end", [PayoutProgress.FAILED, PayoutProgress.RETURNED])
def test_what_comes_back_after_it_was_paid_is_the_balance_again(
    desk: Desk, end: PayoutProgress
) -> None:
    desk.send()
    desk.answer()
    assert desk.tell(end) is PayoutStatus.RETURNED
    assert desk.moves[-1] == {WALLET: 5_000, clearing(GatewayName.STRIPE, "USD"): -5_000}
    assert desk.tell(PayoutProgress.PAID, 99) is PayoutStatus.RETURNED
    assert len(desk.moves) == 3


def test_fees_are_the_platforms_or_the_users(desk: Desk) -> None:
    known = Known(PayoutProvider.PAYPAL, PayoutMethodState.READY)
    desk.send(known=known)
    assert desk.state.charged_minor == 100
    desk.answer(PayoutSnapshot("po_1", PayoutProgress.PAID, 5, fee_minor=25))
    paypal = GatewayName.PAYPAL
    # 49.00 are with the receiver and 0.25 with PayPal; 0.75 of what was charged is left.
    assert desk.moves[-1] == {
        ON_WAY: -5_000,
        clearing(paypal, "USD"): 4_925,
        fees(paypal, "USD"): 75,
    }


def test_a_fee_is_capped() -> None:
    offer = PayoutOffer(PayoutProvider.PAYPAL, ("USD",), Bearer.USER, 200, 100)
    assert [charged_minor(offer, n, "USD") for n in (1_000, 1_001, 1_000_000)] == [20, 21, 100]


def test_cancelled_while_it_may_be(desk: Desk) -> None:
    desk.request()
    assert desk.ask(CancelPayout("ana")) is PayoutStatus.CANCELLED
    assert desk.timers == {}
    assert desk.moves[-1] == {WALLET: 5_000, ON_WAY: -5_000}
    assert desk.ask(CancelPayout("ana")) is PayoutStatus.CANCELLED
    assert desk.ask(SendPayout()) is PayoutStatus.CANCELLED
    assert desk.due == []


def test_what_is_sent_is_not_cancelled(desk: Desk) -> None:
    desk.send()
    with pytest.raises(PayoutStateForbids):
        desk.ask(CancelPayout("ana"))
    desk.answer()
    with pytest.raises(PayoutStateForbids):
        desk.ask(CancelPayout("ana"))


@pytest.mark.parametrize("allow", [True, False])
def test_a_person_decides_about_a_large_one(desk: Desk, *, allow: bool) -> None:
    desk.request(100_001)
    assert desk.state.status is PayoutStatus.ON_HOLD
    assert desk.state.assessment.reasons == ("amount-large",)
    assert desk.timers == {}
    with pytest.raises(PayoutReviewOwn):
        desk.ask(DecideReview(True, "ana", "it is fine"))
    status = desk.ask(DecideReview(allow, "moderator", "looked"))
    assert status is (PayoutStatus.SENDING if allow else PayoutStatus.CANCELLED)
    assert len(desk.due) == allow
    with pytest.raises(PayoutStateForbids):
        desk.ask(DecideReview(True, "moderator", "again"))


def test_an_answer_that_got_lost_is_asked_for_under_the_same_key(desk: Desk) -> None:
    first = desk.send()
    assert desk.fail(certain=False) is PayoutStatus.SENDING
    desk.ask(CheckCall(first.call_id))
    assert [(c.call_id, c.key) for c in desk.due] == [(first.call_id, first.key)] * 2
    assert desk.call.tries == 2
    assert desk.answer() is PayoutStatus.PAID
    assert desk.ask(RecordPayoutAnswer(first.call_id, PAID)) is PayoutStatus.PAID
    assert len(desk.moves) == 2


def test_what_was_declined_is_looked_for_before_it_fails(desk: Desk) -> None:
    desk.send()
    assert desk.fail(declined=True) is PayoutStatus.SENDING
    assert desk.asks() is PayoutCallKind.FIND
    assert desk.fail(declined=True) is PayoutStatus.FAILED
    assert desk.moves[-1] == {WALLET: 5_000, ON_WAY: -5_000}
    assert desk.state.failure == "why"
    assert not any(name.startswith("call:") for name in desk.timers)


def test_what_was_declined_because_it_was_sent_before_is_found(desk: Desk) -> None:
    desk.send()
    desk.fail(declined=True)
    assert desk.answer() is PayoutStatus.PAID


def test_what_the_provider_forgot_is_looked_for_and_sent_again(desk: Desk) -> None:
    first = desk.send()
    desk.fail(certain=False)
    desk.now += POLICY.key_ms
    desk.ask(CheckCall(first.call_id))
    assert desk.asks() is PayoutCallKind.FIND
    desk.fail(declined=True)
    assert desk.asks() is PayoutCallKind.PAY
    assert desk.call.key == first.key
    assert desk.call.until_ms == desk.now + POLICY.key_ms


def test_a_provider_that_is_away_for_a_day(desk: Desk) -> None:
    desk.send()
    for _ in range(3):
        assert desk.fail() is PayoutStatus.SENDING
    assert desk.asks() is PayoutCallKind.PAY
    desk.now += POLICY.patience_ms
    desk.fail()
    assert desk.asks() is PayoutCallKind.FIND
    assert desk.fail(certain=True) is PayoutStatus.SENDING
    assert desk.fail(declined=True) is PayoutStatus.FAILED


def test_a_payout_under_way_is_looked_at_again(desk: Desk) -> None:
    desk.send()
    pending = PayoutSnapshot("po_1", PayoutProgress.PENDING, 1)
    assert desk.answer(pending) is PayoutStatus.SENDING
    for _ in range(3):
        assert desk.timers["look"] == desk.now + POLICY.look_ms
        desk.now = desk.timers.pop("look")
        desk.ask(LookAtPayout())
        assert (desk.call.kind, desk.call.ref) == (PayoutCallKind.FIND, "po_1")
        desk.answer(pending)
    desk.now = desk.timers.pop("look")
    desk.ask(LookAtPayout())
    desk.fail(declined=True)  # it does not find what it had: no word to go by
    assert desk.state.status is PayoutStatus.SENDING
    assert "look" in desk.timers


def test_a_paid_one_is_watched_for_a_while(desk: Desk) -> None:
    desk.send()
    desk.answer()
    looks = 0
    while "look" in desk.timers:
        desk.now = desk.timers.pop("look")
        desk.ask(LookAtPayout())
        desk.answer()
        looks += 1
    assert looks == 9


def test_a_webhook_is_as_good_as_the_answer(desk: Desk) -> None:
    first = desk.send()
    desk.fail(certain=False)
    assert desk.tell(PayoutProgress.PAID) is PayoutStatus.PAID
    assert desk.state.call is None
    assert desk.ask(CheckCall(first.call_id)) is PayoutStatus.PAID
    assert len(desk.due) == 1


def test_what_was_not_sent_is_not_believed_to_be_paid(desk: Desk) -> None:
    desk.request()
    assert desk.tell(PayoutProgress.PAID) is PayoutStatus.REQUESTED
    other = RecordPayoutSnapshot(PayoutProvider.PAYPAL, PAID, Source.WEBHOOK)
    desk.ask(SendPayout())
    assert desk.ask(other) is PayoutStatus.SENDING


def test_what_was_paid_after_it_had_been_given_up_is_owed(desk: Desk) -> None:
    """The balance has the money back, so the ledger says who owes it and the provider's record."""
    desk.send()
    desk.fail(declined=True)
    desk.fail(declined=True)
    assert desk.tell(PayoutProgress.PAID) is PayoutStatus.FAILED
    assert desk.moves[-1] == {
        clearing(GatewayName.STRIPE, "USD"): 5_000,
        receivable("payout-1", "USD"): -5_000,
    }
    assert sum(position(desk.state).values()) == 0
    desk.tell(PayoutProgress.RETURNED, 12)
    assert not any(position(desk.state).values())


CASES: Sequence[tuple[int, str, Known, type[Refusal], dict[str, object]]] = [
    (5_000, "USD", Known(), PayoutMethodNotFound, {}),
    (5_000, "VIBES", READY, PayoutNotOffered, {"currency": "VIBES"}),
    (5_000, "USD", Known(PayoutProvider.STRIPE), PayoutMethodNotReady, {}),
    (999, "USD", READY, PayoutTooSmall, {"least": 1_000}),
    (
        100_001, "USD",
        Known(PayoutProvider.STRIPE, PayoutMethodState.READY, ((NOW - DAY_MS + 1, 900_000),)),
        PayoutLimitReached, {"most": 1_000_000, "left": 100_000},
    ),
    (
        5_000, "USD",
        Known(PayoutProvider.STRIPE, PayoutMethodState.READY,
              changes={Change.NEW_DESTINATION: NOW - HOUR_MS}),
        PayoutCoolingOff, {"reason": "new-destination", "until_ms": NOW + 23 * HOUR_MS},
    ),
    (
        5_000, "USD",
        Known(PayoutProvider.STRIPE, PayoutMethodState.READY,
              changes={Change.CREDENTIALS: NOW - DAY_MS + 1}),
        PayoutCoolingOff, {"reason": "credentials-changed", "until_ms": NOW + 1},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("amount", "currency", "known", "error", "params"), CASES)
def test_what_is_refused(
    desk: Desk,
    amount: int,
    currency: str,
    known: Known,
    error: type[Refusal],
    params: dict[str, object],
) -> None:
    with pytest.raises(error) as refused:
        desk.request(amount, known, currency)
    assert refused.value.params == params
    assert desk.state == deciding.initial("payout-1")


def test_what_is_long_past_is_forgotten(desk: Desk) -> None:
    changes = {Change.NEW_DESTINATION: NOW - DAY_MS, Change.CREDENTIALS: NOW - DAY_MS}
    recent = ((NOW - DAY_MS, 1_000_000),)
    known = Known(PayoutProvider.STRIPE, PayoutMethodState.READY, recent, changes)
    desk.request(known=known)
    assert desk.state.status is PayoutStatus.REQUESTED


def test_money_that_came_by_card_lately_is_looked_at(desk: Desk) -> None:
    changes = {Change.CARD_DEPOSIT: NOW - 3 * DAY_MS + 1}
    desk.request(known=Known(PayoutProvider.STRIPE, PayoutMethodState.READY, changes=changes))
    assert desk.state.status is PayoutStatus.ON_HOLD
    assert desk.state.assessment.reasons == ("card-deposit",)


def test_a_payout_is_requested_once(desk: Desk) -> None:
    for command in (GetPayout(), CancelPayout("ana"), SendPayout()):
        with pytest.raises(PayoutNotFound):
            desk.ask(command)
    desk.request()
    with pytest.raises(PayoutExists):
        desk.request()


def test_news_are_joined_in_any_order() -> None:
    news = [
        PayoutSnapshot("po_1", PayoutProgress.PENDING, 1),
        PayoutSnapshot("po_1", PayoutProgress.PAID, 2, 25),
        PayoutSnapshot("po_1", PayoutProgress.PAID, 3),
        PayoutSnapshot("po_1", PayoutProgress.RETURNED, 2, failure="unclaimed"),
    ]
    for one in news:
        assert join(one, one) == one
        for other in news:
            assert join(one, other) == join(other, one)
            for third in news:
                assert join(join(one, other), third) == join(one, join(other, third))


def test_pauses_double_up_to_a_most() -> None:
    assert [retry_after_ms(POLICY, n) for n in (0, 1, 2, 50)] == [5_000, 10_000, 20_000, HOUR_MS]


def test_a_large_payout() -> None:
    assert [is_large(n, "USD") for n in (10_000, 10_001)] == [False, True]
