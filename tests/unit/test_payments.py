"""A payment by hand: each scenario short enough to check by eye."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.decision import Decision, Remind
from domain.payments import deciding
from domain.payments.evolving import evolve
from domain.payments.policy import POLICY, retry_after_ms
from domain.payments.routing import check_amount, cost_minor, route
from domain.payments.snapshots import join, normal
from domain.payments.state import Payment, owed_minor
from domain.payments.status import FINAL, MAY_FOLLOW
from messages.payments.errors import (
    BadPaymentAmount,
    CaptureNotOffered,
    CaptureTooLarge,
    MethodNotOffered,
    PayerIsPayee,
    PaymentAmountTooFine,
    PaymentExists,
    PaymentNotFound,
    PaymentStateForbids,
    RefundTooLarge,
)
from messages.payments.gateways import (
    Call,
    CallKind,
    DisputeStatus,
    GatewayName,
    Method,
    ProviderDispute,
    ProviderRefund,
    ProviderStatus,
    ReturnStatus,
    Snapshot,
)
from messages.payments.payments import (
    Assessment,
    CallOverdue,
    CancelPayment,
    Capture,
    CapturePayment,
    CheckCall,
    CollectDebt,
    ConfirmPayment,
    DecideReview,
    ExpirePayment,
    GetPayment,
    PaymentChanged,
    PaymentStatus,
    Purpose,
    RecordAnswer,
    RecordFailure,
    RecordSnapshot,
    RefundPayment,
    Source,
    StartPayment,
    Verdict,
)

NOW = 1_790_000_000_000
AMOUNT = 10_000
S, P = GatewayName.STRIPE, GatewayName.PAYPAL


class Desk:
    """A payment with what the ledger would say."""

    def __init__(self) -> None:
        self.state: Payment = deciding.initial("pay-1")
        self.now = NOW
        self.balances: dict[str, int] = {}
        self.timers: dict[str, int] = {}

    def ask(self, command: Any) -> Decision[Any]:
        decision = deciding.decide(POLICY, self.state, command, self.now)
        for event in decision.events:
            self.state = evolve(self.state, event)
        for transaction in decision.transactions:
            for line in transaction.postings:
                found = self.balances.get(line.account, 0) + line.amount_minor
                self.balances[line.account] = found
        for timer in decision.timers:
            if isinstance(timer, Remind):
                self.timers[timer.name] = timer.due_at_ms
            else:
                self.timers.pop(timer.name, None)
        return decision

    def start(self, **changes: Any) -> Desk:
        asked = StartPayment(
            "ana", Purpose.TOP_UP, AMOUNT, "USD", Method.CARD, (S,), Assessment(Verdict.ALLOW)
        )
        self.ask(replace(asked, **changes))
        return self

    @property
    def call(self) -> Call:
        (waiting,) = self.state.calls.values()
        return waiting.call

    def status(self) -> PaymentStatus:
        return self.state.status

    def kind(self) -> CallKind:
        return self.call.kind

    def answer(self, status: ProviderStatus, captured: int = 0, **more: Any) -> Desk:
        told = snapshot(status, captured, **more)
        self.ask(RecordAnswer(self.call.call_id, told))
        return self

    def fail(self, *, declined: bool, certain: bool) -> Desk:
        self.ask(RecordFailure(self.call.call_id, declined, certain, "no"))
        return self

    def tell(self, status: ProviderStatus, captured: int = 0, **more: Any) -> Desk:
        at = more.pop("gateway", S)
        self.ask(RecordSnapshot(at, snapshot(status, captured, **more), Source.WEBHOOK))
        return self

    def held(self) -> dict[str, int]:
        return {code: minor for code, minor in self.balances.items() if minor}


def snapshot(status: ProviderStatus, captured: int = 0, at: int = 1, **more: Any) -> Snapshot:
    return Snapshot(more.pop("ref", "ch_1"), status, at, captured, **more)


PAID = {"outside:stripe:clearing/USD": -AMOUNT, "user:ana:available/USD": AMOUNT}


def paid() -> Desk:
    desk = Desk().start()
    return desk.answer(ProviderStatus.CAPTURED, AMOUNT)


def test_a_card_is_charged_and_the_wallet_has_it() -> None:
    desk = Desk().start()
    assert (desk.call.kind, desk.call.gateway, desk.call.amount_minor) == (
        CallKind.CREATE, S, AMOUNT,
    )  # fmt: skip
    assert desk.status() is PaymentStatus.PROCESSING
    desk.answer(ProviderStatus.CAPTURED, AMOUNT)
    assert desk.status() is PaymentStatus.COMPLETED
    assert desk.held() == PAID
    assert not desk.state.calls


def test_a_payer_has_something_to_do_first() -> None:
    desk = Desk().start().answer(ProviderStatus.REQUIRES_ACTION)
    assert desk.status() is PaymentStatus.REQUIRES_ACTION
    desk.ask(ConfirmPayment())
    assert desk.kind() is CallKind.FETCH
    desk.ask(ConfirmPayment())
    assert desk.kind() is CallKind.FETCH  # asked once
    desk.answer(ProviderStatus.AUTHORIZED, at=2)
    assert desk.kind() is CallKind.CAPTURE
    desk.answer(ProviderStatus.CAPTURED, AMOUNT, at=3)
    assert desk.held() == PAID


def test_what_its_payer_approved_is_taken() -> None:
    desk = Desk().start().answer(ProviderStatus.REQUIRES_ACTION)
    desk.tell(ProviderStatus.APPROVED, at=2)
    assert (desk.status(), desk.kind()) == (PaymentStatus.PROCESSING, CallKind.CAPTURE)
    with pytest.raises(PaymentStateForbids):
        desk.ask(CancelPayment("too late"))
    desk.answer(ProviderStatus.CAPTURED, AMOUNT, at=3)
    assert desk.held() == PAID


def test_what_its_payer_approved_is_held_until_it_is_asked_for() -> None:
    desk = Desk().start(capture=Capture.MANUAL).answer(ProviderStatus.APPROVED)
    assert desk.kind() is CallKind.AUTHORIZE
    with pytest.raises(PaymentStateForbids):
        desk.ask(CapturePayment(AMOUNT))
    with pytest.raises(PaymentStateForbids):
        desk.ask(CancelPayment("while it is being held"))
    desk.answer(ProviderStatus.AUTHORIZED, at=2)
    assert not desk.state.calls
    desk.ask(CapturePayment(6_000))
    desk.answer(ProviderStatus.CAPTURED, 6_000, at=3)
    assert desk.held()["user:ana:available/USD"] == 6_000


def test_what_is_held_of_an_attempt_that_was_given_up_is_let_go() -> None:
    desk = Desk().start().answer(ProviderStatus.APPROVED)
    desk.fail(declined=True, certain=True)
    assert (desk.status(), desk.state.calls) == (PaymentStatus.FAILED, {})
    desk.tell(ProviderStatus.AUTHORIZED, at=2)
    assert desk.kind() is CallKind.CANCEL


def test_the_webhook_comes_before_the_answer_and_again_after_it() -> None:
    desk = Desk().start()
    call = desk.call
    for _ in range(3):
        desk.tell(ProviderStatus.CAPTURED, AMOUNT, at=5)
    desk.ask(RecordAnswer(call.call_id, snapshot(ProviderStatus.PROCESSING, at=4)))
    again = desk.ask(RecordAnswer(call.call_id, snapshot(ProviderStatus.CAPTURED, AMOUNT, at=5)))
    assert again.events == ()
    assert desk.status() is PaymentStatus.COMPLETED
    assert desk.held() == PAID


def test_a_lost_answer_is_asked_for_again_under_the_same_key() -> None:
    desk = Desk().start()
    first = desk.call
    desk.fail(declined=False, certain=False)
    assert desk.status() is PaymentStatus.PROCESSING
    assert desk.call.key == first.key
    desk.now = desk.timers[f"call:{first.call_id}"]
    decision = desk.ask(CheckCall(first.call_id))
    (overdue,) = [e for e in decision.events if isinstance(e, CallOverdue)]
    assert (overdue.call.key, overdue.call.tries) == (first.key, 1)
    assert desk.timers[f"call:{first.call_id}"] == desk.now + retry_after_ms(POLICY, 1)


def test_another_provider_is_asked_only_if_the_first_took_nothing_for_certain() -> None:
    unsure = Desk().start(gateways=(S, P)).fail(declined=False, certain=False)
    assert unsure.call.gateway is S
    sure = Desk().start(gateways=(S, P)).fail(declined=False, certain=True)
    assert (sure.call.gateway, sure.call.number) == (P, 1)
    sure.answer(ProviderStatus.CAPTURED, AMOUNT, ref="pp_1")
    assert sure.held() == {
        "outside:paypal:clearing/USD": -AMOUNT, "user:ana:available/USD": AMOUNT,
    }  # fmt: skip


def test_a_provider_that_is_down_is_tried_for_a_while() -> None:
    desk = Desk().start().fail(declined=False, certain=True)
    assert desk.kind() is CallKind.CREATE
    desk.now += POLICY.patience_ms
    desk.fail(declined=False, certain=True)
    assert desk.status() is PaymentStatus.FAILED
    assert not desk.state.calls


def test_what_was_given_up_and_is_taken_after_all_goes_back() -> None:
    desk = Desk().start(gateways=(S, P)).fail(declined=False, certain=True)
    desk.answer(ProviderStatus.CAPTURED, AMOUNT, ref="pp_1")
    desk.tell(ProviderStatus.CAPTURED, AMOUNT)
    assert (desk.call.kind, desk.call.gateway, desk.call.amount_minor) == (
        CallKind.REFUND, S, AMOUNT,
    )  # fmt: skip
    assert desk.balances["outside:pay-1:orphaned/USD"] == AMOUNT
    assert desk.balances["user:ana:available/USD"] == AMOUNT
    refund = ProviderRefund("re_1", AMOUNT, ReturnStatus.SUCCEEDED, 2, desk.call.refund_id)
    desk.answer(ProviderStatus.CAPTURED, AMOUNT, refunds=(refund,))
    assert desk.held() == {
        "outside:paypal:clearing/USD": -AMOUNT, "user:ana:available/USD": AMOUNT,
    }  # fmt: skip


def test_a_declined_card_ends_the_payment() -> None:
    desk = Desk().start(gateways=(S, P)).fail(declined=True, certain=True)
    assert (desk.state.status, desk.state.failure) == (PaymentStatus.FAILED, "no")
    assert desk.held() == {}


def test_a_refund_is_held_until_the_provider_gave_it_back() -> None:
    desk = paid()
    desk.ask(RefundPayment("r1", 4_000, "unhappy", "ana"))
    assert desk.held() == {
        "outside:stripe:clearing/USD": -AMOUNT, "user:ana:available/USD": 6_000,
        "user:ana:refunding/USD": 4_000,
    }  # fmt: skip
    with pytest.raises(RefundTooLarge) as error:
        desk.ask(RefundPayment("r2", 6_001, "unhappy", "ana"))
    assert error.value.params == {"most": 6_000}
    assert desk.ask(RefundPayment("r1", 6_001, "again", "ana")).events == ()
    back = ProviderRefund("re_1", 4_000, ReturnStatus.SUCCEEDED, 2, "r1")
    desk.answer(ProviderStatus.CAPTURED, AMOUNT, refunds=(back,))
    assert desk.status() is PaymentStatus.PARTIALLY_REFUNDED
    assert desk.held() == {
        "outside:stripe:clearing/USD": -6_000, "user:ana:available/USD": 6_000,
    }  # fmt: skip


def test_a_refund_that_the_provider_refuses_is_the_payers_again() -> None:
    desk = paid()
    desk.ask(RefundPayment("r1", AMOUNT, "unhappy", "ana"))
    desk.fail(declined=True, certain=True)
    assert desk.held() == PAID
    assert desk.status() is PaymentStatus.COMPLETED
    desk.ask(RefundPayment("r2", AMOUNT, "again", "ana"))
    assert desk.call.refund_id == "r2"


def test_a_refund_that_fails_after_it_seemed_to_succeed() -> None:
    desk = paid()
    desk.ask(RefundPayment("r1", AMOUNT, "unhappy", "ana"))
    back = ProviderRefund("re_1", AMOUNT, ReturnStatus.SUCCEEDED, 2, "r1")
    desk.answer(ProviderStatus.CAPTURED, AMOUNT, refunds=(back,))
    assert (desk.state.status, desk.held()) == (PaymentStatus.REFUNDED, {})
    failed = replace(back, status=ReturnStatus.FAILED, at_ms=3)
    desk.tell(ProviderStatus.CAPTURED, AMOUNT, refunds=(failed,))
    assert (desk.state.status, desk.held()) == (PaymentStatus.COMPLETED, PAID)


def test_a_dispute_is_owed_collected_and_given_back_when_it_is_won() -> None:
    desk = paid()
    dispute = ProviderDispute("dp_1", AMOUNT, DisputeStatus.OPEN, 2)
    desk.tell(ProviderStatus.CAPTURED, AMOUNT, disputes=(dispute,))
    assert desk.status() is PaymentStatus.DISPUTED
    assert owed_minor(desk.state) == AMOUNT
    assert desk.held() == {
        "outside:pay-1:receivable/USD": -AMOUNT, "user:ana:available/USD": AMOUNT,
    }  # fmt: skip
    assert "debt" in desk.timers
    desk.ask(CollectDebt(available_minor=7_000))
    assert owed_minor(desk.state) == 3_000
    assert desk.held() == {
        "outside:pay-1:receivable/USD": -3_000, "user:ana:available/USD": 3_000,
    }  # fmt: skip
    won = replace(dispute, status=DisputeStatus.WON, at_ms=3)
    desk.tell(ProviderStatus.CAPTURED, AMOUNT, disputes=(won,))
    assert (desk.state.status, desk.held()) == (PaymentStatus.COMPLETED, PAID)
    assert owed_minor(desk.state) == 0


def test_what_a_provider_refunds_by_itself_is_owed() -> None:
    desk = paid()
    foreign = ProviderRefund("re_9", 2_500, ReturnStatus.SUCCEEDED, 2)
    desk.tell(ProviderStatus.CAPTURED, AMOUNT, refunds=(foreign,))
    assert desk.status() is PaymentStatus.PARTIALLY_REFUNDED
    assert owed_minor(desk.state) == 2_500
    with pytest.raises(RefundTooLarge):
        desk.ask(RefundPayment("r1", 7_501, "more", "ana"))


def test_a_payment_on_hold_waits_for_a_person() -> None:
    desk = Desk().start(assessment=Assessment(Verdict.REVIEW, 60, ("amount-large",)))
    assert (desk.state.status, desk.state.calls) == (PaymentStatus.ON_HOLD, {})
    desk.ask(DecideReview(True, "mod", "known customer"))
    assert desk.kind() is CallKind.CREATE
    refused = Desk().start(assessment=Assessment(Verdict.REVIEW))
    refused.ask(DecideReview(False, "mod", "stolen"))
    assert (refused.state.status, refused.state.failure) == (PaymentStatus.CANCELLED, "denied")
    with pytest.raises(PaymentStateForbids):
        refused.ask(DecideReview(True, "mod", "too late"))


def test_a_denied_payment_is_kept_and_asks_nobody() -> None:
    desk = Desk().start(assessment=Assessment(Verdict.DENY, 100, ("card-velocity",)))
    assert (desk.state.status, desk.state.calls) == (PaymentStatus.CANCELLED, {})
    view = desk.ask(GetPayment()).answer
    assert view.assessment.reasons == ("card-velocity",)


def test_cancelling() -> None:
    desk = Desk().start().answer(ProviderStatus.REQUIRES_ACTION)
    desk.ask(CancelPayment("changed-my-mind"))
    assert desk.kind() is CallKind.CANCEL
    desk.answer(ProviderStatus.CANCELLED, at=2)
    assert desk.status() is PaymentStatus.CANCELLED
    assert desk.ask(CancelPayment("again")).events == ()
    with pytest.raises(PaymentStateForbids):
        paid().ask(CancelPayment("too-late"))


def test_cancelling_before_the_provider_answered() -> None:
    desk = Desk().start()
    desk.ask(CancelPayment("changed-my-mind"))
    assert desk.status() is PaymentStatus.PROCESSING
    desk.answer(ProviderStatus.CAPTURED, AMOUNT)
    assert desk.status() is PaymentStatus.CANCELLED
    assert desk.kind() is CallKind.REFUND
    assert "user:ana:available/USD" not in desk.held()


def test_a_payer_who_never_comes_back() -> None:
    desk = Desk().start().answer(ProviderStatus.REQUIRES_ACTION)
    assert desk.timers["expire"] == NOW + POLICY.expire_ms
    desk.ask(ExpirePayment())
    desk.answer(ProviderStatus.CANCELLED, at=2)
    assert (desk.state.status, desk.state.failure) == (PaymentStatus.CANCELLED, "expired")


def test_part_of_an_authorisation_is_captured() -> None:
    desk = Desk().start(capture=Capture.MANUAL)
    with pytest.raises(PaymentStateForbids):
        desk.ask(CapturePayment(1))
    desk.answer(ProviderStatus.AUTHORIZED)
    assert not desk.state.calls
    with pytest.raises(CaptureTooLarge):
        desk.ask(CapturePayment(AMOUNT + 1))
    desk.ask(CapturePayment(6_000))
    with pytest.raises(PaymentStateForbids):
        desk.ask(CapturePayment(1_000))
    desk.answer(ProviderStatus.CAPTURED, 6_000, at=2)
    assert desk.status() is PaymentStatus.COMPLETED
    assert desk.balances["user:ana:available/USD"] == 6_000


def test_what_is_refused() -> None:
    with pytest.raises(PaymentNotFound):
        Desk().ask(GetPayment())
    with pytest.raises(PaymentExists):
        Desk().start().start()
    with pytest.raises(PayerIsPayee):
        Desk().start(payee_id="ana")
    for amount in (0, -1, 100_000_001):
        with pytest.raises(BadPaymentAmount):
            Desk().start(amount_minor=amount)
    with pytest.raises(PaymentStateForbids):
        Desk().start().ask(RefundPayment("r", 1, "x", "ana"))


def test_every_change_is_told_once_and_in_order() -> None:
    desk = Desk()
    told: list[PaymentChanged] = []
    for command in (
        StartPayment(
            "ana", Purpose.TOP_UP, AMOUNT, "USD", Method.CARD, (S,), Assessment(Verdict.ALLOW)
        ),
        RecordSnapshot(S, snapshot(ProviderStatus.REQUIRES_ACTION), Source.WEBHOOK),
        RecordSnapshot(S, snapshot(ProviderStatus.CAPTURED, AMOUNT, at=2), Source.WEBHOOK),
        RecordSnapshot(S, snapshot(ProviderStatus.REQUIRES_ACTION), Source.WEBHOOK),
    ):  # fmt: skip
        told += [e for e in desk.ask(command).events if isinstance(e, PaymentChanged)]
    assert [(one.before.value, one.status.value, one.received_minor) for one in told] == [
        ("pending", "processing", 0),
        ("processing", "requires_action", 0),
        ("requires_action", "completed", AMOUNT),
    ]


# --- putting news together ------------------------------------------------------------------------

refs = st.sampled_from(["a", "b"])
moments = st.integers(0, 3)
amounts = st.integers(0, 3)
snapshots = st.builds(
    Snapshot,
    st.just("ch"),
    st.sampled_from(ProviderStatus),
    moments,
    amounts,
    st.lists(
        st.builds(ProviderRefund, refs, amounts, st.sampled_from(ReturnStatus), moments,
                  st.sampled_from(["", "r1"])),
        max_size=2,
    ).map(tuple),
    st.lists(
        st.builds(ProviderDispute, refs, amounts, st.sampled_from(DisputeStatus), moments),
        max_size=2,
    ).map(tuple),
)  # fmt: skip


@given(st.lists(snapshots, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_and_number_of_news_does_not_matter(news: list[Snapshot], chance: Any) -> None:
    def all_of(told: list[Snapshot]) -> Snapshot | None:
        known: Snapshot | None = None
        for one in told:
            known = join(known, one)
        return known

    mixed = news + chance.choices(news, k=3)
    chance.shuffle(mixed)
    assert all_of(mixed) == all_of(news)


@given(snapshots, snapshots)
def test_what_was_taken_only_grows_and_time_does_not_go_back(a: Snapshot, b: Snapshot) -> None:
    both = join(normal(a), b)
    assert both.captured_minor == max(a.captured_minor, b.captured_minor)
    assert both.at_ms == max(a.at_ms, b.at_ms)


# --- routing --------------------------------------------------------------------------------------


def test_whom_to_ask() -> None:
    assert route(Method.CARD, "USD", 1_000) == (S,)
    assert route(Method.CRYPTO, "USDC", 1_000_000) == (GatewayName.COINBASE,)
    with pytest.raises(MethodNotOffered):
        route(Method.CARD, "SOL", 1_000)


def test_what_a_method_cannot_do_is_refused_before_anything_begins() -> None:
    route(Method.CARD, "USD", 1_000, capture=Capture.MANUAL)
    with pytest.raises(CaptureNotOffered):
        route(Method.CRYPTO, "USDC", 1_000_000, capture=Capture.MANUAL)
    with pytest.raises(PaymentAmountTooFine) as refused:
        route(Method.CRYPTO, "USDC", 1_000_001)
    assert refused.value.params == {"step": 10_000}


def test_refunds_are_as_coarse_as_the_provider_is() -> None:
    coinbase = (GatewayName.COINBASE,)
    desk = Desk().start(amount_minor=5_000_000, currency="USDC", gateways=coinbase)
    desk.answer(ProviderStatus.CAPTURED, 5_000_001)
    with pytest.raises(PaymentAmountTooFine):
        desk.ask(RefundPayment("r1", 1, "", "ana"))
    assert not desk.state.refunds
    desk.ask(RefundPayment("r2", 5_000_000, "", "ana"))
    assert (desk.kind(), desk.call.amount_minor) == (CallKind.REFUND, 5_000_000)


def test_what_comes_too_late_goes_back_as_far_as_the_provider_can_say_it() -> None:
    coinbase = (GatewayName.COINBASE,)
    desk = Desk().start(amount_minor=5_000_000, currency="USDC", gateways=coinbase)
    desk.answer(ProviderStatus.EXPIRED)
    desk.tell(ProviderStatus.CAPTURED, 5_009_999, at=2, gateway=GatewayName.COINBASE)
    assert (desk.kind(), desk.call.amount_minor) == (CallKind.REFUND, 5_000_000)
    assert desk.status() is PaymentStatus.FAILED


def test_what_it_costs() -> None:
    assert cost_minor(S, 10_000, "USD") == 290 + 30
    assert cost_minor(P, 10_000, "USD") == 349 + 49
    assert cost_minor(S, 1, "USD") == 1 + 30
    assert cost_minor(GatewayName.COINBASE, 10_000_000, "USDC") == 100_000


def test_limits_of_amounts() -> None:
    check_amount(1, "USD")
    check_amount(100_000_000, "USD")
    for bad in (0, 100_000_001):
        with pytest.raises(BadPaymentAmount):
            check_amount(bad, "USD")


def test_the_table_of_statuses() -> None:
    assert set(MAY_FOLLOW) == set(PaymentStatus)
    assert all(not MAY_FOLLOW[status] for status in FINAL)
    assert PaymentStatus.PENDING not in frozenset().union(*MAY_FOLLOW.values())
