"""What a payout does about what its provider says, or does not say."""

from __future__ import annotations

from domain.payouts.draft import LOOK_TIMER, Draft
from domain.payouts.snapshots import join
from messages.payments.payments import RecordFailure, Source
from messages.payments.payout_orders import PayoutProgress, PayoutSnapshot
from messages.payments.payouts import (
    PayoutCall,
    PayoutCallDue,
    PayoutCallKind,
    PayoutDeclined,
    PayoutSnapshotSeen,
    RecordPayoutAnswer,
)

SILENCE = "no-answer"


def see_answer(draft: Draft, command: RecordPayoutAnswer) -> None:
    """The provider answered. What it says counts even if nobody waits for it any more."""
    call = draft.after.call
    if call is not None and call.call_id == command.call_id:
        draft.end()
        _look_again(draft, command.snapshot)
    see(draft, command.snapshot, Source.CALL)


def see(draft: Draft, snapshot: PayoutSnapshot, source: Source) -> None:
    """The provider said something: it has the payout, so nothing has to be sent any more."""
    if not draft.after.sent or join(draft.after.seen, snapshot) == draft.after.seen:
        return
    draft.add(PayoutSnapshotSeen(snapshot, source, draft.now_ms))
    draft.end()
    _look_again(draft, snapshot)


def see_failure(draft: Draft, call: PayoutCall, failed: RecordFailure) -> None:
    """A call came to nothing, or to nothing that is known."""
    if not failed.declined:
        _not_answered(draft, call, failed)
    elif call.kind is PayoutCallKind.FIND:
        _not_found(draft, failed.code)
    else:
        _look_before_giving_up(draft, failed.code)


def see_silence(draft: Draft, call: PayoutCall) -> None:
    """Nobody told what came of a call: it is asked again, by whoever follows the bus for it.

    A provider forgets keys, so that a payout is looked for before it is sent again too late.
    """
    if call.kind is PayoutCallKind.PAY and draft.now_ms >= call.until_ms:
        draft.end(SILENCE)
        draft.call(PayoutCallKind.FIND)
        return
    draft.add(PayoutCallDue(draft.after.payout_id, call, draft.now_ms))
    draft.postpone(call, SILENCE)


def _look_before_giving_up(draft: Draft, code: str) -> None:
    """It will not be sent, but may have been: whoever sent it may have died before telling."""
    draft.end(code)
    draft.add(PayoutDeclined(code, draft.now_ms))
    draft.call(PayoutCallKind.FIND)


def _not_answered(draft: Draft, call: PayoutCall, failed: RecordFailure) -> None:
    """Tried again, unless it cannot be sent for too long."""
    late = draft.now_ms - draft.after.created_at_ms >= draft.policy.patience_ms
    if call.kind is PayoutCallKind.PAY and failed.certain and late:
        _look_before_giving_up(draft, failed.code)
    else:
        draft.postpone(call, failed.code)


def _not_found(draft: Draft, code: str) -> None:
    """The provider certainly has no such payout."""
    draft.end(code)
    if draft.after.seen is not None:
        draft.remind(LOOK_TIMER, draft.policy.look_ms)  # it had, so this is no word to go by
    elif draft.after.declined:
        draft.give_up(draft.after.declined)
    else:
        draft.call(PayoutCallKind.PAY)


def _look_again(draft: Draft, snapshot: PayoutSnapshot) -> None:
    """A payout under way, or one that may still come back, is looked at again after a while."""
    policy, age_ms = draft.policy, draft.now_ms - draft.after.created_at_ms
    if snapshot.progress is PayoutProgress.PENDING:
        draft.remind(LOOK_TIMER, policy.look_ms)
    elif snapshot.progress is PayoutProgress.PAID and age_ms < policy.watch_until_ms:
        draft.remind(LOOK_TIMER, policy.watch_ms)
