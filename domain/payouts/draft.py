"""A decision in the making: facts, the state after them, the call to make, timers to set."""

from __future__ import annotations

from domain.decision import Decision, Forget, Remind
from domain.payouts.evolving import evolve
from domain.payouts.policy import PayoutPolicy, retry_after_ms
from domain.payouts.position import fee_minor, movement, owed_minor
from domain.payouts.state import Payout
from domain.payouts.status import MAY_FOLLOW, derive
from domain.payouts.views import view
from messages.keys import derive_id
from messages.payments.payments import CallEnded
from messages.payments.payouts import (
    PayoutCall,
    PayoutCallDue,
    PayoutCallKind,
    PayoutCallMade,
    PayoutCallPostponed,
    PayoutChanged,
    PayoutEvent,
    PayoutGivenUp,
)

CALL_TIMER = "call:"
SEND_TIMER = "send"
LOOK_TIMER = "look"


class Draft:
    """Collects what a command does. `after` is the state with all of it."""

    def __init__(self, policy: PayoutPolicy, state: Payout, now_ms: int) -> None:
        self.policy, self.before, self.after, self.now_ms = policy, state, state, now_ms
        self.events: list[PayoutEvent] = []
        self.timers: list[Remind | Forget] = []

    def add(self, event: PayoutEvent) -> None:
        """A fact."""
        self.events.append(event)
        self.after = evolve(self.after, event)

    def remind(self, name: str, after_ms: int) -> None:
        """Set a timer."""
        self.timers.append(Remind(name, self.now_ms + after_ms))

    def call(self, kind: PayoutCallKind) -> None:
        """Have the provider asked. A payout is sent under the one key that it has."""
        assert self.after.call is None, "one thing is asked at a time"
        payout_id = self.after.payout_id
        call = PayoutCall(
            call_id=derive_id("payout-call", payout_id, kind.value, self.after.moves),
            kind=kind,
            key=f"{payout_id}:{PayoutCallKind.PAY.value}",
            until_ms=self.now_ms + self.policy.key_ms,
            ref=self.after.ref,
        )
        self.add(PayoutCallMade(call, self.now_ms + self.policy.answer_ms, self.now_ms))
        self.add(PayoutCallDue(payout_id, call, self.now_ms))
        self.remind(CALL_TIMER + call.call_id, self.policy.answer_ms)

    def postpone(self, call: PayoutCall, code: str) -> None:
        """Have a call asked again, later each time."""
        after_ms = retry_after_ms(self.policy, call.tries)
        self.add(
            PayoutCallPostponed(
                call.call_id,
                call.tries + 1,
                self.now_ms + after_ms,
                code,
                self.now_ms,
            )
        )
        self.remind(CALL_TIMER + call.call_id, after_ms)

    def end(self, code: str = "") -> None:
        """What was asked, if anything, needs no answer any more."""
        call = self.after.call
        if call is not None:
            self.add(CallEnded(call.call_id, code, self.now_ms))
            self.timers.append(Forget(CALL_TIMER + call.call_id))

    def give_up(self, code: str) -> None:
        """Nothing was sent for certain: the money is the user's balance again."""
        self.end(code)
        self.add(PayoutGivenUp(code, self.now_ms))

    def decided(self) -> Decision[PayoutEvent]:
        """The decision: with the move of the status and of the money."""
        self._tell()
        moved = movement(self.before, self.after)
        return Decision(
            tuple(self.events), view(self.after), (moved,) if moved else (), tuple(self.timers)
        )

    def _tell(self) -> None:
        before, status = self.before, derive(self.after)
        begins = before.asked is None
        same = status is before.status and fee_minor(self.after) == fee_minor(before)
        if same and not begins and self.after.is_out == before.is_out:
            return
        assert status is before.status or status in MAY_FOLLOW[before.status], (
            f"{before.status} → {status}"
        )
        asked, known = self.after.asked, self.after
        assert asked is not None, "it was requested"
        self.add(
            PayoutChanged(
                payout_id=known.payout_id,
                user_id=asked.user_id,
                before=before.status,
                status=status,
                amount_minor=asked.amount_minor,
                currency=asked.currency,
                at_ms=self.now_ms,
                fee_minor=fee_minor(known),
                owed_minor=owed_minor(known),
                ref=known.ref,
                failure=known.failure,
            )
        )
