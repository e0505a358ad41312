"""What a payment does about what a provider says."""

from __future__ import annotations

from domain.payments.draft import Draft
from domain.payments.policy import step_minor
from domain.payments.snapshots import join
from domain.payments.state import Attempt, foreign_returned_minor, own_refunds, refundable_minor
from messages.keys import derive_id
from messages.payments.gateways import Call, CallKind, ProviderStatus, Snapshot
from messages.payments.payments import (
    Capture,
    DebtCollected,
    RecordFailure,
    RecordSnapshot,
    RefundAsked,
    RefundRefused,
    SnapshotSeen,
    Source,
)

TAKEABLE = frozenset({ProviderStatus.APPROVED, ProviderStatus.AUTHORIZED})
ENDED = frozenset({ProviderStatus.FAILED, ProviderStatus.EXPIRED, ProviderStatus.CANCELLED})
ORPHAN = "taken-after-it-was-given-up"
PLATFORM = "platform"


def see_answer(draft: Draft, call: Call, snapshot: Snapshot) -> None:
    """A provider answered a call."""
    _see(draft, draft.after.attempts[call.number], snapshot, Source.CALL)


def see_unasked(draft: Draft, told: RecordSnapshot) -> None:
    """A provider told of a charge. One that no attempt knows is the answer that was lost of the
    attempt at this provider that has none.
    """
    attempts = [one for one in draft.before.attempts if one.gateway is told.gateway]
    known = [one for one in attempts if one.ref == told.snapshot.ref]
    unanswered = [one for one in attempts if not one.ref]
    for attempt in (known or unanswered)[-1:]:
        _see(draft, attempt, told.snapshot, told.source)


def see_failure(draft: Draft, call: Call, failed: RecordFailure) -> None:
    """A call came to nothing, or to nothing that is known."""
    attempt = draft.after.attempts[call.number]
    if failed.declined:
        draft.end(call, failed.code)
        _declined(draft, call, attempt, failed.code)
    elif call.kind is CallKind.CREATE and failed.certain and not attempt.ref:
        _not_created(draft, call, attempt, failed.code)
    else:
        draft.postpone(call, failed.code)


def _not_created(draft: Draft, call: Call, attempt: Attempt, code: str) -> None:
    """Nothing was taken for certain, so another provider may be asked."""
    state = draft.after
    assert state.asked is not None, "it was started"
    another = attempt.number + 1 < len(state.asked.gateways)
    late = draft.now_ms - state.created_at_ms >= draft.policy.patience_ms
    if not another and not late and not state.cancelled:
        draft.postpone(call, code)
        return
    draft.give_up(attempt, code)
    if another and not state.cancelled:
        draft.call(CallKind.CREATE, None, amount_minor=state.asked.amount_minor)


def _declined(draft: Draft, call: Call, attempt: Attempt, code: str) -> None:
    if call.kind is CallKind.REFUND:
        draft.add(RefundRefused(call.refund_id, code, draft.now_ms))
    elif call.kind is CallKind.CANCEL:
        draft.call(CallKind.FETCH, attempt)  # what cannot be cancelled was perhaps taken
    elif call.kind is not CallKind.FETCH and draft.after.taker != attempt.number:
        draft.give_up(attempt, code)
        _let_go(draft, attempt)


def _see(draft: Draft, attempt: Attempt, snapshot: Snapshot, source: Source) -> None:
    if join(attempt.seen, snapshot) == attempt.seen:
        return
    draft.add(SnapshotSeen(attempt.number, attempt.gateway, snapshot, source, draft.now_ms))
    attempt = draft.after.attempts[attempt.number]
    if attempt.captured_minor and draft.after.taker == attempt.number:
        _settle_debt(draft, attempt)
    elif attempt.captured_minor:
        if not attempt.given_up:
            draft.give_up(attempt, draft.after.failure)
        _give_back(draft, attempt)
    elif not attempt.given_up:
        _follow(draft, attempt)
    else:
        _let_go(draft, attempt)


def _let_go(draft: Draft, attempt: Attempt) -> None:
    """Nobody will take what is held for an attempt that was given up."""
    if attempt.status is ProviderStatus.AUTHORIZED:
        draft.call(CallKind.CANCEL, attempt)


def _follow(draft: Draft, attempt: Attempt) -> None:
    """Nothing was taken yet: what comes next."""
    state = draft.after
    assert state.asked is not None, "it was started"
    if attempt.status in ENDED:
        assert attempt.seen is not None, "it has a status"
        draft.give_up(attempt, attempt.seen.failure or str(attempt.status))
        if attempt.status is ProviderStatus.FAILED:
            draft.call(CallKind.CANCEL, attempt)  # or its payer could still pay it
    elif state.cancelled:
        draft.call(CallKind.CANCEL, attempt)
    elif attempt.status in TAKEABLE and state.asked.capture is Capture.AUTOMATIC:
        draft.call(CallKind.CAPTURE, attempt, amount_minor=state.asked.amount_minor)
    elif attempt.status is ProviderStatus.APPROVED:
        draft.call(CallKind.AUTHORIZE, attempt, amount_minor=state.asked.amount_minor)


def _give_back(draft: Draft, attempt: Attempt) -> None:
    """What was not to be taken was taken after all: all of it goes back, as far as the provider
    can say so little.
    """
    state = draft.after
    amount = refundable_minor(state, attempt)
    amount -= amount % step_minor(draft.policy, attempt.gateway)
    if amount <= 0:
        return
    tried = len(own_refunds(state, attempt.number))
    refund_id = derive_id("orphan", state.payment_id, attempt.number, tried)
    draft.add(RefundAsked(refund_id, attempt.number, amount, ORPHAN, PLATFORM, draft.now_ms))
    draft.call(CallKind.REFUND, attempt, amount_minor=amount, refund_id=refund_id)


def _settle_debt(draft: Draft, attempt: Attempt) -> None:
    """What was collected for a dispute that is won goes back to the payer's balance."""
    owed = foreign_returned_minor(draft.after, attempt) + attempt.withheld_minor
    excess = draft.after.collected_minor - owed
    if excess > 0:
        draft.add(DebtCollected(-excess, draft.now_ms))
