"""A decision in the making: facts, the state after them, calls to make, timers to set."""

from __future__ import annotations

from domain.decision import Decision, Forget, Remind
from domain.payments.evolving import evolve
from domain.payments.policy import PaymentPolicy, retry_after_ms
from domain.payments.position import movement
from domain.payments.state import Attempt, Payment, owed_minor
from domain.payments.status import MAY_FOLLOW, derive
from domain.payments.views import given_back_minor, received_minor, view
from messages.keys import derive_id
from messages.payments.gateways import Call, CallKind
from messages.payments.payments import (
    AttemptGivenUp,
    CallEnded,
    CallMade,
    CallPostponed,
    PaymentChanged,
    PaymentEvent,
)

CALL_TIMER = "call:"
EXPIRE_TIMER = "expire"
DEBT_TIMER = "debt"


class Draft:
    """Collects what a command does. `after` is the state with all of it."""

    def __init__(self, policy: PaymentPolicy, state: Payment, now_ms: int) -> None:
        self.policy, self.before, self.after, self.now_ms = policy, state, state, now_ms
        self.events: list[PaymentEvent] = []
        self.timers: list[Remind | Forget] = []

    def add(self, event: PaymentEvent) -> None:
        """A fact."""
        self.events.append(event)
        self.after = evolve(self.after, event)

    def call(
        self,
        kind: CallKind,
        attempt: Attempt | None,
        *,
        amount_minor: int = 0,
        refund_id: str = "",
    ) -> None:
        """Have a provider asked: the next one of the plan if `attempt` is None.

        Not if the same is asked already. The key under which the provider knows it again depends
        on what is asked for and on nothing else.
        """
        asked = self.after.asked
        assert asked is not None, "only a started payment asks anything"
        number = attempt.number if attempt else len(self.after.attempts)
        gateway = attempt.gateway if attempt else asked.gateways[number]
        name = f"{kind.value}:{number}:{refund_id}"
        if kind is CallKind.FETCH:
            name += str(self.after.moves)
        if any(self._name(w.call) == (kind, number, refund_id) for w in self.after.calls.values()):
            return
        call = Call(
            call_id=derive_id("payment-call", self.after.payment_id, name),
            kind=kind,
            gateway=gateway,
            number=number,
            key=f"{self.after.payment_id}:{name}",
            ref=attempt.ref if attempt else "",
            amount_minor=amount_minor,
            refund_id=refund_id,
        )
        due = self.now_ms + self.policy.answer_ms
        self.add(CallMade(call, due, self.now_ms))
        self.timers.append(Remind(CALL_TIMER + call.call_id, due))

    def postpone(self, call: Call, code: str) -> None:
        """Have a call asked again, later each time."""
        due = self.now_ms + retry_after_ms(self.policy, call.tries)
        self.add(CallPostponed(call.call_id, call.tries + 1, due, code, self.now_ms))
        self.timers.append(Remind(CALL_TIMER + call.call_id, due))

    def end(self, call: Call, code: str = "") -> None:
        """A call needs no answer any more."""
        self.add(CallEnded(call.call_id, code, self.now_ms))
        self.timers.append(Forget(CALL_TIMER + call.call_id))

    def give_up(self, attempt: Attempt, code: str) -> None:
        """Expect nothing more of an attempt, and ask nothing more of it but what it took back."""
        for waiting in list(self.after.calls.values()):
            call = waiting.call
            if call.number == attempt.number and call.kind is not CallKind.REFUND:
                self.end(call, code)
        self.add(AttemptGivenUp(attempt.number, code, self.now_ms))

    def decided(self) -> Decision[PaymentEvent]:
        """The decision: with the move of the status, of the money, and of the debt's timer."""
        self._tell()
        moved = movement(self.before, self.after)
        if owed_minor(self.after) and not owed_minor(self.before):
            self.timers.append(Remind(DEBT_TIMER, self.now_ms))
        return Decision(
            tuple(self.events),
            view(self.after),
            (moved,) if moved else (),
            tuple(self.timers),
        )

    def _tell(self) -> None:
        before, status = self.before, derive(self.after)
        money = received_minor(self.after), given_back_minor(self.after)
        if status is before.status and money == (received_minor(before), given_back_minor(before)):
            return
        assert status is before.status or status in MAY_FOLLOW[before.status], (
            f"{before.status} → {status}"
        )
        asked = self.after.asked
        assert asked is not None, "it was started"
        self.add(
            PaymentChanged(
                payment_id=self.after.payment_id,
                payer_id=asked.payer_id,
                purpose=asked.purpose,
                before=before.status,
                status=status,
                amount_minor=asked.amount_minor,
                currency=asked.currency,
                received_minor=money[0],
                returned_minor=money[1],
                at_ms=self.now_ms,
                subject=asked.subject,
                failure=self.after.failure,
            )
        )

    @staticmethod
    def _name(call: Call) -> tuple[CallKind, int, str]:
        return call.kind, call.number, call.refund_id
