"""A payout after each fact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from domain.payouts.snapshots import join
from domain.payouts.state import Payout
from messages.payments.payments import CallEnded, ReviewDecided, Verdict
from messages.payments.payouts import (
    PayoutCallDue,
    PayoutCallMade,
    PayoutCallPostponed,
    PayoutCancelled,
    PayoutChanged,
    PayoutDeclined,
    PayoutEvent,
    PayoutGivenUp,
    PayoutRequested,
    PayoutSnapshotSeen,
)


def evolve(state: Payout, event: PayoutEvent) -> Payout:
    """The state after a fact."""
    return replace(_EVOLVERS[type(event)](state, event), moves=state.moves + 1)


def _requested(state: Payout, event: PayoutRequested) -> Payout:
    return replace(
        state,
        asked=event.asked,
        provider=event.provider,
        charged_minor=event.charged_minor,
        assessment=event.assessment,
        on_hold=event.assessment.verdict is Verdict.REVIEW,
        created_at_ms=event.at_ms,
        changed_at_ms=event.at_ms,
    )


def _reviewed(state: Payout, event: ReviewDecided) -> Payout:
    if event.allow:
        return replace(state, on_hold=False)
    return replace(state, on_hold=False, cancelled=True, failure="denied")


def _cancelled(state: Payout, _event: PayoutCancelled) -> Payout:
    return replace(state, cancelled=True, on_hold=False, failure="cancelled")


def _call_made(state: Payout, event: PayoutCallMade) -> Payout:
    return replace(state, sent=True, call=event.call)


def _call_due(state: Payout, _event: PayoutCallDue) -> Payout:
    return state


def _call_postponed(state: Payout, event: PayoutCallPostponed) -> Payout:
    assert state.call is not None, "what is postponed waits"
    call = replace(state.call, tries=event.tries)
    return replace(state, call=call)


def _call_ended(state: Payout, _event: CallEnded) -> Payout:
    return replace(state, call=None)


def _declined(state: Payout, event: PayoutDeclined) -> Payout:
    return replace(state, declined=event.code)


def _seen(state: Payout, event: PayoutSnapshotSeen) -> Payout:
    seen = join(state.seen, event.snapshot)
    return replace(state, seen=seen, failure=seen.failure or state.failure)


def _given_up(state: Payout, event: PayoutGivenUp) -> Payout:
    return replace(state, given_up=True, failure=event.code)


def _changed(state: Payout, event: PayoutChanged) -> Payout:
    return replace(state, status=event.status, changed_at_ms=event.at_ms)


_EVOLVERS: dict[type, Callable[[Payout, Any], Payout]] = {
    PayoutRequested: _requested,
    ReviewDecided: _reviewed,
    PayoutCancelled: _cancelled,
    PayoutCallMade: _call_made,
    PayoutCallDue: _call_due,
    PayoutCallPostponed: _call_postponed,
    CallEnded: _call_ended,
    PayoutDeclined: _declined,
    PayoutSnapshotSeen: _seen,
    PayoutGivenUp: _given_up,
    PayoutChanged: _changed,
}
