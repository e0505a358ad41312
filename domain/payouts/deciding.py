"""What a payout does about a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from domain.decision import Decision, Forget
from domain.payouts import news
from domain.payouts.checking import Known, assess, check
from domain.payouts.draft import CALL_TIMER, LOOK_TIMER, SEND_TIMER, Draft
from domain.payouts.policy import PayoutPolicy, charged_minor
from domain.payouts.state import Payout
from domain.payouts.status import MAY_BE_CANCELLED
from domain.payouts.views import view
from messages.payments.payments import (
    CheckCall,
    DecideReview,
    RecordFailure,
    ReviewDecided,
    Verdict,
)
from messages.payments.payout_errors import (
    PayoutExists,
    PayoutNotFound,
    PayoutReviewOwn,
    PayoutStateForbids,
)
from messages.payments.payouts import (
    CancelPayout,
    GetPayout,
    LookAtPayout,
    PayoutCallKind,
    PayoutCancelled,
    PayoutCommand,
    PayoutEvent,
    PayoutRequested,
    PayoutStatus,
    RecordPayoutAnswer,
    RecordPayoutSnapshot,
    RequestPayout,
    SendPayout,
)


class Prepared(msgspec.Struct, frozen=True):
    """A request with what is known of its user."""

    asked: RequestPayout
    known: Known


Outcome: TypeAlias = Decision[PayoutEvent]


def initial(entity_id: str) -> Payout:
    """A payout that was not requested."""
    return Payout(entity_id)


def decide(
    policy: PayoutPolicy, state: Payout, command: PayoutCommand | Prepared, now_ms: int
) -> Outcome:
    """What a command does. Raises the Refusals of `messages.payments.payout_errors`."""
    if state.asked is None and not isinstance(command, Prepared):
        raise PayoutNotFound
    if isinstance(command, GetPayout):
        return Decision(answer=view(state))
    draft = Draft(policy, state, now_ms)
    _DECIDERS[type(command)](draft, command)
    return draft.decided()


def reminded(name: str) -> PayoutCommand:
    """The command that a timer becomes."""
    if name == SEND_TIMER:
        return SendPayout()
    if name == LOOK_TIMER:
        return LookAtPayout()
    assert name.startswith(CALL_TIMER), f"a payout sets no timer {name!r}"
    return CheckCall(name[len(CALL_TIMER) :])


def _request(draft: Draft, command: Prepared) -> None:
    if draft.before.asked is not None:
        raise PayoutExists
    asked, known, policy = command.asked, command.known, draft.policy
    offer = check(asked, known, policy, draft.now_ms)
    charged = charged_minor(offer, asked.amount_minor, asked.currency)
    assert charged < asked.amount_minor, "the least payout is more than its fee"
    found = assess(asked, known, policy, draft.now_ms)
    draft.add(
        PayoutRequested(draft.before.payout_id, asked, offer.provider, charged, found, draft.now_ms)
    )
    if found.verdict is Verdict.ALLOW:
        draft.remind(SEND_TIMER, policy.grace_ms)


def _review(draft: Draft, command: DecideReview) -> None:
    if draft.before.status is not PayoutStatus.ON_HOLD:
        raise PayoutStateForbids(status=draft.before.status.value)
    assert draft.before.asked is not None, "it is on hold"
    if command.by == draft.before.asked.user_id:
        raise PayoutReviewOwn
    draft.add(ReviewDecided(command.allow, command.by, command.reason, draft.now_ms))
    if command.allow:
        draft.call(PayoutCallKind.PAY)


def _cancel(draft: Draft, command: CancelPayout) -> None:
    status = draft.before.status
    if status is PayoutStatus.CANCELLED:
        return
    if status not in MAY_BE_CANCELLED:
        raise PayoutStateForbids(status=status.value)
    draft.add(PayoutCancelled(command.by, draft.now_ms))
    draft.timers.append(Forget(SEND_TIMER))


def _send(draft: Draft, _command: SendPayout) -> None:
    if draft.before.status is PayoutStatus.REQUESTED:
        draft.call(PayoutCallKind.PAY)


def _look(draft: Draft, _command: LookAtPayout) -> None:
    under_way = draft.before.status in {PayoutStatus.SENDING, PayoutStatus.PAID}
    if under_way and draft.before.call is None:
        draft.call(PayoutCallKind.FIND)


def _check(draft: Draft, command: CheckCall) -> None:
    call = draft.before.call
    if call is not None and call.call_id == command.call_id:
        news.see_silence(draft, call)


def _answered(draft: Draft, command: RecordPayoutAnswer) -> None:
    news.see_answer(draft, command)


def _failed(draft: Draft, command: RecordFailure) -> None:
    call = draft.before.call
    if call is not None and call.call_id == command.call_id:
        news.see_failure(draft, call, command)


def _told(draft: Draft, command: RecordPayoutSnapshot) -> None:
    if draft.before.sent and command.provider is draft.before.provider:
        news.see(draft, command.snapshot, command.source)


_DECIDERS: dict[type, Callable[[Draft, Any], None]] = {
    Prepared: _request,
    DecideReview: _review,
    CancelPayout: _cancel,
    SendPayout: _send,
    LookAtPayout: _look,
    CheckCall: _check,
    RecordPayoutAnswer: _answered,
    RecordFailure: _failed,
    RecordPayoutSnapshot: _told,
}
