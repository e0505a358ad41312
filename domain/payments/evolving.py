"""A payment after each fact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from domain.payments.snapshots import join
from domain.payments.state import Attempt, Payment, Refund, Waiting
from domain.payments.status import FINAL
from messages.payments.gateways import CallKind
from messages.payments.payments import (
    AttemptGivenUp,
    CallEnded,
    CallMade,
    CallOverdue,
    CallPostponed,
    CancelAsked,
    CaptureAsked,
    DebtCollected,
    PaymentChanged,
    PaymentEvent,
    PaymentStarted,
    RefundAsked,
    RefundRefused,
    ReviewDecided,
    SnapshotSeen,
    Verdict,
)


def evolve(state: Payment, event: PaymentEvent) -> Payment:
    """The state after a fact."""
    after = _EVOLVERS[type(event)](state, event)
    return replace(after, moves=state.moves + 1)


def _started(state: Payment, event: PaymentStarted) -> Payment:
    verdict = event.asked.assessment.verdict
    return replace(
        state,
        asked=event.asked,
        created_at_ms=event.at_ms,
        changed_at_ms=event.at_ms,
        on_hold=verdict is Verdict.REVIEW,
        cancelled=verdict is Verdict.DENY,
        failure="denied" if verdict is Verdict.DENY else "",
    )


def _reviewed(state: Payment, event: ReviewDecided) -> Payment:
    if event.allow:
        return replace(state, on_hold=False)
    return replace(state, on_hold=False, cancelled=True, failure="denied")


def _call_made(state: Payment, event: CallMade) -> Payment:
    call = event.call
    attempts = state.attempts
    if call.kind is CallKind.CREATE and call.number == len(attempts):
        attempts = (*attempts, Attempt(call.number, call.gateway))
    calls = {**state.calls, call.call_id: Waiting(call, event.due_at_ms)}
    return replace(state, attempts=attempts, calls=calls)


def _call_postponed(state: Payment, event: CallPostponed) -> Payment:
    waiting = state.calls[event.call_id]
    call = replace(waiting.call, tries=event.tries)
    return replace(state, calls={**state.calls, event.call_id: Waiting(call, event.due_at_ms)})


def _call_ended(state: Payment, event: CallEnded) -> Payment:
    calls = {k: v for k, v in state.calls.items() if k != event.call_id}
    return replace(state, calls=calls)


def _seen(state: Payment, event: SnapshotSeen) -> Payment:
    attempt = state.attempts[event.number]
    attempt = replace(attempt, seen=join(attempt.seen, event.snapshot))
    state = _with_attempt(state, attempt)
    unwanted = attempt.given_up or state.cancelled or state.status in FINAL
    if attempt.captured_minor > 0 and state.taker is None and not unwanted:
        return replace(state, taker=attempt.number, on_hold=False)
    return state


def _given_up(state: Payment, event: AttemptGivenUp) -> Payment:
    attempt = replace(state.attempts[event.number], given_up=True, failure=event.code)
    failure = state.failure or event.code
    return replace(_with_attempt(state, attempt), failure=failure)


def _cancel_asked(state: Payment, event: CancelAsked) -> Payment:
    return replace(state, cancelled=True, failure=event.reason)


def _capture_asked(state: Payment, event: CaptureAsked) -> Payment:
    return replace(state, capture_minor=event.amount_minor)


def _refund_asked(state: Payment, event: RefundAsked) -> Payment:
    refund = Refund(
        event.refund_id, event.number, event.amount_minor, event.reason, event.by, event.at_ms
    )
    return replace(state, refunds={**state.refunds, refund.refund_id: refund})


def _refund_refused(state: Payment, event: RefundRefused) -> Payment:
    refund = replace(state.refunds[event.refund_id], refused=True)
    return replace(state, refunds={**state.refunds, event.refund_id: refund})


def _collected(state: Payment, event: DebtCollected) -> Payment:
    return replace(state, collected_minor=state.collected_minor + event.amount_minor)


def _changed(state: Payment, event: PaymentChanged) -> Payment:
    return replace(state, status=event.status, changed_at_ms=event.at_ms)


def _overdue(state: Payment, _event: CallOverdue) -> Payment:
    return state


def _with_attempt(state: Payment, attempt: Attempt) -> Payment:
    attempts = list(state.attempts)
    attempts[attempt.number] = attempt
    return replace(state, attempts=tuple(attempts))


_EVOLVERS: dict[type, Callable[[Payment, Any], Payment]] = {
    PaymentStarted: _started,
    ReviewDecided: _reviewed,
    CallMade: _call_made,
    CallPostponed: _call_postponed,
    CallEnded: _call_ended,
    CallOverdue: _overdue,
    SnapshotSeen: _seen,
    AttemptGivenUp: _given_up,
    CancelAsked: _cancel_asked,
    CaptureAsked: _capture_asked,
    RefundAsked: _refund_asked,
    RefundRefused: _refund_refused,
    DebtCollected: _collected,
    PaymentChanged: _changed,
}
