"""What a payment does about a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from domain.decision import Decision, Remind
from domain.payments import news
from domain.payments.draft import CALL_TIMER, DEBT_TIMER, EXPIRE_TIMER, Draft
from domain.payments.policy import PaymentPolicy, step_minor
from domain.payments.routing import check_amount
from domain.payments.state import Payment, owed_minor, refundable_minor
from domain.payments.status import FINAL
from domain.payments.views import view
from messages.payments.errors import (
    CaptureTooLarge,
    PayerIsPayee,
    PaymentAmountTooFine,
    PaymentExists,
    PaymentNotFound,
    PaymentStateForbids,
    RefundTooLarge,
)
from messages.payments.gateways import CallKind, ProviderStatus
from messages.payments.payments import (
    CallOverdue,
    CancelAsked,
    CancelPayment,
    Capture,
    CaptureAsked,
    CapturePayment,
    CheckCall,
    CollectDebt,
    ConfirmPayment,
    DebtCollected,
    DecideReview,
    ExpirePayment,
    GetPayment,
    PaymentCommand,
    PaymentEvent,
    PaymentStarted,
    PaymentStatus,
    RecordAnswer,
    RecordFailure,
    RecordSnapshot,
    RefundAsked,
    RefundPayment,
    ReviewDecided,
    StartPayment,
    Verdict,
)

Outcome: TypeAlias = Decision[PaymentEvent]
TAKING = frozenset({CallKind.CAPTURE, CallKind.AUTHORIZE})


def initial(entity_id: str) -> Payment:
    """A payment that was not started."""
    return Payment(entity_id)


def decide(policy: PaymentPolicy, state: Payment, command: PaymentCommand, now_ms: int) -> Outcome:
    """What a command does. Raises the Refusals of `messages.payments.errors`."""
    if state.asked is None and not isinstance(command, StartPayment):
        raise PaymentNotFound
    if isinstance(command, GetPayment):
        return Decision(answer=view(state))
    draft = Draft(policy, state, now_ms)
    _DECIDERS[type(command)](draft, command)
    return draft.decided()


def reminded(name: str) -> PaymentCommand:
    """The command that a timer becomes."""
    if name == EXPIRE_TIMER:
        return ExpirePayment()
    if name == DEBT_TIMER:
        return CollectDebt()
    assert name.startswith(CALL_TIMER), f"a payment sets no timer {name!r}"
    return CheckCall(name[len(CALL_TIMER) :])


def _start(draft: Draft, command: StartPayment) -> None:
    if draft.before.asked is not None:
        raise PaymentExists
    if command.payee_id == command.payer_id:
        raise PayerIsPayee
    check_amount(command.amount_minor, command.currency, draft.policy)
    assert command.gateways, "somebody takes the payment"
    draft.add(PaymentStarted(draft.before.payment_id, command, draft.now_ms))
    if command.assessment.verdict is not Verdict.DENY:
        draft.timers.append(Remind(EXPIRE_TIMER, draft.now_ms + draft.policy.expire_ms))
    if command.assessment.verdict is Verdict.ALLOW:
        draft.call(CallKind.CREATE, None, amount_minor=command.amount_minor)


def _review(draft: Draft, command: DecideReview) -> None:
    if draft.before.status is not PaymentStatus.ON_HOLD:
        raise PaymentStateForbids(status=draft.before.status.value)
    draft.add(ReviewDecided(command.allow, command.by, command.reason, draft.now_ms))
    if command.allow:
        assert draft.after.asked is not None, "it is on hold"
        draft.call(CallKind.CREATE, None, amount_minor=draft.after.asked.amount_minor)


def _confirm(draft: Draft, _command: ConfirmPayment) -> None:
    attempt = draft.before.current
    if draft.before.taker is None and attempt is not None and attempt.ref:
        draft.call(CallKind.FETCH, attempt)


def _capture(draft: Draft, command: CapturePayment) -> None:
    asked, attempt = draft.before.asked, draft.before.current
    assert asked is not None, "checked before"
    ready = attempt is not None and attempt.status is ProviderStatus.AUTHORIZED
    if asked.capture is not Capture.MANUAL or not ready or draft.before.cancelled:
        raise PaymentStateForbids(status=draft.before.status.value)
    if not 0 < command.amount_minor <= asked.amount_minor:
        raise CaptureTooLarge(most=asked.amount_minor)
    if draft.before.capture_minor:
        raise PaymentStateForbids(status=draft.before.status.value)
    draft.add(CaptureAsked(command.amount_minor, draft.now_ms))
    draft.call(CallKind.CAPTURE, attempt, amount_minor=command.amount_minor)


def _cancel(draft: Draft, command: CancelPayment) -> None:
    before = draft.before
    if before.status in FINAL or before.cancelled:
        return
    if before.taker is not None or _may_be_taking(before):
        raise PaymentStateForbids(status=before.status.value)
    _stop(draft, command.reason)


def _may_be_taking(payment: Payment) -> bool:
    """Whether money is being taken or held, which nobody can call back."""
    return any(w.call.kind in TAKING for w in payment.calls.values())


def _expire(draft: Draft, _command: ExpirePayment) -> None:
    before = draft.before
    if before.status in FINAL or before.cancelled or before.taker is not None:
        return
    if _may_be_taking(before):
        draft.timers.append(Remind(EXPIRE_TIMER, draft.now_ms + draft.policy.retry_most_ms))
        return
    _stop(draft, "expired")


def _stop(draft: Draft, reason: str) -> None:
    draft.add(CancelAsked(reason, draft.now_ms))
    attempt = draft.after.current
    if attempt is not None and attempt.ref and not attempt.given_up:
        draft.call(CallKind.CANCEL, attempt)


def _refund(draft: Draft, command: RefundPayment) -> None:
    before = draft.before
    if command.refund_id in before.refunds:
        return
    if before.taker is None:
        raise PaymentStateForbids(status=before.status.value)
    attempt = before.attempts[before.taker]
    most = refundable_minor(before, attempt)
    if not 0 < command.amount_minor <= most:
        raise RefundTooLarge(most=most)
    if command.amount_minor % (step := step_minor(draft.policy, attempt.gateway)):
        raise PaymentAmountTooFine(step=step)
    draft.add(
        RefundAsked(
            command.refund_id,
            attempt.number,
            command.amount_minor,
            command.reason,
            command.by,
            draft.now_ms,
        )
    )
    draft.call(
        CallKind.REFUND, attempt, amount_minor=command.amount_minor, refund_id=command.refund_id
    )


def _answered(draft: Draft, command: RecordAnswer) -> None:
    waiting = draft.before.calls.get(command.call_id)
    if waiting is None:
        return  # it was answered before, or is not needed any more
    draft.end(waiting.call)
    news.see_answer(draft, waiting.call, command.snapshot)


def _failed(draft: Draft, command: RecordFailure) -> None:
    waiting = draft.before.calls.get(command.call_id)
    if waiting is not None:
        news.see_failure(draft, waiting.call, command)


def _told(draft: Draft, command: RecordSnapshot) -> None:
    news.see_unasked(draft, command)


def _check(draft: Draft, command: CheckCall) -> None:
    waiting = draft.before.calls.get(command.call_id)
    if waiting is None:
        return
    draft.add(CallOverdue(draft.before.payment_id, waiting.call, draft.now_ms))
    draft.postpone(waiting.call, "no-answer")


def _collect(draft: Draft, command: CollectDebt) -> None:
    owed = owed_minor(draft.before)
    taken = min(owed, command.available_minor)
    if taken > 0:
        draft.add(DebtCollected(taken, draft.now_ms))
    if owed > taken:
        draft.timers.append(Remind(DEBT_TIMER, draft.now_ms + draft.policy.debt_ms))


_DECIDERS: dict[type, Callable[[Draft, Any], None]] = {
    StartPayment: _start,
    DecideReview: _review,
    ConfirmPayment: _confirm,
    CapturePayment: _capture,
    CancelPayment: _cancel,
    ExpirePayment: _expire,
    RefundPayment: _refund,
    RecordAnswer: _answered,
    RecordFailure: _failed,
    RecordSnapshot: _told,
    CheckCall: _check,
    CollectDebt: _collect,
}
